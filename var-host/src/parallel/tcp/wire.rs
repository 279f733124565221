//! The bytes on the connections. Numbers are little-endian.
//!
//! Before anything else two ranks prove to each other that they know the job's key: each sends a
//! nonce, and each message of the start then carries a keyed hash (BLAKE3) over both nonces, its
//! direction, its number and its text. The key itself is never sent, a greeting that was overheard is
//! of no use on another connection, and lengths are checked before memory is asked for.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of all that is in this folder; ranks of different versions refuse each other.
pub(super) const VERSION: u16 = 2;

const MAGIC: [u8; 6] = *b"varrnk";

/// The longest message while the ranks come together: addresses of some ten thousand ranks.
const MAX_MESSAGE: u32 = 1 << 20;

/// The longest handshake: all the memory that an unknown connection can make a rank allocate.
pub(super) const MAX_HANDSHAKE: u32 = 1 << 10;

const NONCE: usize = 32;

/// The first message on a connection, by the rank that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Handshake {
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) purpose: Purpose,
    /// Where this rank listens for ranks of higher numbers.
    pub(super) port: u16,
}

/// Purpose of a connection. Two ranks have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Heartbeats, and news of lost ranks.
    Signals,
    /// Calls and their values.
    Links,
}

/// Answers to [`Handshake`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The rank was waited for.
    Accepted,
    /// The rank is of this job and yet wrong: it cannot take part.
    Refused(String),
    /// All ranks are there: the addresses and ports they listen at.
    Everyone(Vec<(core::net::IpAddr, u16)>),
}

/// The sides of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Connects,
    Listens,
}

/// A connection while the ranks come together: messages carry proof of the job's key.
#[derive(Debug)]
pub(super) struct Channel {
    stream: TcpStream,
    side: Side,
    key: [u8; blake3::KEY_LEN],
    sent: u64,
    received: u64,
}

impl Channel {
    /// Exchanges nonces. The side that listens sends nothing before it has heard a rank's greeting.
    ///
    /// # Errors
    /// Those of the connection; `InvalidData` if the other side is no rank of this version.
    pub(super) fn open(
        stream: TcpStream,
        side: Side,
        job: &[u8; blake3::KEY_LEN],
        deadline: Instant,
    ) -> io::Result<Self> {
        let mut own = [0; NONCE];
        getrandom::fill(&mut own).map_err(io::Error::other)?;
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &own].concat();
        let mut timed = Timed { stream: &stream, deadline };
        if side == Side::Connects {
            timed.write_all(&head)?;
        }
        let mut theirs = [0; MAGIC.len() + 2 + NONCE];
        timed.read_exact(&mut theirs[..MAGIC.len()])?;
        if !theirs.starts_with(&MAGIC) {
            return Err(invalid("is no rank of var".to_owned()));
        }
        timed.read_exact(&mut theirs[MAGIC.len()..])?;
        if side == Side::Listens {
            timed.write_all(&head)?;
        }
        let version = u16::from_le_bytes([theirs[6], theirs[7]]);
        if version != VERSION {
            return Err(invalid(format!("speaks version {version}, this rank {VERSION}")));
        }
        let theirs = &theirs[MAGIC.len() + 2..];
        let (first, second) = match side {
            Side::Connects => (&own[..], theirs),
            Side::Listens => (theirs, &own[..]),
        };
        let key = *blake3::keyed_hash(job, &[first, second].concat()).as_bytes();
        Ok(Self { stream, side, key, sent: 0, received: 0 })
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &impl Serialize, deadline: Instant) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let length = u32::try_from(text.len()).ok().filter(|length| *length <= MAX_MESSAGE);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let proof = self.proof(self.side, self.sent, &text);
        self.sent += 1;
        let frame = [&length.to_le_bytes()[..], proof.as_bytes(), &text].concat();
        Timed { stream: &self.stream, deadline }.write_all(&frame)
    }

    /// Receives an answer.
    ///
    /// # Errors
    /// As [`receive_within`](Self::receive_within).
    pub(super) fn receive(&mut self, deadline: Instant) -> io::Result<Answer> {
        self.receive_within(MAX_MESSAGE, deadline)
    }

    /// Receives a message of at most so many bytes.
    ///
    /// # Errors
    /// Besides those of the connection, `InvalidData` if it is longer, or does not prove that its sender
    /// has the key, or is no message.
    pub(super) fn receive_within<T: DeserializeOwned>(
        &mut self,
        longest: u32,
        deadline: Instant,
    ) -> io::Result<T> {
        let mut timed = Timed { stream: &self.stream, deadline };
        let (mut length, mut proof) = ([0; 4], [0; blake3::OUT_LEN]);
        timed.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > longest {
            return Err(invalid(format!("sends a message of {length} bytes, more than {longest}")));
        }
        timed.read_exact(&mut proof)?;
        let mut text = vec![0; length as usize];
        timed.read_exact(&mut text)?;
        let other = match self.side {
            Side::Connects => Side::Listens,
            Side::Listens => Side::Connects,
        };
        // Hashes are compared in constant time.
        if self.proof(other, self.received, &text) != blake3::Hash::from_bytes(proof) {
            return Err(invalid("is of another job or has another VAR_RANKS_SECRET".to_owned()));
        }
        self.received += 1;
        serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))
    }

    /// The connection.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The connection, now that the ranks have come together.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn proof(&self, sender: Side, number: u64, text: &[u8]) -> blake3::Hash {
        let mut proof = blake3::Hasher::new_keyed(&self.key);
        proof.update(&[sender as u8]).update(&number.to_le_bytes()).update(text);
        proof.finalize()
    }
}

