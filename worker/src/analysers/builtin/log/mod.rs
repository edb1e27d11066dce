//! stub
use fleetline_shared::domain::args::LogArgs;
use crate::answers::*;
/// x
pub fn analyse_log(_args: &LogArgs) -> LogAnswer { todo!() }
