//! A file that is sent while it is made, so that its length costs no memory.

use std::convert::Infallible;

use futures_util::stream;
use http::header;
use tokio::sync::mpsc;
use warp::reply::{Reply as _, Response};

use super::problem::set;

/// Pieces that wait to be sent.
const WAITING: usize = 4;

/// Where the pieces of a file go.
pub(super) struct Pieces(mpsc::Sender<String>);

impl Pieces {
    /// Sends one; `false` where nobody reads any more.
    pub(super) async fn send(&self, piece: String) -> bool {
        self.0.send(piece).await.is_ok()
    }
}

/// A table for a spreadsheet under this name, written by `write`.
pub(super) fn csv<F>(name: &str, write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (pieces, made) = mpsc::channel(WAITING);
    tokio::spawn(write(Pieces(pieces)));
    let next = async |mut made: mpsc::Receiver<String>| Some((Ok::<_, Infallible>(made.recv().await?), made));
    let mut response = warp::reply::stream(stream::unfold(made, next)).into_response();
    set(&mut response, header::CONTENT_TYPE, "text/csv; charset=utf-8");
    set(&mut response, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    response
}