/// A connection that must be done at a moment, however few bytes come at a time.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(to)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn invalid(fault: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

/// Messages besides the calls, at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The sender lives.
    Alive,
    /// The sender ends its part of the run.
    Leaving,
    /// The sender has lost this rank.
    Lost(usize),
}

pub(super) fn write_signal(mut to: impl Write, signal: Signal) -> io::Result<()> {
    let (kind, rank) = match signal {
        Signal::Alive => (b'a', 0),
        Signal::Leaving => (b'e', 0),
        Signal::Lost(rank) => (b'l', rank as u32),
    };
    let [a, b, c, d] = rank.to_le_bytes();
    to.write_all(&[kind, 0, 0, 0, a, b, c, d])
}

/// Receives a signal.
///
/// # Errors
/// Besides those of the connection, `InvalidData` if it is none.
pub(super) fn read_signal(mut from: impl Read) -> io::Result<Signal> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    let [kind, _, _, _, rank @ ..] = bytes;
    match kind {
        b'a' => Ok(Signal::Alive),
        b'e' => Ok(Signal::Leaving),
        b'l' => Ok(Signal::Lost(u32::from_le_bytes(rank) as usize)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "sends no signal")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// Both ends of a connection.
    fn streams() -> [TcpStream; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connects = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        [connects, listener.accept().unwrap().0]
    }

    fn channels(keys: [[u8; 32]; 2]) -> [Channel; 2] {
        let [connects, listens] = streams();
        let other = thread::spawn(move || Channel::open(listens, Side::Listens, &keys[1], soon()));
        let one = Channel::open(connects, Side::Connects, &keys[0], soon()).unwrap();
        [one, other.join().unwrap().unwrap()]
    }

    fn handshake() -> Handshake {
        Handshake { rank: 1, size: 2, purpose: Purpose::Links, port: 65535 }
    }

    #[test]
    fn messages_are_received_as_sent() {
        let [mut one, mut other] = channels([KEY; 2]);
        let everyone =
            Answer::Everyone(vec![([127, 0, 0, 1].into(), 1), ([10, 0, 0, 1].into(), 2)]);
        one.send(&handshake(), soon()).unwrap();
        assert_eq!(other.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).unwrap(), handshake());
        for answer in [Answer::Accepted, everyone] {
            other.send(&answer, soon()).unwrap();
            assert_eq!(one.receive(soon()).unwrap(), answer);
        }
        for signal in [Signal::Alive, Signal::Leaving, Signal::Lost(300)] {
            let mut bytes = Vec::new();
            write_signal(&mut bytes, signal).unwrap();
            assert_eq!(read_signal(&bytes[..]).unwrap(), signal);
        }
        assert!(read_signal(&[0; 8][..]).is_err());
    }

    #[test]
    fn another_key_is_refused_by_both_sides() {
        let refused = "is of another job or has another VAR_RANKS_SECRET";
        let [mut one, mut other] = channels([KEY, [8; 32]]);
        one.send(&handshake(), soon()).unwrap();
        let error = other.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).unwrap_err();
        assert_eq!(error.to_string(), refused);
        other.send(&Answer::Accepted, soon()).unwrap();
        assert_eq!(one.receive(soon()).unwrap_err().to_string(), refused);
    }

    /// A greeting that was overheard proves nothing on another connection, nor twice on its own, nor
    /// in the other direction.
    #[test]
    fn greetings_cannot_be_sent_again() {
        let [mut one, other] = channels([KEY; 2]);
        one.send(&handshake(), soon()).unwrap();
        let mut overheard = [0; 512];
        let length = other.stream().read(&mut overheard).unwrap();
        let overheard = &overheard[..length];
        let [one, mut other] = channels([KEY; 2]);
        one.stream().write_all(overheard).unwrap();
        assert!(other.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).is_err());

        let [mut one, mut other] = channels([KEY; 2]);
        one.send(&handshake(), soon()).unwrap();
        let length = other.stream().peek(&mut [0; 512]).unwrap();
        let mut sent = vec![0; length];
        other.stream().peek(&mut sent).unwrap();
        other.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).unwrap();
        one.stream().write_all(&sent).unwrap();
        assert!(other.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).is_err());
        other.stream().write_all(&sent).unwrap();
        assert!(one.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).is_err());
    }

    #[test]
    fn lengths_are_checked_first() {
        let [one, mut other] = channels([KEY; 2]);
        one.stream().write_all(&u32::MAX.to_le_bytes()).unwrap();
        let error = other.receive_within::<Handshake>(MAX_HANDSHAKE, soon()).unwrap_err();
        assert_eq!(error.to_string(), "sends a message of 4294967295 bytes, more than 1024");
    }

    #[test]
    fn other_programs_and_versions_are_told() {
        for (sent, message) in [
            (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "is no rank of var"),
            (&[&b"varrnk\x09\0"[..], &[0; NONCE]].concat(), "speaks version 9, this rank 2"),
        ] {
            let [connects, listens] = streams();
            (&connects).write_all(sent).unwrap();
            let error = Channel::open(listens, Side::Listens, &KEY, soon()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    /// A byte now and then does not keep a rank waiting.
    #[test]
    fn slow_strangers_run_out_of_time() {
        let [connects, listens] = streams();
        let slow = thread::spawn(move || {
            MAGIC.iter().cycle().try_for_each(|byte| {
                thread::sleep(Duration::from_millis(50));
                (&connects).write_all(&[*byte])
            })
        });
        let start = Instant::now();
        let opened =
            Channel::open(listens, Side::Listens, &KEY, start + Duration::from_millis(400));
        assert!(opened.is_err());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert!(slow.join().unwrap().is_err());
    }
}
