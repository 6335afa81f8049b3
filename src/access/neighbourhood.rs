//! What one who holds a network address mostly holds with it: whoever tries much is counted by that.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address of IPv4, or all of IPv6 with the same first 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Neighbourhood(IpAddr);

impl Neighbourhood {
    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Neighbourhood {
        Neighbourhood(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        })
    }

    /// That of whoever may be counted by it. A peer on this machine is a proxy that was not named as one: it stands for everybody.
    pub(super) fn elsewhere(address: IpAddr) -> Option<Neighbourhood> {
        (!address.is_loopback()).then(|| Neighbourhood::of(address))
    }
}

impl fmt::Display for Neighbourhood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_of_ipv4_or_64_bits_of_ipv6_and_never_this_machine() {
        let counted = |source: &str| Neighbourhood::elsewhere(source.parse().unwrap());
        let named = |source: &str| counted(source).map(|neighbourhood| neighbourhood.to_string());
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:2"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
        assert_ne!(counted("::ffff:192.0.2.1"), counted("::ffff:192.0.2.2"), "however an address of IPv4 is written");
        assert_eq!(named("2001:db8:1:2:3::4").as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(named("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!([counted("127.0.0.1"), counted("::1")], [None, None]);
    }
}
