//! A request's body on its way in. Until it is whole its connection has nothing in hand: at the cap it gives way like an idle one,
//! so that bodies which are trickled keep nobody out.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connections::InHand;

/// The body, which tells when all of it is here.
pub(super) struct Arriving {
    body: Incoming,
    in_hand: InHand,
}

impl Arriving {
    pub(super) fn new(body: Incoming, in_hand: InHand) -> Arriving {
        let arriving = Arriving { body, in_hand };
        arriving.look();
        arriving
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.in_hand.begin();
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match polled {
            Poll::Ready(None) => self.in_hand.begin(),
            Poll::Ready(Some(_)) => self.look(),
            Poll::Pending => (),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
