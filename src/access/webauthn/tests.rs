//! What is taken from an authenticator, and what is not.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::software::{PRESENT, Software, VERIFIED};
use super::*;
use crate::fuzzing::fuzz;

const ORIGIN: &str = "https://callbacks.example.gov.uk";
const ID: &str = "callbacks.example.gov.uk";

fn site() -> RelyingParty {
    RelyingParty::at(ORIGIN).unwrap()
}

fn software() -> Software {
    Software::new(ORIGIN, ID, b"credential")
}

#[test]
fn a_passkey_is_read_as_it_was_made_and_its_signature_is_taken() {
    let software = software();
    let made = site().made(&software.makes(b"challenge")).unwrap();
    assert_eq!((made.challenge.as_slice(), made.credential.as_slice()), (&b"challenge"[..], &b"credential"[..]));
    assert_eq!(made.public_key, software.public_key());
    for (flags, is_verified) in [(PRESENT, false), (VERIFIED, true)] {
        let shown = Software { flags, count: 7, ..software.clone() }.shows(b"another");
        let shown = site().shown(&shown, &made.public_key).unwrap();
        assert_eq!(shown, Shown { challenge: b"another".to_vec(), sign_count: 7, is_verified });
    }
}

#[test]
fn what_was_said_to_another_site_or_without_a_person_is_not_taken() {
    let own = software();
    let key = own.public_key();
    for wrong in [
        Software { origin: "https://callbacks.example.gov.uk.evil.example".into(), ..own.clone() },
        Software { origin: "http://callbacks.example.gov.uk".into(), ..own.clone() },
        Software { origin: "https://callbacks.example.gov.uk:8443".into(), ..own.clone() },
        Software { origin: "http://localhost".into(), ..own.clone() },
        Software { id: "example.gov.uk".into(), ..own.clone() },
        Software { flags: 0, ..own.clone() },
        Software { flags: 4, ..own.clone() },
    ] {
        assert_eq!(site().made(&wrong.makes(b"c")).err(), Some(PasskeyRefused::Wrong));
        assert_eq!(site().shown(&wrong.shows(b"c"), &key), Err(PasskeyRefused::Wrong));
    }
    let in_a_frame = |text: Vec<u8>| String::from_utf8(text).unwrap().replace(":false", ":true").into_bytes();
    let made = own.makes(b"c");
    let made = Creation { client_data: in_a_frame(made.client_data), ..made };
    assert_eq!(site().made(&made).err(), Some(PasskeyRefused::Wrong), "from a page in another");
}

#[test]
fn one_kind_of_answer_does_not_stand_for_the_other_nor_one_key_for_another() {
    let (own, other) = (software(), software());
    let (made, shown) = (own.makes(b"c"), own.shows(b"c"));
    assert_eq!(site().shown(&shown, &other.public_key()), Err(PasskeyRefused::Wrong));
    let as_made =
        Creation { client_data: shown.client_data.clone(), authenticator_data: made.authenticator_data.clone() };
    assert_eq!(site().made(&as_made).err(), Some(PasskeyRefused::Wrong));
    assert_eq!(
        site().made(&Creation { authenticator_data: shown.authenticator_data.clone(), ..made }).err(),
        Some(PasskeyRefused::Wrong)
    );
    for place in 0..shown.signature.len() {
        let mut changed = shown.clone();
        changed.signature[place] ^= 1;
        assert_eq!(site().shown(&changed, &own.public_key()), Err(PasskeyRefused::Wrong));
    }
    for place in 32..shown.authenticator_data.len() {
        let mut changed = shown.clone();
        changed.authenticator_data[place] ^= 4;
        assert_eq!(site().shown(&changed, &own.public_key()), Err(PasskeyRefused::Wrong), "{place}");
    }
}

#[test]
fn keys_of_ed25519_and_rsa_are_read_and_others_are_not() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let key = [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], pair.public_key().as_ref(), b"after"].concat();
    let (read, after) = PublicKey::read(&key).unwrap();
    assert_eq!(after, b"after");
    assert!(read.has_signed(b"message", pair.sign(b"message").as_ref()));
    assert!(!read.has_signed(b"another", pair.sign(b"message").as_ref()));
    let rsa = [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0], [7; 256].as_slice(), &[0x21, 0x43, 1, 0, 1]].concat();
    let (read, after) = PublicKey::read(&rsa).unwrap();
    assert!(matches!(read, PublicKey::Rsa { n, e } if n.len() == 256 && e == [1, 0, 1]) && after.is_empty());
    let p256 = software().public_key();
    for (place, byte) in [(0, 0xa4), (2, 3), (4, 0x27), (6, 2), (8, 0x57), (9, 31), (1, 3)] {
        let mut wrong = p256.clone();
        wrong[place] = byte;
        assert!(PublicKey::read(&wrong).is_none(), "{place}");
    }
    assert!((0..p256.len()).all(|end| PublicKey::read(&p256[..end]).is_none()), "cut off");
}

#[test]
fn passkeys_are_made_for_the_public_address_or_the_machine_itself() {
    let at = |url: &str| RelyingParty::at(url).map(|site| (site.id().to_owned(), site.origin));
    assert_eq!(at("HTTPS://Callbacks.Example.gov.uk/"), Some((ID.into(), Some(ORIGIN.into()))));
    assert_eq!(at("https://callbacks.example.gov.uk:443"), Some((ID.into(), Some(ORIGIN.into()))));
    assert_eq!(at("https://callbacks.example.gov.uk:8443/a"), Some((ID.into(), Some(format!("{ORIGIN}:8443")))));
    assert_eq!(at("http://localhost:8080"), Some(("localhost".into(), None)));
    for none in [
        "http://callbacks.example.gov.uk",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "https://",
        "callbacks.example.gov.uk",
        "https://a@callbacks.example.gov.uk",
    ] {
        assert_eq!(at(none), None, "{none}");
    }
    let here = RelyingParty::on_this_machine();
    for ours in ["http://localhost", "http://localhost:8080", "https://localhost:1"] {
        assert!(here.is_origin(ours), "{ours}");
    }
    for other in
        ["http://localhost.evil.example", "http://localhost:8080.evil.example", "http://127.0.0.1", "localhost"]
    {
        assert!(!here.is_origin(other), "{other}");
    }
    assert!(here.is_at("LOCALHOST:8080") && here.is_at("localhost") && !here.is_at("127.0.0.1:8080"));
    assert!(site().is_at(ID) && !site().is_at("localhost"));
}

#[test]
fn fuzz_authenticator_data() {
    let software = software();
    let (made, shown) = (software.makes(b"c"), software.shows(b"c"));
    let seeds = [made.authenticator_data.as_slice(), &shown.authenticator_data, &software.public_key()];
    fuzz("authenticator_data", 20_000, &seeds, |bytes| {
        let key = PublicKey::read(bytes).map(|(_, after)| after.len());
        assert!(key.is_none_or(|after| after < bytes.len()));
        let made = Creation { client_data: made.client_data.clone(), authenticator_data: bytes.to_vec() };
        let read = site().made(&made).ok().map(|made| made.credential.len());
        assert!(read.is_none_or(|length| (1..=LONGEST_ID).contains(&length)));
        (key, read)
    });
}
