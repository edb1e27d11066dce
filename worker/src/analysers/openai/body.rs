//! Reading answers with a limit: a server may send anything.

use reqwest::Response;

/// Bytes of an answer.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Bytes of an error that are read. Less is shown.
pub(super) const MAX_ERROR: usize = 64 * 1024;

/// The first `most` bytes, and whether there were more.
pub(super) async fn read(mut response: Response, most: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok((bytes, true));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, false))
}
