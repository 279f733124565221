//! Names of this server: those that Host and Origin may have.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The names and the port under which the server is reached.
#[derive(Clone, Debug)]
pub(crate) struct ServerNames {
    /// The address it was told to listen at.
    given: IpAddr,
    port: u16,
}

/// Port of `http:` without one.
const HTTP: u16 = 80;

impl ServerNames {
    pub(crate) fn new(given: IpAddr, port: u16) -> Self {
        Self { given, port }
    }

    /// Whether `host`, `NAME:PORT` or `NAME`, is this server's, reached at the address `local`.
    ///
    /// Compared as a whole: a name that only begins or ends so is another's.
    pub(crate) fn has_host(&self, host: &str, local: IpAddr) -> bool {
        let Some((name, port)) = parted(host) else { return false };
        if port != self.port {
            return false;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(inner) => inner.parse().map(IpAddr::V6),
            None => name.parse().map(IpAddr::V4),
        };
        // An address is no name that somebody else can point here.
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        address.is_ok_and(|address| {
            loopback.contains(&address) || address == self.given || address == local.to_canonical()
        })
    }

    /// Whether `origin` is a page of this server's.
    pub(crate) fn has_origin(&self, origin: &str, local: IpAddr) -> bool {
        origin.strip_prefix("http://").is_some_and(|host| self.has_host(host, local))
    }

    /// Its address for people and browsers.
    pub(crate) fn url(&self) -> String {
        let shown =
            if self.given.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.given };
        format!("http://{}/", SocketAddr::new(shown, self.port))
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        SocketAddr::new(self.given, self.port).to_string()
    }
}

/// The name and the port of a host.
fn parted(host: &str) -> Option<(&str, u16)> {
    let end = host.find(']').map_or(0, |bracket| bracket + 1);
    let (name, port) = match host[end..].find(':') {
        None => (host, HTTP),
        Some(colon) => {
            let (name, port) = (&host[..end + colon], &host[end + colon + 1..]);
            let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            (name, is_number.then(|| port.parse().ok())??)
        }
    };
    (!name.is_empty()).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn hosts_are_compared_as_a_whole() {
        let names = ServerNames::new(LOOPBACK, 8400);
        for host in ["localhost:8400", "LocalHost:8400", "127.0.0.1:8400", "[::1]:8400"] {
            assert!(names.has_host(host, LOOPBACK), "{host}");
        }
        for host in [
            "",
            ":8400",
            "localhost",
            "localhost:",
            "localhost:8401",
            "localhost:84000",
            "localhost.evil.com:8400",
            "127.0.0.1.evil.com:8400",
            "evil.com:8400",
            "localhost:8400.evil.com",
            "evil.com#localhost:8400",
            "user@localhost:8400",
            "localhost.:8400",
            "127.0.0.2:8400",
            "127.1:8400",
            "0.0.0.0:8400",
            "[::]:8400",
            "::1:8400",
            "[::1]8400",
            "localhost:+8400",
            " localhost:8400",
            "2130706433:8400",
        ] {
            assert!(!names.has_host(host, LOOPBACK), "{host}");
        }
    }

    #[test]
    fn port_80_need_not_be_said() {
        let names = ServerNames::new(LOOPBACK, 80);
        assert!(names.has_host("localhost", LOOPBACK) && names.has_host("[::1]", LOOPBACK));
        assert!(names.has_origin("http://127.0.0.1", LOOPBACK));
    }

    #[test]
    fn address_of_the_connection_is_a_name_where_all_are_listened_at() {
        let names = ServerNames::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8400);
        let local = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
        assert!(names.has_host("192.168.1.7:8400", local));
        assert!(!names.has_host("192.168.1.8:8400", local));
        assert!(!names.has_host("printer.local:8400", local));
        assert_eq!(names.url(), "http://127.0.0.1:8400/");
    }

    #[test]
    fn origins_are_pages_of_the_server_alone() {
        let names = ServerNames::new(LOOPBACK, 8400);
        assert!(names.has_origin("http://localhost:8400", LOOPBACK));
        for origin in [
            "null",
            "",
            "https://localhost:8400",
            "http://localhost:8401",
            "localhost:8400",
            "http://localhost:8400/",
            "http://localhost.evil.com:8400",
            "http://evil.com",
            "http://localhost:8400@evil.com",
            "file://",
        ] {
            assert!(!names.has_origin(origin, LOOPBACK), "{origin}");
        }
    }
}
