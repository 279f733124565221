//! How ranks come together: who listens lets in who belongs.

use core::time::Duration;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use super::super::error::RanksError;
use super::wire::{self, Answer, Hello, Purpose};

/// How long whoever connects may take to say who it is.
pub(super) const INTRODUCTION: Duration = Duration::from_secs(5);

/// How long to wait before looking again.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// A rank that listens for ranks of higher numbers.
pub(super) struct Lobby {
    job: u64,
    own: usize,
    size: usize,
    listener: TcpListener,
    /// Connections that have said who they are, by threads that asked them.
    introduced: (Sender<(TcpStream, Hello)>, Receiver<(TcpStream, Hello)>),
    guests: Vec<Guest>,
}

/// What has come of a rank.
#[derive(Default)]
pub(super) struct Guest {
    pub(super) signals: Option<TcpStream>,
    pub(super) calls: Option<TcpStream>,
    /// Where it listens itself.
    pub(super) address: Option<SocketAddr>,
}

impl Lobby {
    /// Of rank `own` of `size`.
    ///
    /// # Errors
    /// If the listener cannot be asked without waiting.
    pub(super) fn new(
        job: u64,
        own: usize,
        size: usize,
        listener: TcpListener,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let guests = Vec::from_iter((0..size).map(|_| Guest::default()));
        Ok(Self { job, own, size, listener, introduced: mpsc::channel(), guests })
    }

    pub(super) fn into_guests(self) -> Vec<Guest> {
        self.guests
    }

    pub(super) fn guests(&self) -> &[Guest] {
        &self.guests
    }

    /// Waits until all ranks of higher numbers have connected for this purpose.
    ///
    /// # Errors
    /// If not all have come at the deadline, or one comes that was told of another number of ranks.
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
                return Err(RanksError::Missing { waited, size: self.size, came, missing });
            }
            while let Ok((stream, _)) = self.listener.accept() {
                self.ask(stream);
            }
            match self.introduced.1.recv_timeout(GLANCE) {
                Ok((stream, hello)) => self.receive(stream, &hello)?,
                Err(_) => continue,
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

    /// Has a thread ask who it is that connects: a stranger who says nothing keeps nobody waiting.
    fn ask(&self, stream: TcpStream) {
        let introduced = self.introduced.0.clone();
        let ask = move || {
            let hello = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| stream.set_read_timeout(Some(INTRODUCTION)))
                .and_then(|()| stream.set_write_timeout(Some(INTRODUCTION)))
                .and_then(|()| wire::read_message(&stream));
            if let Ok(hello) = hello {
                // Nobody is there to receive it once all have come.
                let _ = introduced.send((stream, hello));
            }
        };
        // Who is not asked is not let in, and tries again.
        let _ = thread::Builder::new().name("var-lobby".to_owned()).spawn(ask);
    }

    /// Lets a rank in, or tells it why not.
    fn receive(&mut self, stream: TcpStream, hello: &Hello) -> Result<(), RanksError> {
        let answer = |answer: Answer| wire::write_message(&stream, &answer);
        if hello.job != self.job {
            // It is its own run that fails if this was not for it.
            let _ = answer(Answer::Stranger);
            return Ok(());
        }
        let (rank, size) = (hello.rank, hello.size);
        if size != self.size {
            let error = RanksError::Sizes { rank: self.own, size: self.size, own_size: size };
            let _ = answer(Answer::Refused(error.to_string()));
            return Err(RanksError::Sizes { rank, size, own_size: self.size });
        }
        let place = match self.guests.get_mut(rank).filter(|_| rank > self.own) {
            Some(guest) => match hello.purpose {
                Purpose::Signals => &mut guest.signals,
                Purpose::Calls => &mut guest.calls,
            },
            None => {
                let _ = answer(Answer::Refused(format!("it waits for no rank {rank}")));
                return Ok(());
            }
        };
        if place.as_ref().is_some_and(is_open) {
            let _ = answer(Answer::Refused(format!("there is a rank {rank} already")));
            return Ok(());
        }
        let Ok(address) = stream.peer_addr() else { return Ok(()) };
        // A rank that does not hear the welcome tries again.
        if answer(Answer::Welcome).is_ok() {
            *place = Some(stream);
            let address = SocketAddr::new(address.ip().to_canonical(), hello.port);
            self.guests[rank].address = Some(address);
        }
        Ok(())
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
