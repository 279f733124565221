//! How ranks come together: a rank that connects looks for the one that listens.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Instant;

use super::super::error::ProcessGroupError;
use super::acceptor::{HANDSHAKE_TIMEOUT, POLL_INTERVAL};
use super::wire::{Answer, Channel, Handshake, Side};

/// How long a machine may take to answer that it has such a port, and the longest pause before it
/// is asked again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A rank that listens: its number, its machine, and the ports it may be at.
pub(super) struct PeerAddress<'a> {
    pub(super) rank: usize,
    pub(super) machine: &'a str,
    pub(super) ports: &'a [u16],
}

/// Connects to a rank, which may come to listen later, and sends its handshake until that is accepted; `handshake` is
/// told this side's address of the connection.
///
/// # Errors
/// If the rank is not found at the deadline, or refuses this one.
pub(super) fn connect(
    host: &PeerAddress<'_>,
    key: &[u8; blake3::KEY_LEN],
    handshake: &mut dyn FnMut(SocketAddr) -> io::Result<Handshake>,
    start: Instant,
    patience: Duration,
) -> Result<Channel, ProcessGroupError> {
    let mut pause = POLL_INTERVAL;
    let mut reason = "nobody was asked".to_owned();
    // An answer tells more than that nobody listens at the other ports.
    let mut answered = None;
    loop {
        for &port in host.ports {
            let addresses = match (host.machine, port).to_socket_addrs() {
                Ok(addresses) => Vec::from_iter(addresses),
                Err(error) => {
                    reason = error.to_string();
                    continue;
                }
            };
            for address in addresses {
                let left = patience.saturating_sub(start.elapsed());
                if left.is_zero() {
                    return Err(unreachable(host, start.elapsed(), answered.unwrap_or(reason)));
                }
                match greet(address, key, handshake, left) {
                    Ok((channel, Answer::Accepted)) => return Ok(channel),
                    Ok((_, Answer::Refused(reason))) => {
                        return Err(ProcessGroupError::Refused { rank: host.rank, reason });
                    }
                    Ok((_, Answer::Everyone(_))) => {
                        answered = Some(format!("{address} answers out of turn"));
                    }
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        answered = Some(format!("{address} {error}"));
                    }
                    Err(error) => reason = format!("{address}: {error}"),
                }
            }
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(unreachable(host, start.elapsed(), answered.unwrap_or(reason)));
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn unreachable(host: &PeerAddress<'_>, waited: Duration, reason: String) -> ProcessGroupError {
    let address = address(host.machine, host.ports);
    ProcessGroupError::Unreachable { waited, rank: host.rank, address, reason }
}

/// A machine and its ports for people to read.
pub(super) fn address(machine: &str, ports: &[u16]) -> String {
    match ports {
        [first, .., last] => format!("{machine}, ports {first} to {last}"),
        [port] => format!("{machine}, port {port}"),
        [] => machine.to_owned(),
    }
}

/// Connects, sends the handshake, and receives the answer.
fn greet(
    address: SocketAddr,
    key: &[u8; blake3::KEY_LEN],
    handshake: &mut dyn FnMut(SocketAddr) -> io::Result<Handshake>,
    patience: Duration,
) -> io::Result<(Channel, Answer)> {
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT.min(patience))?;
    stream.set_nodelay(true)?;
    let handshake = handshake(stream.local_addr()?)?;
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT.min(patience);
    let mut channel = Channel::open(stream, Side::Connects, key, deadline)?;
    channel.send(&handshake, deadline)?;
    let answer = channel.receive(deadline)?;
    Ok((channel, answer))
}
