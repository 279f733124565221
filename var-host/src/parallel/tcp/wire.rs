//! What goes over the connections, byte for byte. Numbers are little-endian.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of all that is in this folder; ranks of different versions refuse each other.
pub(super) const VERSION: u16 = 1;

const MAGIC: [u8; 6] = *b"varrnk";

/// The longest message while the ranks come together: addresses of some ten thousand ranks.
const LONGEST: u32 = 1 << 20;

/// The first message on a connection, by whom that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// The name of the job, hashed.
    pub(super) job: u64,
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) purpose: Purpose,
    /// Where this rank listens for ranks of higher numbers.
    pub(super) port: u16,
}

/// What a connection is for. Two ranks have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// Signs of life, and news of losses.
    Signals,
    /// Calls and their values.
    Calls,
}

/// Answers to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The rank was waited for.
    Welcome,
    /// The rank is of another job. It may find its own elsewhere.
    Stranger,
    /// The rank is of this job and yet wrong; the run cannot begin.
    Refused(String),
    /// All ranks are there: the addresses they listen at, none where the rank is on the machine of
    /// rank 0, and their ports.
    Everyone(Vec<(Option<core::net::IpAddr>, u16)>),
}

/// Sends a message of the start.
pub(super) fn write_message(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let head = [&MAGIC[..], &VERSION.to_le_bytes(), &length.to_le_bytes()].concat();
    to.write_all(&[head, text].concat())
}

/// Receives a message of the start.
///
/// # Errors
/// Besides those of the connection, `InvalidData` if it is none.
pub(super) fn read_message<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut head = [0; 12];
    from.read_exact(&mut head)?;
    let [version, length] = [&head[6..8], &head[8..]];
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if head[..6] != MAGIC {
        return Err(invalid("what answers is no rank of var".to_owned()));
    }
    let version = u16::from_le_bytes([version[0], version[1]]);
    if version != VERSION {
        return Err(invalid(format!("speaks version {version}, this rank {VERSION}")));
    }
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    if length > LONGEST {
        return Err(invalid(format!("sends a message of {length} bytes, more than {LONGEST}")));
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))
}

/// What is sent besides the calls, at any time.
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
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let hello = Hello { job: u64::MAX, rank: 1, size: 2, purpose: Purpose::Calls, port: 65535 };
        let everyone = Answer::Everyone(vec![(None, 1), (Some([10, 0, 0, 1].into()), 2)]);
        let mut bytes = Vec::new();
        write_message(&mut bytes, &hello).unwrap();
        write_message(&mut bytes, &everyone).unwrap();
        let mut rest = &bytes[..];
        assert_eq!(read_message::<Hello>(&mut rest).unwrap(), hello);
        assert_eq!(read_message::<Answer>(&mut rest).unwrap(), everyone);
        assert!(rest.is_empty());
        for signal in [Signal::Alive, Signal::Leaving, Signal::Lost(300)] {
            let mut bytes = Vec::new();
            write_signal(&mut bytes, signal).unwrap();
            assert_eq!(read_signal(&bytes[..]).unwrap(), signal);
        }
    }

    #[test]
    fn what_others_send_is_refused() {
        let mut good = Vec::new();
        write_message(&mut good, &Answer::Welcome).unwrap();
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            read_message::<Answer>(&bytes[..]).unwrap_err().to_string()
        };
        assert_eq!(changed(0, b'V'), "what answers is no rank of var");
        assert_eq!(changed(6, 9), "speaks version 9, this rank 1");
        assert_eq!(changed(11, 1), "sends a message of 16777225 bytes, more than 1048576");
        assert!(changed(13, b'w').starts_with("unknown variant"));
        let cut = read_message::<Answer>(&good[..good.len() - 1]).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        assert!(read_signal(&[0; 8][..]).is_err());
    }
}
