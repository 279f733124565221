//! How ranks come together: who connects looks for who listens.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Instant;

use super::super::error::RanksError;
use super::lobby::{GLANCE, INTRODUCTION};
use super::wire::{self, Answer, Hello};

/// How long a machine may take to answer that it has such a port, and the longest pause before it
/// is asked again.
const KNOCK: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A rank that listens: its number, its machine, and the ports it may be at.
pub(super) struct Host<'a> {
    pub(super) rank: usize,
    pub(super) machine: &'a str,
    pub(super) ports: &'a [u16],
}

/// Connects to a rank, which may come to listen later, and says hello until it is welcome.
///
/// # Errors
/// If the rank is not found at the deadline, or refuses this one.
pub(super) fn connect(
    host: &Host<'_>,
    hello: &Hello,
    start: Instant,
    patience: Duration,
) -> Result<TcpStream, RanksError> {
    let mut pause = GLANCE;
    let mut reason = "nobody was asked".to_owned();
    // What whoever answers says tells more than that nobody listens at the other ports.
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
                match greet(address, hello, left) {
                    Ok((stream, Answer::Welcome)) => return Ok(stream),
                    Ok((_, Answer::Refused(reason))) => {
                        return Err(RanksError::Refused { rank: host.rank, reason });
                    }
                    Ok((_, Answer::Stranger)) => {
                        answered = Some(format!("the rank at {address} is of another job"));
                    }
                    Ok((_, Answer::Everyone(_))) => {
                        answered = Some(format!("{address} answers out of turn"));
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

fn unreachable(host: &Host<'_>, waited: Duration, reason: String) -> RanksError {
    let address = address(host.machine, host.ports);
    RanksError::Unreachable { waited, rank: host.rank, address, reason }
}

/// A machine and its ports for people to read.
pub(super) fn address(machine: &str, ports: &[u16]) -> String {
    match ports {
        [first, .., last] => format!("{machine}, ports {first} to {last}"),
        [port] => format!("{machine}, port {port}"),
        [] => machine.to_owned(),
    }
}

/// Connects, says hello, and hears the answer.
fn greet(
    address: SocketAddr,
    hello: &Hello,
    patience: Duration,
) -> io::Result<(TcpStream, Answer)> {
    let stream = TcpStream::connect_timeout(&address, KNOCK.min(patience))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(INTRODUCTION.min(patience)))?;
    stream.set_write_timeout(Some(INTRODUCTION.min(patience)))?;
    wire::write_message(&stream, hello)?;
    let answer = wire::read_message(&stream)?;
    Ok((stream, answer))
}
