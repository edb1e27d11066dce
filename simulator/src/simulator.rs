//! A simulator that listens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::Options;
use crate::http::{self, State};

/// A simulator that listens; [`Simulator::serve`] makes it answer.
pub struct Simulator {
    listener: TcpListener,
    control: Option<TcpListener>,
    state: Arc<State>,
}

impl Simulator {
    /// Takes its addresses. The times of its faults count from now.
    ///
    /// # Errors
    /// An address that is taken or not this machine's; the message names it.
    pub async fn bind(options: Options) -> io::Result<Self> {
        let listener = listen(options.listen).await?;
        let control = match options.control {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { listener, control, state: Arc::new(State::new(options)) })
    }

    /// Where calls go.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The second place for the ledger and the faults.
    pub fn control_address(&self) -> io::Result<Option<SocketAddr>> {
        self.control.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Answers until it is dropped.
    pub async fn serve(self) -> io::Result<()> {
        let calls = http::serve_calls(self.listener, Arc::clone(&self.state));
        match self.control {
            None => calls.await,
            Some(control) => tokio::try_join!(calls, http::serve_control(control, self.state)).map(|_| ()),
        }
    }
}

async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}
