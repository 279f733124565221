//! Requests of other sites are refused; every answer has the same headers.

use crate::client::Served;

#[test]
fn hosts_that_are_not_the_servers_are_refused() {
    let served = Served::new();
    let port = served.port;
    let ask = |headers: &str| {
        served.raw(&format!("GET /api/health HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"))
    };
    for host in [
        format!("localhost.evil.com:{port}"),
        format!("127.0.0.1.evil.com:{port}"),
        format!("localhost:{}", port - 1),
        "localhost".to_owned(),
        String::new(),
    ] {
        ask(&format!("Host: {host}\r\n")).assert_error(403, "host", "this server is");
    }
    ask("").assert_error(403, "host", "one Host header");
    let twice = format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n");
    ask(&twice).assert_error(403, "host", "one Host header");
    let elsewhere = format!(
        "GET http://evil.com/api/health HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    );
    served.raw(&elsewhere).assert_error(403, "host", "evil.com");
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(ask(&format!("Host: {host}:{port}\r\n")).status, 200, "{host}");
    }
}

#[test]
fn origins_that_are_not_the_servers_are_refused() {
    let served = Served::new();
    let port = served.port;
    let ask = |origin: &str| {
        let headers = format!("Host: localhost:{port}\r\nOrigin: {origin}\r\nConnection: close");
        served.raw(&format!("GET /api/health HTTP/1.1\r\n{headers}\r\n\r\n"))
    };
    for origin in ["http://evil.com", "null", "https://localhost", "http://localhost:1"] {
        ask(origin).assert_error(403, "origin", origin);
    }
    assert_eq!(ask(&format!("http://localhost:{port}")).status, 200);
}

#[test]
fn every_answer_has_the_security_headers() {
    let served = Served::new();
    let foreign = served.raw("GET / HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n");
    for answer in [served.get("/"), served.get("/nothing"), served.post("/api/info", ""), foreign] {
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}
