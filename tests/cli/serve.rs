//! `var serve` as a process: its images are those of the other commands, its end is polite.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::{Place, faults, small_model};

/// A server in a process of its own, killed when it is dropped.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn new(place: &Place, options: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--port", "0", "--device", "cpu", "--threads", "1"];
        arguments.extend(options);
        #[cfg(unix)]
        let mut command = place.command_that_signals_end(&arguments);
        #[cfg(not(unix))]
        let mut command = place.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        Self { address: address.unwrap_or_else(|| panic!("says {line:?}")).to_owned(), child }
    }

    /// The body of an answer, up to the end of the connection.
    fn ask(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (address, length) = (&self.address, body.len());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        bytes.split_off(end + 4)
    }

    fn json(&self, method: &str, path: &str, body: &str) -> Value {
        serde_json::from_slice(&self.ask(method, path, body)).unwrap()
    }

    /// The PNG files of a job.
    fn images(&self, command: &str, body: &Value) -> Vec<Vec<u8>> {
        let answer = self.json("POST", &format!("/api/{command}"), &body.to_string());
        let id = answer["id"].as_str().unwrap_or_else(|| panic!("{answer}"));
        // Ends with the job.
        self.ask("GET", &format!("/api/jobs/{id}/events"), "");
        let job = self.json("GET", &format!("/api/jobs/{id}"), "");
        let images = job["images"].as_array().unwrap_or_else(|| panic!("{job}"));
        images.iter().map(|image| self.ask("GET", image["url"].as_str().unwrap(), "")).collect()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn served_images_are_the_files_of_sample_and_edit() {
    let place = Place::new();
    let serving = Serving::new(&place, &[]);
    let body =
        json!({ "classes": [3, "bag"], "count": 2, "seed": 7, "cfg": 4, "temperature": 0.7 });
    let served = serving.images("sample", &body);
    let line = "sample --class 3,bag --per-class 2 --seed 7 --cfg 4 --temperature 0.7 -q --device cpu -o out/";
    place.var(&line.split(' ').collect::<Vec<_>>());
    let names = ["000000-class3", "000001-class3", "000002-class8", "000003-class8"];
    for (name, png) in names.iter().zip(&served) {
        assert!(place.bytes(&format!("out/{name}.png")) == *png, "{name}");
    }
    assert_eq!(served.len(), names.len());

    std::fs::write(place.path("own.png"), &served[0]).unwrap();
    std::fs::write(place.path("mask.png"), &served[2]).unwrap();
    let image = base64(&served[0]);
    for (part, options) in [
        (json!({ "box": [0, 0.25, 0.5, 1], "overlay": true }), "--box 0,0.25,0.5,1 --overlay"),
        (
            json!({ "mask": base64(&served[2]), "mask_name": "mask.png", "outpaint": true }),
            "--mask mask.png --outpaint",
        ),
    ] {
        let mut body =
            json!({ "image": image, "image_name": "own.png", "class": "bag", "seed": 9 });
        body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        let edited = serving.images("edit", &body);
        let line = format!("edit own.png {options} --class bag --seed 9 -q --force --device cpu");
        place.var(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(edited.len(), 1);
        assert!(place.bytes("edited.png") == edited[0], "{options}");
    }
}

#[test]
fn port_in_use_is_refused_with_the_next_free_one() {
    let place = Place::new();
    let serving = Serving::new(&place, &[]);
    let port = serving.address.rsplit_once(':').unwrap().1;
    let message = format!("127.0.0.1:{port}: the port is in use; the next free one is ");
    place.refused(&["serve", "--port", port], 1, &message);
    place.refused(&["serve", "--port", "65536"], 2, "65536 is not in 0..=65535");
    place.refused(&["serve", "--host", "example.org"], 2, "no IP address");
    place.refused(&["serve", "--queue", "0"], 2, "0 is not in 1..=1024");
}

#[test]
fn model_file_that_is_replaced_is_served_as_it_was_opened_and_that_is_said() {
    let place = Place::new();
    std::fs::copy(small_model(), place.path("model")).unwrap();
    let serving = Serving::new(&place, &["--model", "model"]);
    let body = json!({ "classes": [3], "seed": 1 });
    let before = serving.images("sample", &body);
    assert_eq!(serving.json("GET", "/api/info", "")["model_is_replaced"], false);
    std::fs::write(place.path("other"), "no model").unwrap();
    std::fs::rename(place.path("other"), place.path("model")).unwrap();
    let begun = std::time::Instant::now();
    while serving.json("GET", "/api/info", "")["model_is_replaced"] != true {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not said");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(serving.images("sample", &body), before);
}

#[cfg(unix)]
#[test]
fn signals_end_the_server_within_a_second_as_an_orderly_end() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let mut serving = Serving::new(&place, &[]);
        let body = json!({ "classes": [3], "count": 64, "more_smooth": true }).to_string();
        let answer = serving.json("POST", "/api/sample", &body);
        let path = format!("/api/jobs/{}/events", answer["id"].as_str().unwrap());
        let sent = std::thread::scope(|scope| {
            let events = scope.spawn(|| String::from_utf8(serving.ask("GET", &path, "")).unwrap());
            let job = path.trim_end_matches("/events");
            while serving.json("GET", job, "")["state"] != "running" {}
            let process = serving.child.id().to_string();
            let mut kill = std::process::Command::new("kill");
            let killed = kill.args([&format!("-{signal}"), &process]).status().unwrap();
            assert!(killed.success());
            let sent = std::time::Instant::now();
            assert!(events.join().unwrap().contains("event: canceled"));
            sent
        });
        let status = serving.child.wait().unwrap();
        assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
        assert_eq!(status.code(), Some(0), "{signal}");
        let mut stderr = Vec::new();
        serving.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let output = std::process::Output { status, stdout: Vec::new(), stderr };
        assert_eq!(faults(&output), "", "{signal}");
        assert_eq!(place.names(), [""; 0], "it wrote something");
    }
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_there = digit <= three.len();
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_there { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}
