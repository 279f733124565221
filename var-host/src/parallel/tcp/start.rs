//! How ranks come together: first all at rank 0, who tells each where the others are, then each with
//! each.

use core::time::Duration;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Instant;

use super::super::call::{Call, Operation};
use super::super::environment::Meeting;
use super::super::error::{Loss, RanksError};
use super::calls::{Calls, Fault, Peer};
use super::lobby::{Guest, Lobby};
use super::visit::{self, Host};
use super::watch::Line;
use super::wire::{self, Answer, Hello, Purpose};

/// How much longer the others wait for rank 0's word than rank 0 for them: it knows who is missing.
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
) -> Result<(Calls, Vec<Line>), RanksError> {
    let start = Instant::now();
    let pairs = if rank == 0 {
        receive_all(size, meeting, start)?
    } else {
        go_round(rank, size, meeting, start)?
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
fn receive_all(size: usize, meeting: &Meeting, start: Instant) -> Result<Vec<Pair>, RanksError> {
    let fault = |source| {
        let address = visit::address(&meeting.host, &meeting.ports);
        RanksError::Listen { rank: 0, address, source }
    };
    let listener = listen(meeting).map_err(fault)?;
    let mut lobby = Lobby::new(meeting.token(), 0, size, listener).map_err(fault)?;
    let came = lobby.wait_for(Purpose::Signals, start, meeting.patience);
    let answer = match &came {
        Ok(()) => {
            let address = |guest: &Guest| {
                let address = guest.address.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
                let elsewhere = Some(address.ip()).filter(|ip| !ip.is_loopback());
                (elsewhere, address.port())
            };
            Answer::Everyone(lobby.guests().iter().map(address).collect())
        }
        Err(error) => Answer::Refused(error.to_string()),
    };
    for stream in lobby.guests().iter().filter_map(|guest| guest.signals.as_ref()) {
        // Who does not hear this does not connect, and is missed.
        let _ = wire::write_message(stream, &answer);
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
) -> Result<Vec<Pair>, RanksError> {
    let patience = meeting.patience + GRACE;
    let fault = |source| RanksError::Listen { rank, address: "any port".to_owned(), source };
    let listener = listen_anywhere(meeting).map_err(fault)?;
    let port = listener.local_addr().map_err(fault)?.port();
    let mut lobby = Lobby::new(meeting.token(), rank, size, listener).map_err(fault)?;

    let hello = |purpose| Hello { job: meeting.token(), rank, size, purpose, port };
    let root = Host { rank: 0, machine: &meeting.host, ports: &meeting.ports };
    let signals = visit::connect(&root, &hello(Purpose::Signals), start, meeting.patience)?;
    let heard = signals
        .set_read_timeout(Some(patience))
        .and_then(|()| Ok((signals.peer_addr()?, wire::read_message(&signals)?)));
    let (root_address, addresses) = match heard {
        Ok((address, Answer::Everyone(addresses))) if addresses.len() == size => {
            (address, addresses)
        }
        Ok((_, Answer::Refused(reason))) => return Err(RanksError::Refused { rank: 0, reason }),
        Ok(_) => return Err(lost(0, &io::ErrorKind::InvalidData.into(), patience)),
        Err(error) => return Err(lost(0, &error, patience)),
    };

    let root = Host { ports: &[root_address.port()], ..root };
    let calls = visit::connect(&root, &hello(Purpose::Calls), start, patience)?;
    let mut met = vec![Pair { rank: 0, signals, calls }];
    for (host, (ip, port)) in addresses.into_iter().enumerate().take(rank).skip(1) {
        let machine = ip.unwrap_or(root_address.ip()).to_string();
        let host = Host { rank: host, machine: &machine, ports: &[port] };
        let connect = |purpose| visit::connect(&host, &hello(purpose), start, patience);
        let (signals, calls) = (connect(Purpose::Signals)?, connect(Purpose::Calls)?);
        met.push(Pair { rank: host.rank, signals, calls });
    }
    lobby.wait_for(Purpose::Signals, start, patience)?;
    lobby.wait_for(Purpose::Calls, start, patience)?;
    met.extend(pairs(lobby));
    Ok(met)
}

/// The connections that were waited for.
fn pairs(lobby: Lobby) -> Vec<Pair> {
    let guests = lobby.into_guests().into_iter().enumerate();
    let pair = |(rank, guest): (usize, Guest)| {
        Some(Pair { rank, signals: guest.signals?, calls: guest.calls? })
    };
    guests.filter_map(pair).collect()
}

fn lost(rank: usize, error: &io::Error, patience: Duration) -> RanksError {
    RanksError::Lost { rank, loss: Loss::after(patience, error) }
}

/// Listens at the first port of the meeting that is free.
fn listen(meeting: &Meeting) -> io::Result<TcpListener> {
    let mut fault = io::ErrorKind::AddrNotAvailable.into();
    for &port in &meeting.ports {
        for address in addresses(meeting, port)? {
            match TcpListener::bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => fault = error,
            }
        }
    }
    Err(fault)
}

fn listen_anywhere(meeting: &Meeting) -> io::Result<TcpListener> {
    TcpListener::bind(&addresses(meeting, 0)?[..])
}

/// The addresses to listen at: where all ranks are on one machine, nobody outside of it can connect.
fn addresses(meeting: &Meeting, port: u16) -> io::Result<Vec<SocketAddr>> {
    if meeting.is_loopback() {
        return Ok((meeting.host.as_str(), port).to_socket_addrs()?.collect());
    }
    let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    Ok(any.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}
