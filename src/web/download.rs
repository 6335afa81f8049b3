//! A file that is sent while it is made, so that its length costs no memory.

use std::io::{self, Write};

use futures_util::stream;
use http::header;
use tokio::sync::mpsc;
use warp::reply::{Reply as _, Response};

use super::problem::set;

/// What a table for a spreadsheet is.
pub(super) const CSV: &str = "text/csv; charset=utf-8";
/// Pieces that wait to be sent.
const WAITING: usize = 4;

/// Where the pieces of a file go. What a thread writes there goes out piece by piece too: it waits for whoever reads.
#[derive(Clone)]
pub(super) struct Pieces(mpsc::Sender<io::Result<Vec<u8>>>);

impl Pieces {
    /// Sends one; `false` where nobody reads any more.
    pub(super) async fn send(&self, piece: impl Into<Vec<u8>>) -> bool {
        self.0.send(Ok(piece.into())).await.is_ok()
    }

    /// Breaks the file off, so that a browser says that it failed and nobody takes half of it for all.
    pub(super) async fn break_off(&self) {
        let _sent = self.0.send(Err(io::ErrorKind::BrokenPipe.into())).await;
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(bytes.to_vec())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of this name and kind, written by `write`.
pub(super) fn file<F>(name: &str, kind: &str, write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (pieces, made) = mpsc::channel(WAITING);
    tokio::spawn(write(Pieces(pieces)));
    let next = async |mut made: mpsc::Receiver<_>| Some((made.recv().await?, made));
    let mut response = warp::reply::stream(stream::unfold(made, next)).into_response();
    set(&mut response, header::CONTENT_TYPE, kind);
    set(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    response
}
