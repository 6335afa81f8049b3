//! Where a request comes from: the one place that decides whether a forwarded address is believed. It is, from proxies that were
//! named alone, and what stands in `X-Forwarded-For` is read from the right: everything left of the first address that is no such
//! proxy was written by whoever asks.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;

const FORWARDED: &str = "x-forwarded-for";

/// An address, or all that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        begin_alike(self.first, address.to_canonical(), self.bits)
    }
}

fn begin_alike(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let alike = |one: u128, other: u128, width: u32| {
        (one ^ other).checked_shr(width - u32::from(bits)).is_none_or(|different| different == 0)
    };
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => alike(u128::from(one.to_bits()), u128::from(other.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => alike(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(typed: &str) -> Result<Network, String> {
        let wrong =
            || "write it as an IP address, or as an address, / and a number of bits, such as 10.0.0.0/8".to_owned();
        let (address, bits) = typed.split_once('/').map_or((typed, None), |(address, bits)| (address, Some(bits)));
        let first = address.parse::<IpAddr>().map_err(|_| wrong())?;
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse::<u8>).ok().filter(|bits| *bits <= width).ok_or_else(wrong)?;
        Ok(Network { first, bits })
    }
}

/// The proxies whose word is taken for who is behind them.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Network]>);

impl Proxies {
    /// Those that lie in one of these.
    #[must_use]
    pub fn at(networks: Vec<Network>) -> Proxies {
        Proxies(networks.into())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address))
    }

    /// Where a request comes from that a peer sent with these headers.
    pub(super) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(FORWARDED).iter().rev();
        // What is no text is no address either, and ends the way back.
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')).map(address);
        let mut source = peer.to_canonical();
        while self.trusts(source) {
            match hops.next().flatten() {
                Some(before) => source = before,
                None => break,
            }
        }
        source
    }
}

/// An address as proxies write it: some add the port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let with_port = || hop.parse().ok().map(|address: std::net::SocketAddr| address.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    hop.parse::<IpAddr>().ok().or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn source(proxies: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let proxies = Proxies::at(proxies.iter().map(|typed| typed.parse().unwrap()).collect());
        let line = |line: &&'static str| (HeaderName::from_static(FORWARDED), HeaderValue::from_static(line));
        proxies.source(peer.parse().unwrap(), &lines.iter().map(line).collect()).to_string()
    }

    #[test]
    fn a_forwarded_address_is_believed_from_a_named_proxy_alone() {
        assert_eq!(source(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(source(&["192.0.2.2"], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(source(&["192.0.2.1"], "192.0.2.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(source(&["192.0.2.0/24"], "::ffff:192.0.2.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(source(&["2001:db8::/32"], "2001:db8::1", &["[2001:db9::7]:443"]), "2001:db9::7");
        assert_eq!(source(&["192.0.2.1"], "192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn what_whoever_asks_wrote_themselves_counts_for_nothing() {
        let proxies = ["192.0.2.0/24"];
        assert_eq!(source(&proxies, "192.0.2.1", &["127.0.0.1, 10.1.1.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(source(&proxies, "192.0.2.1", &["10.1.1.1", "198.51.100.7, 192.0.2.9"]), "198.51.100.7");
        assert_eq!(source(&proxies, "192.0.2.1", &["10.1.1.1, nonsense, 192.0.2.9"]), "192.0.2.9");
        assert_eq!(source(&proxies, "192.0.2.1", &["192.0.2.7"]), "192.0.2.7", "a proxy that asks for itself");
        assert_eq!(source(&proxies, "192.0.2.1", &[""]), "192.0.2.1");
    }

    #[test]
    fn a_network_is_an_address_and_a_number_of_bits_that_it_has() {
        let holds = |network: &str, address: &str| network.parse::<Network>().unwrap().holds(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && holds("::1", "::1") && !holds("::1", "::2"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "proxy.example", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
