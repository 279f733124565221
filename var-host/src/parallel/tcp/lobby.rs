//! How ranks come together: the rank that listens lets in those that belong.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use super::super::error::RanksError;
use super::wire::{Answer, Channel, Hello, LONGEST_HELLO, Purpose, Side};
use crate::plural::count;

/// How long a connection may take to be that of a rank.
pub(super) const INTRODUCTION: Duration = Duration::from_secs(5);

/// How long to wait before looking again.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// Connections that may be about to introduce themselves: of all machines, and of one. Others wait, or
/// are closed and may try again.
const MOST_AT_ONCE: usize = 256;
const MOST_OF_ONE: usize = 64;

/// Lines about strangers that are printed.
const MOST_LINES: usize = 16;

/// A connection and its greeting, or why it is none of a rank.
type Introduced = (SocketAddr, io::Result<(Channel, Hello)>);

/// A rank that listens for ranks of higher numbers.
pub(super) struct Lobby<'a> {
    key: [u8; blake3::KEY_LEN],
    own: usize,
    size: usize,
    listener: TcpListener,
    /// Connections that threads have asked.
    introduced: (Sender<Introduced>, Receiver<Introduced>),
    /// How many are being asked, by their machine.
    asked: HashMap<IpAddr, usize>,
    guests: Vec<Guest>,
    strangers: Strangers<'a>,
}

/// State of a rank's connections.
#[derive(Default)]
pub(super) struct Guest {
    pub(super) signals: Option<Channel>,
    pub(super) calls: Option<Channel>,
    /// Where it listens itself.
    pub(super) address: Option<SocketAddr>,
}

/// Connections that were turned away.
struct Strangers<'a> {
    note: &'a dyn Fn(&str),
    lines: usize,
    /// Ranks of this job that cannot take part.
    ranks: Vec<String>,
}

impl<'a> Lobby<'a> {
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
        let guests = Vec::from_iter((0..size).map(|_| Guest::default()));
        let strangers = Strangers { note, lines: 0, ranks: Vec::new() };
        let (introduced, asked) = (mpsc::channel(), HashMap::new());
        Ok(Self { key, own, size, listener, introduced, asked, guests, strangers })
    }

    pub(super) fn into_guests(self) -> Vec<Guest> {
        self.guests
    }

    pub(super) fn guests(&mut self) -> &mut [Guest] {
        &mut self.guests
    }

    /// Waits until all ranks of higher numbers have connected for this purpose. Strangers are turned
    /// away.
    ///
    /// # Errors
    /// If not all have come at the deadline.
    pub(super) fn wait_for(
        &mut self,
        purpose: Purpose,
        start: Instant,
        patience: Duration,
    ) -> Result<(), RanksError> {
        loop {
            let missing = self.missing(purpose);
            if missing.is_empty() {
                return Ok(());
            }
            let waited = start.elapsed();
            if waited >= patience {
                let came = (0..self.size).filter(|rank| !missing.contains(rank)).collect();
                let refused = self.strangers.ranks.clone();
                return Err(RanksError::Missing {
                    waited,
                    size: self.size,
                    came,
                    missing,
                    refused,
                });
            }
            self.accept();
            let Ok((address, introduced)) = self.introduced.1.recv_timeout(GLANCE) else {
                continue;
            };
            if let Some(asked) = self.asked.get_mut(&address.ip()) {
                *asked -= 1;
            }
            match introduced {
                Ok((channel, hello)) => self.receive(channel, address, &hello),
                Err(error) => self.strangers.turn_away(address, &reason(&error)),
            }
        }
    }

    fn missing(&self, purpose: Purpose) -> Vec<usize> {
        let came = |guest: &Guest| match purpose {
            Purpose::Signals => guest.signals.is_some(),
            Purpose::Calls => guest.calls.is_some(),
        };
        (self.own + 1..self.size).filter(|rank| !came(&self.guests[*rank])).collect()
    }

    /// Takes the connections that have come, as far as there is room.
    fn accept(&mut self) {
        self.asked.retain(|_, count| *count > 0);
        while self.asked.values().sum::<usize>() < MOST_AT_ONCE {
            let Ok((stream, address)) = self.listener.accept() else { return };
            let of_machine = self.asked.entry(address.ip()).or_default();
            if *of_machine < MOST_OF_ONE {
                *of_machine += usize::from(ask(&self.key, stream, address, &self.introduced.0));
            }
        }
    }

    /// Lets a rank in, or tells it why not.
    fn receive(&mut self, mut channel: Channel, address: SocketAddr, hello: &Hello) {
        let deadline = Instant::now() + INTRODUCTION;
        let (rank, size) = (hello.rank, hello.size);
        let place = match self.guests.get_mut(rank).filter(|_| rank > self.own) {
            Some(guest) => match hello.purpose {
                Purpose::Signals => Some(&mut guest.signals),
                Purpose::Calls => Some(&mut guest.calls),
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
            self.strangers.ranks.push(format!("rank {rank} from {address}: {fault}"));
            return self.strangers.turn_away(address, &format!("says it is rank {rank}: {fault}"));
        }
        // A rank that does not hear the welcome tries again.
        if channel.send(&Answer::Welcome, deadline).is_ok()
            && let Some(place) = place
        {
            *place = Some(channel);
            let ip = address.ip().to_canonical();
            self.guests[rank].address = Some(SocketAddr::new(ip, hello.port));
        }
    }
}

impl Strangers<'_> {
    /// Says that a connection was turned away.
    fn turn_away(&mut self, address: SocketAddr, reason: &str) {
        self.lines += 1;
        match self.lines {
            ..=MOST_LINES => (self.note)(&format!("turned away {address}: {reason}")),
            // One line more, then none.
            lines if lines == MOST_LINES + 1 => {
                (self.note)("others are turned away without a line");
            }
            _ => {}
        }
    }
}

/// Has a thread ask for the greeting of a connection: a stranger that says nothing keeps nobody
/// waiting. Returns whether there is such a thread.
fn ask(
    key: &[u8; blake3::KEY_LEN],
    stream: TcpStream,
    address: SocketAddr,
    introduced: &Sender<Introduced>,
) -> bool {
    let (key, introduced) = (*key, introduced.clone());
    let ask = move || {
        let deadline = Instant::now() + INTRODUCTION;
        let greeting = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_nodelay(true))
            .and_then(|()| Channel::open(stream, Side::Listens, &key, deadline))
            .and_then(|mut channel| {
                let received = channel.receive_within(LONGEST_HELLO, deadline);
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
    thread::Builder::new().name("var-lobby".to_owned()).spawn(ask).is_ok()
}

/// Why a connection is none of a rank.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "hung up without a greeting".to_owned()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no greeting within {} s", INTRODUCTION.as_secs())
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
