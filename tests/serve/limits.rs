//! Limits: bodies, connections, slow clients, broken JSON.

use core::time::Duration;
use std::io::{Read, Write};
use std::time::Instant;

use serde_json::json;
use var_serve::Limits;

use crate::client::Served;

#[test]
fn bodies_that_are_no_json_objects_are_refused() {
    let served = Served::new();
    for body in ["", "{", "[1", "nul", "{\"classes\":}", "\u{0}", "{\"classes\":[1]}x"] {
        served.post("/api/sample", body).assert_error(400, "broken_json", "no JSON");
    }
    let deep = "[".repeat(10_000);
    served.post("/api/sample", &deep).assert_error(400, "broken_json", "recursion limit");
    for body in ["7", "null", "[]", "\"a\""] {
        served.post("/api/sample", body).assert_error(400, "broken_json", "no object");
    }
    let text = format!(
        "POST /api/sample HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        served.port
    );
    served.raw(&text).assert_error(415, "media_type", "text/plain");
}

#[test]
fn bodies_past_the_limit_are_refused_with_both_numbers() {
    let mut limits = Limits::default();
    limits.body_bytes = 1000;
    limits.values = 50;
    let served = Served::within(limits);
    let large = json!({ "classes": ["x".repeat(2000)] }).to_string();
    let answer = served.post("/api/sample", &large);
    answer.assert_error(413, "too_large", "the body has 2016 bytes, at most 1000");
    let error = &answer.json()["error"];
    assert_eq!((&error["value"], &error["limit"]), (&json!(2016), &json!(1000)));
    let many = json!({ "classes": vec![1; 60] }).to_string();
    served.post("/api/sample", &many).assert_error(413, "too_large", "at most 50 are taken");
    // Without a length, the bytes are counted.
    let port = served.port;
    let chunk = "x".repeat(2000);
    let chunked = format!(
        "POST /api/sample HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n7d0\r\n{chunk}\r\n0\r\n\r\n"
    );
    served.raw(&chunked).assert_error(413, "too_large", "more than 1000 bytes");
}

#[test]
fn slow_clients_are_let_go() {
    let mut limits = Limits::default();
    limits.header_time = Duration::from_millis(200);
    limits.body_time = Duration::from_millis(200);
    let served = Served::within(limits);
    let start = Instant::now();
    let mut idle = served.connect();
    let mut half = served.connect();
    half.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    for stream in [&mut idle, &mut half] {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        assert!(!text.contains("200 OK"), "{text}");
    }
    let head =
        "POST /api/sample HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n";
    let mut text = String::new();
    served.send(head, b"{").read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("\"slow\""), "{text}");
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(served.get("/api/health").status, 200);
}

#[test]
fn connections_past_the_limit_wait_their_turn() {
    let mut limits = Limits::default();
    limits.connections = 2;
    limits.header_time = Duration::from_millis(500);
    let served = Served::within(limits);
    let _idle = [served.connect(), served.connect()];
    let start = Instant::now();
    assert_eq!(served.get("/api/health").status, 200);
    assert!(start.elapsed() > Duration::from_millis(200), "{:?}", start.elapsed());
}

#[test]
fn unknown_paths_methods_and_jobs_are_told_in_json() {
    let served = Served::new();
    served.get("/api/nothing").assert_error(404, "unknown_path", "/api/nothing");
    served.get("/../Cargo.toml").assert_error(404, "unknown_path", "nothing is here");
    served.get("/%2e%2e%2fCargo.toml").assert_error(404, "unknown_path", "nothing is here");
    let wrong = served.post("/api/info", "");
    wrong.assert_error(405, "method", "POST is not a method of /api/info");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    for id in ["x", "0123456789abcdef", "0123456789ABCDEF", "%ff"] {
        let answer = served.get(&format!("/api/jobs/{id}"));
        assert!((400..500).contains(&answer.status), "{answer:?}");
        answer.json();
    }
    let info = served.get("/api/info").json();
    assert_eq!((&info["model"]["classes"], &info["limits"]["queue"]), (&json!(10), &json!(8)));
    assert_eq!(served.get("/api/classes").json()[8], json!({ "label": 8, "name": "bag" }));
}
