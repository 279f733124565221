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

use super::super::call::{Collective, CollectiveCall};
use super::super::environment::Rendezvous;
use super::super::error::{PeerFailure, ProcessGroupError};
use super::acceptor::{Acceptor, HANDSHAKE_TIMEOUT, PendingPeer};
use super::connector::{self, PeerAddress};
use super::heartbeat::PeerLink;
use super::links::{LinkFault, Links, Peer};
use super::wire::{Answer, Channel, Handshake, Purpose};

/// Extra time that the others wait for rank 0, which can name the missing ranks.
const GRACE: Duration = Duration::from_secs(10);

/// The two connections to another rank.
struct PeerConnections {
    rank: usize,
    signals: TcpStream,
    links: TcpStream,
}

/// Connects this rank to all others; all have connected when this returns.
pub(super) fn start(
    rank: usize,
    size: usize,
    rendezvous: &Rendezvous,
    note: &dyn Fn(&str),
) -> Result<(Links, Vec<PeerLink>), ProcessGroupError> {
    let start = Instant::now();
    let pairs = if rank == 0 {
        receive_all(size, rendezvous, start, note)?
    } else {
        go_round(rank, size, rendezvous, start, note)?
    };
    let patience = rendezvous.patience + GRACE;
    let fault = |rank: usize| move |error: io::Error| lost(rank, &error, patience);
    let mut lines = Vec::new();
    let mut peers = Vec::new();
    for PeerConnections { rank, signals, links } in pairs {
        links.set_write_timeout(None).map_err(fault(rank))?;
        let left = patience.saturating_sub(start.elapsed()).max(Duration::from_secs(1));
        links.set_read_timeout(Some(left)).map_err(fault(rank))?;
        let stream = links.try_clone().map_err(fault(rank))?;
        peers.push(Peer { rank, stream });
        lines.push(PeerLink { rank, signals, links });
    }
    let links = Links { rank, peers };
    let call = CollectiveCall { number: 0, operation: Collective::Barrier, length: 0 };
    links.barrier(&call).map_err(|fault| match fault {
        LinkFault::Connection { rank, error } => lost(rank, &error, patience),
        LinkFault::Mismatch { rank, theirs } => {
            ProcessGroupError::Mismatch { rank, theirs, own: call }
        }
        LinkFault::Thread(source) => ProcessGroupError::Thread { source },
    })?;
    for peer in &links.peers {
        peer.stream.set_read_timeout(None).map_err(fault(peer.rank))?;
    }
    Ok((links, lines))
}

/// Rank 0's part.
fn receive_all(
    size: usize,
    rendezvous: &Rendezvous,
    start: Instant,
    note: &dyn Fn(&str),
) -> Result<Vec<PeerConnections>, ProcessGroupError> {
    let fault = |source| {
        let address = connector::address(&rendezvous.host, &rendezvous.ports);
        ProcessGroupError::Listen { rank: 0, address, source }
    };
    let listener = listen(rendezvous).map_err(fault)?;
    let ip = listener.local_addr().map_err(fault)?.ip();
    if ip.is_loopback() && !rendezvous.is_loopback() {
        let host = &rendezvous.host;
        note(&format!(
            "{host} is {ip} on this machine: no rank of another machine can reach it; MASTER_ADDR may \
             name an address that they can"
        ));
    }
    let mut acceptor = Acceptor::new(rendezvous.key(), 0, size, listener, note).map_err(fault)?;
    let came = loop {
        let came = acceptor.wait_for(Purpose::Signals, start, rendezvous.patience);
        // The others would look in vain for a rank that died after it came: its place is free again.
        if came.is_err() || !acceptor.remove_closed() {
            break came;
        }
    };
    let answer = match &came {
        Ok(()) => {
            let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let address = |pending: &PendingPeer| pending.address.unwrap_or(unknown);
            let addresses = acceptor.pending().iter().map(address);
            Answer::Everyone(addresses.map(|address| (address.ip(), address.port())).collect())
        }
        Err(error) => Answer::Refused(error.to_string()),
    };
    for channel in acceptor.pending().iter_mut().filter_map(|pending| pending.signals.as_mut()) {
        // A rank that does not hear this does not connect, and is missed.
        let _ = channel.send(&answer, Instant::now() + HANDSHAKE_TIMEOUT);
    }
    came?;
    acceptor.wait_for(Purpose::Links, start, rendezvous.patience + GRACE)?;
    Ok(pairs(acceptor))
}

