//! How ranks come together: the rank that listens lets in those that belong.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use super::super::error::ProcessGroupError;
use super::wire::{Answer, Channel, Handshake, MAX_HANDSHAKE, Purpose, Side};
use crate::plural::count;

/// How long a connection may take to be that of a rank.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait before looking again.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Connections that may be about to introduce themselves: of all machines, and of one. Others wait, or
/// are closed and may try again.
const MAX_PENDING: usize = 256;
const MAX_PENDING_OF_ADDRESS: usize = 64;

/// Lines about unknown connections that are printed.
const MAX_REPORTED: usize = 16;

/// A connection and its greeting, or why it is none of a rank.
type Greeted = (SocketAddr, io::Result<(Channel, Handshake)>);

/// A rank that listens for ranks of higher numbers.
pub(super) struct Acceptor<'a> {
    key: [u8; blake3::KEY_LEN],
    own: usize,
    size: usize,
    listener: TcpListener,
    /// Connections that threads have asked.
    introduced: (Sender<Greeted>, Receiver<Greeted>),
    /// How many are being asked, by their machine.
    asked: HashMap<IpAddr, usize>,
    pending: Vec<PendingPeer>,
    unauthenticated: Unauthenticated<'a>,
}

/// State of a rank's connections.
#[derive(Default)]
pub(super) struct PendingPeer {
    pub(super) signals: Option<Channel>,
    pub(super) links: Option<Channel>,
    /// Where it listens itself.
    pub(super) address: Option<SocketAddr>,
}

/// Connections that were turned away.
struct Unauthenticated<'a> {
    note: &'a dyn Fn(&str),
    lines: usize,
    /// Ranks of this job that cannot take part.
    ranks: Vec<String>,
}

impl<'a> Acceptor<'a> {
    /// Of rank `own` of `size`; `note` prints a line.
    ///
    /// # Errors
    /// If the listener cannot be asked without waiting.
    pub(super) fn new(
        key: [u8; blake3::KEY_LEN],
        own: usize,
        size: usize,
        listener: TcpListener,
        note: &'a dyn Fn(&str),
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let pending = Vec::from_iter((0..size).map(|_| PendingPeer::default()));
        let unauthenticated = Unauthenticated { note, lines: 0, ranks: Vec::new() };
        let (introduced, asked) = (mpsc::channel(), HashMap::new());
        Ok(Self { key, own, size, listener, introduced, asked, pending, unauthenticated })
    }

    pub(super) fn into_pending(self) -> Vec<PendingPeer> {
        self.pending
    }

    pub(super) fn pending(&mut self) -> &mut [PendingPeer] {
        &mut self.pending
    }

    /// Waits until all ranks of higher numbers have connected for this purpose. Unknown connections are turned
    /// away.
    ///
    /// # Errors
    /// If not all have come at the deadline.
    pub(super) fn wait_for(
        &mut self,
        purpose: Purpose,
        start: Instant,
        patience: Duration,
    ) -> Result<(), ProcessGroupError> {
        loop {
            let missing = self.missing(purpose);
            if missing.is_empty() {
                return Ok(());
            }
            let waited = start.elapsed();
            if waited >= patience {
                let came = (0..self.size).filter(|rank| !missing.contains(rank)).collect();
                let refused = self.unauthenticated.ranks.clone();
                return Err(ProcessGroupError::Missing {
                    waited,
                    size: self.size,
                    came,
                    missing,
                    refused,
                });
            }
            self.accept();
            let Ok((address, introduced)) = self.introduced.1.recv_timeout(POLL_INTERVAL) else {
                continue;
            };
            if let Some(asked) = self.asked.get_mut(&address.ip()) {
                *asked -= 1;
            }
            match introduced {
                Ok((channel, handshake)) => self.receive(channel, address, &handshake),
                Err(error) => self.unauthenticated.turn_away(address, &reason(&error)),
            }
        }
    }

    /// Frees the places of ranks that have hung up since they came; returns whether there were any.
    pub(super) fn remove_closed(&mut self) -> bool {
        let closed = |pending: &&mut PendingPeer| {
            pending.signals.as_ref().is_some_and(|channel| !is_open(channel.stream()))
        };
        let mut any = false;
        for pending in self.pending.iter_mut().filter(closed) {
            *pending = PendingPeer::default();
            any = true;
        }
        any
    }

