//! The callbacks that are sent for a test, as Notify writes them. They name nobody: the numbers are of those that Ofcom keeps free.

use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::notify::{Kind, time};

/// Much smaller than the 1 MiB that is taken, and larger than what proxies let through unless they are told.
const LARGE: usize = 900_000;

/// One that is sent.
pub(super) struct TestCallback {
    /// The thing that it tries, by a name that stays.
    pub(super) check: &'static str,
    /// What it is like, for people.
    pub(super) like: &'static str,
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
    /// What to do where the others come through and this one does not.
    pub(super) to_do: &'static str,
}

impl TestCallback {
    /// What is kept of it.
    pub(super) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.body).into()
    }
}

/// A plain one of each kind that Notify sends to everybody, and two that something in front may not like.
pub(super) fn all() -> [TestCallback; 4] {
    let now = time::canonical(clock::now());
    let receipt = format!(
        r#"{{"id": "00000000-0000-4000-8000-000000000001", "reference": "counterfoil doctor", "to": "07700900001", "status": "delivered", "created_at": "{now}", "completed_at": "{now}", "sent_at": "{now}", "notification_type": "sms", "template_id": "00000000-0000-4000-8000-000000000002", "template_version": 1}}"#
    );
    let text = |message: &str| {
        format!(
            r#"{{"id": "00000000-0000-4000-8000-000000000003", "source_number": "447700900001", "destination_number": "07700900002", "message": "{message}", "date_received": "{now}"}}"#
        )
    };
    let any =
        text(r"' OR 1=1; DROP TABLE x -- <script>alert(1)</script> ../../etc/passwd ${jndi:ldap://x} \ud83d\ude4f");
    let mut large = text("a large test").into_bytes();
    large.resize(LARGE, b' ');
    let mends_itself = "What stands in front refuses it, not this server: see docs/network.md.";
    [
        TestCallback {
            check: "url-receipt",
            like: "a delivery receipt",
            kind: Kind::DeliveryReceipt,
            body: receipt.into_bytes(),
            to_do: mends_itself,
        },
        TestCallback {
            check: "url-text",
            like: "a received text message",
            kind: Kind::ReceivedText,
            body: text("a test").into_bytes(),
            to_do: mends_itself,
        },
        TestCallback {
            check: "url-any-text",
            like: "a text that looks like an attack",
            kind: Kind::ReceivedText,
            body: any.into_bytes(),
            to_do: "People text what they like. Switch off the inspection of bodies for /callbacks, in the web application firewall or the proxy.",
        },
        TestCallback {
            check: "url-large",
            like: "a text of 900,000 bytes",
            kind: Kind::ReceivedText,
            body: large,
            to_do: "Raise the limit on bodies for /callbacks to 1 MiB, in the proxy or the firewall.",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Callback;

    #[test]
    fn what_is_sent_for_a_test_is_what_notify_could_have_sent() {
        for test in all() {
            let read = Callback::read(&test.body).unwrap();
            assert_eq!(read.kind(), test.kind, "{}", test.check);
        }
    }
}