/// The part of the others: to rank 0, then to those of lower numbers, then wait for those of higher.
fn go_round(
    rank: usize,
    size: usize,
    rendezvous: &Rendezvous,
    start: Instant,
    note: &dyn Fn(&str),
) -> Result<Vec<PeerConnections>, ProcessGroupError> {
    let (key, patience) = (rendezvous.key(), rendezvous.patience + GRACE);
    let fault = |source| ProcessGroupError::Listen { rank, address: "any port".to_owned(), source };
    let root = PeerAddress { rank: 0, machine: &rendezvous.host, ports: &rendezvous.ports };
    let mut listener = None;
    let mut handshake = |own: SocketAddr| {
        let port = listen_at(&mut listener, own)?;
        Ok(Handshake { rank, size, purpose: Purpose::Signals, port })
    };
    let mut signals = connector::connect(&root, &key, &mut handshake, start, rendezvous.patience)?;
    let listener = listener.ok_or_else(|| fault(io::ErrorKind::AddrNotAvailable.into()))?;
    let port = listener.local_addr().map_err(fault)?.port();
    let mut acceptor = Acceptor::new(key, rank, size, listener, note).map_err(fault)?;

    let heard = signals
        .receive(Instant::now() + patience)
        .and_then(|answer| Ok((signals.stream().peer_addr()?, answer)));
    let (root_address, addresses) = match heard {
        Ok((address, Answer::Everyone(addresses))) if addresses.len() == size => {
            (address, addresses)
        }
        Ok((_, Answer::Refused(reason))) => {
            return Err(ProcessGroupError::Refused { rank: 0, reason });
        }
        Ok(_) => return Err(lost(0, &io::ErrorKind::InvalidData.into(), patience)),
        Err(error) => return Err(lost(0, &error, patience)),
    };

    let connect = |host: &PeerAddress<'_>, purpose| {
        let mut handshake = |_| Ok(Handshake { rank, size, purpose, port });
        connector::connect(host, &key, &mut handshake, start, patience)
    };
    let root = PeerAddress { ports: &[root_address.port()], ..root };
    let pair = |rank, signals: Channel, links: Channel| PeerConnections {
        rank,
        signals: signals.into_stream(),
        links: links.into_stream(),
    };
    let mut met = vec![pair(0, signals, connect(&root, Purpose::Links)?)];
    for (other, (ip, port)) in addresses.into_iter().enumerate().take(rank).skip(1) {
        let host = PeerAddress { rank: other, machine: &ip.to_string(), ports: &[port] };
        let signals = connect(&host, Purpose::Signals)?;
        met.push(pair(other, signals, connect(&host, Purpose::Links)?));
    }
    acceptor.wait_for(Purpose::Signals, start, patience)?;
    acceptor.wait_for(Purpose::Links, start, patience)?;
    met.extend(pairs(acceptor));
    Ok(met)
}

/// The connections that were waited for.
fn pairs(acceptor: Acceptor<'_>) -> Vec<PeerConnections> {
    let pending = acceptor.into_pending().into_iter().enumerate();
    let pair = |(rank, pending): (usize, PendingPeer)| {
        let (signals, links) = (pending.signals?.into_stream(), pending.links?.into_stream());
        Some(PeerConnections { rank, signals, links })
    };
    pending.filter_map(pair).collect()
}

fn lost(rank: usize, error: &io::Error, patience: Duration) -> ProcessGroupError {
    ProcessGroupError::Lost { rank, failure: PeerFailure::after(patience, error) }
}

/// Listens at the first port of the rendezvous that is free, at the address that it names.
///
/// # Errors
/// That of the last port; `AddrNotAvailable` if the address is none of this machine.
fn listen(rendezvous: &Rendezvous) -> io::Result<TcpListener> {
    let mut fault = io::ErrorKind::AddrNotAvailable.into();
    for &port in &rendezvous.ports {
        for address in (rendezvous.host.as_str(), port).to_socket_addrs()? {
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
        let rendezvous =
            Rendezvous { host: "127.0.0.7".to_owned(), ..Rendezvous::on_this_machine("alone") };
        let address = listen(&rendezvous).unwrap().local_addr().unwrap();
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
        let rendezvous =
            Rendezvous { host: "192.0.2.1".to_owned(), ..Rendezvous::on_this_machine("away") };
        let error = listen(&rendezvous).unwrap_err().to_string();
        assert_eq!(error, "it is no address of this machine, where rank 0 is");
    }
}