    fn missing(&self, purpose: Purpose) -> Vec<usize> {
        let came = |pending: &PendingPeer| match purpose {
            Purpose::Signals => pending.signals.is_some(),
            Purpose::Links => pending.links.is_some(),
        };
        (self.own + 1..self.size).filter(|rank| !came(&self.pending[*rank])).collect()
    }

    /// Takes the connections that have come, as far as there is room.
    fn accept(&mut self) {
        self.asked.retain(|_, count| *count > 0);
        while self.asked.values().sum::<usize>() < MAX_PENDING {
            let Ok((stream, address)) = self.listener.accept() else { return };
            let of_machine = self.asked.entry(address.ip()).or_default();
            if *of_machine < MAX_PENDING_OF_ADDRESS {
                *of_machine += usize::from(ask(&self.key, stream, address, &self.introduced.0));
            }
        }
    }

    /// Lets a rank in, or tells it why not.
    fn receive(&mut self, mut channel: Channel, address: SocketAddr, handshake: &Handshake) {
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        let (rank, size) = (handshake.rank, handshake.size);
        let place = match self.pending.get_mut(rank).filter(|_| rank > self.own) {
            Some(pending) => match handshake.purpose {
                Purpose::Signals => Some(&mut pending.signals),
                Purpose::Links => Some(&mut pending.links),
            },
            None => None,
        };
        let fault = match &place {
            _ if size != self.size => {
                Some(format!("this run has {}, it is of {size}", count(self.size, "rank")))
            }
            None => Some(format!("rank {} waits for no rank {rank}", self.own)),
            Some(Some(there)) if is_open(there.stream()) => {
                Some(format!("there is a rank {rank} already"))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            // The rank's own run fails if it does not hear this.
            let _ = channel.send(&Answer::Refused(fault.clone()), deadline);
            self.unauthenticated.ranks.push(format!("rank {rank} from {address}: {fault}"));
            return self
                .unauthenticated
                .turn_away(address, &format!("says it is rank {rank}: {fault}"));
        }
        // A rank that does not hear the welcome tries again.
        if channel.send(&Answer::Accepted, deadline).is_ok()
            && let Some(place) = place
        {
            *place = Some(channel);
            let ip = address.ip().to_canonical();
            self.pending[rank].address = Some(SocketAddr::new(ip, handshake.port));
        }
    }
}

impl Unauthenticated<'_> {
    /// Says that a connection was turned away.
    fn turn_away(&mut self, address: SocketAddr, reason: &str) {
        self.lines += 1;
        match self.lines {
            ..=MAX_REPORTED => (self.note)(&format!("turned away {address}: {reason}")),
            // One line more, then none.
            lines if lines == MAX_REPORTED + 1 => {
                (self.note)("others are turned away without a line");
            }
            _ => {}
        }
    }
}

/// Has a thread ask for the greeting of a connection: a connection that sends nothing keeps nobody
/// waiting. Returns whether there is such a thread.
fn ask(
    key: &[u8; blake3::KEY_LEN],
    stream: TcpStream,
    address: SocketAddr,
    introduced: &Sender<Greeted>,
) -> bool {
    let (key, introduced) = (*key, introduced.clone());
    let ask = move || {
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        let greeting = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_nodelay(true))
            .and_then(|()| Channel::open(stream, Side::Listens, &key, deadline))
            .and_then(|mut channel| {
                let received = channel.receive_within(MAX_HANDSHAKE, deadline);
                if received.is_err() {
                    // Its proof is wrong for a rank with another key, which then knows.
                    let refused = Answer::Refused("another key".to_owned());
                    let _ = channel.send(&refused, deadline);
                }
                Ok((channel, received?))
            });
        // Nobody is there to receive it once all have come.
        let _ = introduced.send((address, greeting));
    };
    // A rank that is not asked is not let in, and tries again.
    thread::Builder::new().name("var-acceptor".to_owned()).spawn(ask).is_ok()
}

/// Why a connection is none of a rank.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "hung up without a greeting".to_owned()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no greeting within {} s", HANDSHAKE_TIMEOUT.as_secs())
        }
        _ => error.to_string(),
    }
}

/// Whether the other side has not hung up.
fn is_open(stream: &TcpStream) -> bool {
    let heard = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let open = match heard {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    open && stream.set_nonblocking(false).is_ok()
}
