//! Whether a browser keeps the cookie that keeps one signed in: over TLS, behind a proxy that speaks it, or on the machine itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, header};

use super::Site;
use crate::edge::Peer;

/// How people and Notify reach the site.
pub(super) struct PublicUrl {
    url: String,
    /// Its host's name, where it is https.
    https_host: Option<String>,
}

impl PublicUrl {
    /// Of what was given, such as `https://callbacks.example.gov.uk`.
    pub(super) fn of(url: &str) -> PublicUrl {
        let https = url.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let rest = https.and_then(|scheme| url.get(scheme.len()..));
        let https_host = rest.map(|rest| name(rest.split(['/', '?', '#']).next().unwrap_or_default()));
        PublicUrl { url: url.trim_end_matches('/').to_owned(), https_host }
    }

    /// Whether it is https.
    pub(super) fn is_https(&self) -> bool {
        self.https_host.is_some()
    }
}

impl Site {
    /// Whether a browser that sent a request keeps our cookie.
    pub(super) fn is_safe(&self, headers: &HeaderMap, peer: Option<Peer>) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(name).unwrap_or_default();
        let public = self.public_url.as_ref().and_then(|url| url.https_host.as_deref());
        peer.is_some_and(|peer| peer.tls) || is_this_machine(&host) || public == Some(host.as_str())
    }

    /// The address that a link to this site begins with: as it was said at the start, else as whoever asks reached it.
    pub(super) fn reached_at(&self, headers: &HeaderMap, peer: Option<Peer>) -> String {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let scheme = if peer.is_some_and(|peer| peer.tls) { "https" } else { "http" };
        self.public_url.as_ref().map_or_else(|| format!("{scheme}://{host}"), |public| public.url.clone())
    }

    /// The address that Notify reaches this site by, where it was said at the start.
    pub(super) fn public_address(&self) -> Option<&str> {
        self.public_url.as_ref().map(|public| public.url.as_str())
    }

    /// The same page where it is safe, if that is known.
    pub(super) fn safe_address(&self, path: &str) -> Option<String> {
        self.public_url.as_ref().filter(|url| url.is_https()).map(|url| format!("{}{path}", url.url))
    }
}

/// The name of a host as it is compared: without port and last dot, in lower case.
fn name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_this_machine(name: &str) -> bool {
    let six = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || six.is_some_and(|six| six.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_same_in_any_case_with_a_port_and_a_last_dot() {
        let public = PublicUrl::of("HTTPS://Callbacks.Example.gov.uk/");
        assert!(public.is_https());
        for host in ["callbacks.example.gov.uk", "CALLBACKS.example.gov.uk.", "callbacks.example.gov.uk:443"] {
            assert_eq!(public.https_host.as_deref(), Some(name(host).as_str()), "{host}");
        }
        assert!(!PublicUrl::of("http://callbacks.example.gov.uk").is_https());
    }

    #[test]
    fn the_machine_itself_is_known_by_its_names() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "a.localhost",
            "localhost.",
            "127.0.0.1:80",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(is_this_machine(&name(host)), "{host}");
        }
        for host in ["", "localhost.example", "128.0.0.1", "[::2]", "notlocalhost", "10.0.0.1:127"] {
            assert!(!is_this_machine(&name(host)), "{host}");
        }
    }
}
