//! How ranks come together: first all at rank 0, which tells each where the others are, then each with
//! each.
//!
//! Rank 0 listens at the address that `MASTER_ADDR` names, which must be one of its machine, and the
//! others at the address by which they reached rank 0; never at all addresses of a machine.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::Instant;

use super::super::call::{Call, Operation};
use super::super::environment::Meeting;
use super::super::error::{Loss, RanksError};
use super::calls::{Calls, Fault, Peer};
use super::lobby::{Guest, INTRODUCTION, Lobby};
use super::visit::{self, Host};
use super::watch::Line;
use super::wire::{Answer, Channel, Hello, Purpose};

/// Extra time that the others wait for rank 0, which can name the missing ranks.
const GRACE: Duration = Duration::from_secs(10);

/// The two connections to another rank.
struct Pair {
    rank: usize,
    signals: TcpStream,
    calls: TcpStream,
}

/// Connects this rank to all others; all have connected when this returns.
pub(super) fn start(
    rank: usize,
    size: usize,
    meeting: &Meeting,
    note: &dyn Fn(&str),
) -> Result<(Calls, Vec<Line>), RanksError> {
    let start = Instant::now();
    let pairs = if rank == 0 {
        receive_all(size, meeting, start, note)?
    } else {
        go_round(rank, size, meeting, start, note)?
    };
    let patience = meeting.patience + GRACE;
    let fault = |rank: usize| move |error: io::Error| lost(rank, &error, patience);
    let mut lines = Vec::new();
    let mut peers = Vec::new();
    for Pair { rank, signals, calls } in pairs {
        calls.set_write_timeout(None).map_err(fault(rank))?;
        let left = patience.saturating_sub(start.elapsed()).max(Duration::from_secs(1));
        calls.set_read_timeout(Some(left)).map_err(fault(rank))?;
        let stream = calls.try_clone().map_err(fault(rank))?;
        peers.push(Peer { rank, stream });
        lines.push(Line { rank, signals, calls });
    }
    let calls = Calls { rank, peers };
    let call = Call { number: 0, operation: Operation::Barrier, length: 0 };
    calls.barrier(&call).map_err(|fault| match fault {
        Fault::Connection { rank, error } => lost(rank, &error, patience),
        Fault::Mismatch { rank, theirs } => RanksError::Mismatch { rank, theirs, own: call },
        Fault::Thread(source) => RanksError::Thread { source },
    })?;
    for peer in &calls.peers {
        peer.stream.set_read_timeout(None).map_err(fault(peer.rank))?;
    }
    Ok((calls, lines))
}

/// Rank 0's part.
fn receive_all(
    size: usize,
    meeting: &Meeting,
    start: Instant,
    note: &dyn Fn(&str),
) -> Result<Vec<Pair>, RanksError> {
    let fault = |source| {
        let address = visit::address(&meeting.host, &meeting.ports);
        RanksError::Listen { rank: 0, address, source }
    };
    let listener = listen(meeting).map_err(fault)?;
    let ip = listener.local_addr().map_err(fault)?.ip();
    if ip.is_loopback() && !meeting.is_loopback() {
        let host = &meeting.host;
        note(&format!(
            "{host} is {ip} on this machine: no rank of another machine can reach it; MASTER_ADDR may \
             name an address that they can"
        ));
    }
    let mut lobby = Lobby::new(meeting.key(), 0, size, listener, note).map_err(fault)?;
    let came = lobby.wait_for(Purpose::Signals, start, meeting.patience);
    let answer = match &came {
        Ok(()) => {
            let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let address = |guest: &Guest| guest.address.unwrap_or(unknown);
            let addresses = lobby.guests().iter().map(address);
            Answer::Everyone(addresses.map(|address| (address.ip(), address.port())).collect())
        }
        Err(error) => Answer::Refused(error.to_string()),
    };
    for channel in lobby.guests().iter_mut().filter_map(|guest| guest.signals.as_mut()) {
        // A rank that does not hear this does not connect, and is missed.
        let _ = channel.send(&answer, Instant::now() + INTRODUCTION);
    }
    came?;
    lobby.wait_for(Purpose::Calls, start, meeting.patience + GRACE)?;
    Ok(pairs(lobby))
}

