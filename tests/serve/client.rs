//! A server with a small model, and requests to it.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use serde_json::Value;
use var_host::{Device, Model};
use var_serve::{Limits, ServeError, Server, Settings, Stop};

/// The longest a test waits for bytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, ended when it is dropped.
pub(crate) struct Served {
    pub(crate) port: u16,
    stop: Stop,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An event of a job.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: usize,
    pub(crate) data: Value,
}

/// A model of 32 × 32 images of clothes in ten classes: its 30 tokens take a small part of the time of the
/// built-in model's 130.
pub(crate) fn small_model() -> Model {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    Model::open(format!("{fixtures}/fashion_reference.safetensors")).unwrap()
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::within(Limits::default())
    }

    pub(crate) fn within(limits: Limits) -> Self {
        let server = Server::bind(Settings {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            limits,
            files: Vec::new(),
            device: "cpu".to_owned(),
            threads: 1,
            isa: String::new(),
        })
        .unwrap();
        let port = server.url().trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
        let stop = server.stop();
        let model = small_model().on(Device::cpu().threads(1));
        let thread = std::thread::spawn(move || server.run(model));
        Self { port, stop, thread: Some(thread) }
    }

    /// Ends it and waits for its end.
    pub(crate) fn end(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic").expect("an orderly end");
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a head, with this server's Host, and a body; the connection, to be read from.
    pub(crate) fn send(&self, head: &str, body: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        let port = self.port;
        write!(stream, "{head}Host: localhost:{port}\r\nConnection: close\r\n\r\n").unwrap();
        // A server that refuses early may not read on.
        let _ = stream.write_all(body);
        stream
    }

    /// The answer to bytes as they are.
    pub(crate) fn raw(&self, bytes: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes.as_bytes()).unwrap();
        read(stream).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        read(self.send(&format!("GET {path} HTTP/1.1\r\n"), b"")).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        read(self.send(&head, body.as_bytes())).unwrap()
    }

    /// Queues a job and returns its number.
    #[track_caller]
    pub(crate) fn submit(&self, command: &str, body: &Value) -> String {
        let answer = self.post(&format!("/api/{command}"), &body.to_string());
        assert_eq!(answer.status, 202, "{command}: {}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// A connection with the events of a job.
    pub(crate) fn listen(&self, id: &str) -> Events {
        let stream = self.send(&format!("GET /api/jobs/{id}/events HTTP/1.1\r\n"), b"");
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader).unwrap();
        assert_eq!(status, 200, "{headers:?}");
        Events { lines: Chunked { reader, left: 0, is_first: true }.lines_of() }
    }

    /// All events of a job, up to its end.
    pub(crate) fn events(&self, command: &str, body: &Value) -> Vec<Event> {
        self.listen(&self.submit(command, body)).collect()
    }

    /// A job as the server tells of it.
    pub(crate) fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/jobs/{id}")).json()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.as_str())
    }

    /// Fails unless it is this error.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str, message: &str) {
        let error = &self.json()["error"];
        assert_eq!((self.status, error["code"].as_str()), (status, Some(code)), "{}", self.text());
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}: not {message}");
    }
}

/// Reads an answer whole.
fn read(stream: TcpStream) -> io::Result<Answer> {
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Answer { status, headers, body })
}

/// The status and the headers.
fn head(reader: &mut BufReader<TcpStream>) -> io::Result<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, headers))
}

/// The events of a job, as they come.
pub(crate) struct Events {
    lines: io::Lines<BufReader<Chunked>>,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), 0, Value::Null);
        loop {
            let line = self.lines.next()?.expect("a stream with an end");
            match line.split_once(": ") {
                Some(("event", text)) => name = text.to_owned(),
                Some(("id", text)) => id = text.parse().unwrap(),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                _ if line.is_empty() && !name.is_empty() => return Some(Event { name, id, data }),
                _ => {}
            }
        }
    }
}

/// A body in chunks.
struct Chunked {
    reader: BufReader<TcpStream>,
    /// Bytes left of the chunk.
    left: usize,
    is_first: bool,
}

impl Chunked {
    fn lines_of(self) -> io::Lines<BufReader<Self>> {
        BufReader::new(self).lines()
    }
}

impl Read for Chunked {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            if !self.is_first {
                self.reader.read_line(&mut line)?;
                line.clear();
            }
            self.is_first = false;
            self.reader.read_line(&mut line)?;
            self.left = usize::from_str_radix(line.trim(), 16)
                .map_err(|_| io::Error::other("the stream is cut off"))?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = to.len().min(self.left);
        let count = self.reader.read(&mut to[..most])?;
        self.left -= count;
        Ok(count)
    }
}