/// The part of the others: to rank 0, then to those of lower numbers, then wait for those of higher.
fn go_round(
    rank: usize,
    size: usize,
    meeting: &Meeting,
    start: Instant,
    note: &dyn Fn(&str),
) -> Result<Vec<Pair>, RanksError> {
    let (key, patience) = (meeting.key(), meeting.patience + GRACE);
    let fault = |source| RanksError::Listen { rank, address: "any port".to_owned(), source };
    let root = Host { rank: 0, machine: &meeting.host, ports: &meeting.ports };
    let mut listener = None;
    let mut hello = |own: SocketAddr| {
        let port = listen_at(&mut listener, own)?;
        Ok(Hello { rank, size, purpose: Purpose::Signals, port })
    };
    let mut signals = visit::connect(&root, &key, &mut hello, start, meeting.patience)?;
    let listener = listener.ok_or_else(|| fault(io::ErrorKind::AddrNotAvailable.into()))?;
    let port = listener.local_addr().map_err(fault)?.port();
    let mut lobby = Lobby::new(key, rank, size, listener, note).map_err(fault)?;

    let heard = signals
        .receive(Instant::now() + patience)
        .and_then(|answer| Ok((signals.stream().peer_addr()?, answer)));
    let (root_address, addresses) = match heard {
        Ok((address, Answer::Everyone(addresses))) if addresses.len() == size => {
            (address, addresses)
        }
        Ok((_, Answer::Refused(reason))) => return Err(RanksError::Refused { rank: 0, reason }),
        Ok(_) => return Err(lost(0, &io::ErrorKind::InvalidData.into(), patience)),
        Err(error) => return Err(lost(0, &error, patience)),
    };

    let connect = |host: &Host<'_>, purpose| {
        let mut hello = |_| Ok(Hello { rank, size, purpose, port });
        visit::connect(host, &key, &mut hello, start, patience)
    };
    let root = Host { ports: &[root_address.port()], ..root };
    let pair = |rank, signals: Channel, calls: Channel| Pair {
        rank,
        signals: signals.into_stream(),
        calls: calls.into_stream(),
    };
    let mut met = vec![pair(0, signals, connect(&root, Purpose::Calls)?)];
    for (other, (ip, port)) in addresses.into_iter().enumerate().take(rank).skip(1) {
        let host = Host { rank: other, machine: &ip.to_string(), ports: &[port] };
        let signals = connect(&host, Purpose::Signals)?;
        met.push(pair(other, signals, connect(&host, Purpose::Calls)?));
    }
    lobby.wait_for(Purpose::Signals, start, patience)?;
    lobby.wait_for(Purpose::Calls, start, patience)?;
    met.extend(pairs(lobby));
    Ok(met)
}

/// The connections that were waited for.
fn pairs(lobby: Lobby<'_>) -> Vec<Pair> {
    let guests = lobby.into_guests().into_iter().enumerate();
    let pair = |(rank, guest): (usize, Guest)| {
        let (signals, calls) = (guest.signals?.into_stream(), guest.calls?.into_stream());
        Some(Pair { rank, signals, calls })
    };
    guests.filter_map(pair).collect()
}

fn lost(rank: usize, error: &io::Error, patience: Duration) -> RanksError {
    RanksError::Lost { rank, loss: Loss::after(patience, error) }
}

/// Listens at the first port of the meeting that is free, at the address that the meeting names.
///
/// # Errors
/// That of the last port; `AddrNotAvailable` if the address is none of this machine.
fn listen(meeting: &Meeting) -> io::Result<TcpListener> {
    let mut fault = io::ErrorKind::AddrNotAvailable.into();
    for &port in &meeting.ports {
        for address in (meeting.host.as_str(), port).to_socket_addrs()? {
            match TcpListener::bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => fault = error,
            }
        }
    }
    if fault.kind() == io::ErrorKind::AddrNotAvailable {
        let text = "it is no address of this machine, where rank 0 is";
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
    }
    Err(fault)
}

/// Listens at any port of this side's address of a connection to rank 0, if not yet, and tells the port.
fn listen_at(listener: &mut Option<TcpListener>, mut own: SocketAddr) -> io::Result<u16> {
    if let Some(listener) = listener {
        let there = listener.local_addr()?;
        if there.ip() == own.ip() {
            return Ok(there.port());
        }
    }
    own.set_port(0);
    Ok(listener.insert(TcpListener::bind(own)?).local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On Linux each address of 127.0.0.0/8 is this machine's, and another one.
    #[cfg(target_os = "linux")]
    #[test]
    fn ranks_listen_at_the_named_address_alone() {
        let meeting = Meeting { host: "127.0.0.7".to_owned(), ..Meeting::on_this_machine("alone") };
        let address = listen(&meeting).unwrap().local_addr().unwrap();
        assert_eq!(address.ip().to_string(), "127.0.0.7");
        let mut listener = None;
        let port = listen_at(&mut listener, "127.0.0.8:99".parse().unwrap()).unwrap();
        assert_eq!(listen_at(&mut listener, "127.0.0.8:98".parse().unwrap()).unwrap(), port);
        listen_at(&mut listener, "127.0.0.9:99".parse().unwrap()).unwrap();
        assert_eq!(listener.unwrap().local_addr().unwrap().ip().to_string(), "127.0.0.9");
    }

    #[test]
    fn addresses_of_other_machines_cannot_be_listened_at() {
        // An address kept for documentation.
        let meeting = Meeting { host: "192.0.2.1".to_owned(), ..Meeting::on_this_machine("away") };
        let error = listen(&meeting).unwrap_err().to_string();
        assert_eq!(error, "it is no address of this machine, where rank 0 is");
    }
}
