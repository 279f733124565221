//! Heartbeats between all ranks, beside the calls.
//!
//! A process that is killed closes its connections, and its readers learn so at once. A
//! machine that loses power or its network closes nothing; it is lost when nothing has come from it
//! for a while. Either way the first rank to notice tells the others, and on each the connections of
//! calls are shut, which ends a wait for values that will not come.

use core::time::Duration;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::super::error::{PeerFailure, ProcessGroupError};
use super::wire::{self, Signal};

/// Interval of the heartbeats, and the silence after which a rank is lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeartbeatConfig {
    pub(super) interval: Duration,
    pub(super) silence: Duration,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), silence: Duration::from_secs(20) }
    }
}

/// How long a broken connection waits for news of the cause: it may be broken because the
/// rank at its other end has lost a third one.
const NEWS: Duration = Duration::from_secs(1);

/// A rank's connections to another.
pub(super) struct PeerLink {
    pub(super) rank: usize,
    pub(super) signals: TcpStream,
    pub(super) links: TcpStream,
}

/// The threads that send and receive heartbeats. Dropping it sends the shutdown message.
pub(super) struct Heartbeat(Arc<HeartbeatShared>);

struct HeartbeatShared {
    own: usize,
    lines: Vec<PeerLink>,
    state: Mutex<HeartbeatState>,
    changed: Condvar,
}

#[derive(Default)]
struct HeartbeatState {
    /// The first rank that left or was lost.
    first: Option<(usize, PeerFailure)>,
    ended: bool,
}

impl Heartbeat {
    /// Watches the ranks at the other ends of `lines`.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(super) fn start(
        own: usize,
        lines: Vec<PeerLink>,
        config: HeartbeatConfig,
    ) -> io::Result<Self> {
        for line in &lines {
            line.signals.set_read_timeout(Some(config.silence))?;
            line.signals.set_write_timeout(Some(config.interval))?;
        }
        let shared =
            HeartbeatShared { own, lines, state: Mutex::default(), changed: Condvar::new() };
        // Should a thread not start, those before it are ended as this is dropped.
        let heartbeat = Self(Arc::new(shared));
        for index in 0..heartbeat.0.lines.len() {
            let shared = Arc::clone(&heartbeat.0);
            let name = format!("var-watch-{}", shared.lines[index].rank);
            let silence = config.silence;
            thread::Builder::new().name(name).spawn(move || shared.listen(index, silence))?;
        }
        let shared = Arc::clone(&heartbeat.0);
        let interval = config.interval;
        thread::Builder::new()
            .name("var-pulse".to_owned())
            .spawn(move || shared.pulse(interval))?;
        Ok(heartbeat)
    }

    /// An error if a rank is known to be lost.
    pub(super) fn check(&self) -> Result<(), ProcessGroupError> {
        match self.check_none_left() {
            Err(ProcessGroupError::Lost { failure: PeerFailure::Left, .. }) => Ok(()),
            checked => checked,
        }
    }

    /// An error if a rank is known to be lost or has left.
    pub(super) fn check_none_left(&self) -> Result<(), ProcessGroupError> {
        match self.0.lock().first.clone() {
            Some((rank, failure)) => Err(ProcessGroupError::Lost { rank, failure }),
            None => Ok(()),
        }
    }

    /// Ends all calls of this rank because its connection to `rank` broke, and tells the others.
    /// Returns the first loss there was: the broken connection may only follow from another rank's.
    pub(super) fn broken(&self, rank: usize, failure: PeerFailure) -> ProcessGroupError {
        let unknown = |state: &mut HeartbeatState| state.first.is_none();
        drop(self.0.changed.wait_timeout_while(self.0.lock(), NEWS, unknown));
        self.give_up(rank, failure.clone());
        let (rank, failure) = self.0.lock().first.clone().unwrap_or((rank, failure));
        ProcessGroupError::Lost { rank, failure }
    }

    /// Ends all calls of this rank because of `rank`, and tells the others.
    pub(super) fn give_up(&self, rank: usize, failure: PeerFailure) {
        self.0.lose(rank, failure);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let lost = {
            let mut state = self.0.lock();
            state.ended = true;
            state.first.as_ref().filter(|(_, failure)| is_news(failure)).map(|(rank, _)| *rank)
        };
        self.0.changed.notify_all();
        // A lost rank needs no shutdown message. The connections are closed when their readers have ended:
        // closed before, unread data could be lost to the others.
        for PeerLink { signals, links, .. } in &self.0.lines {
            // The rank that found the loss may not have told of it; after the shutdown message nobody listens.
            if let Some(lost) = lost {
                let _ = wire::write_signal(signals, Signal::Lost(lost));
            }
            let _ = wire::write_signal(signals, Signal::Leaving);
            let _ = signals.shutdown(Shutdown::Write);
            let _ = links.shutdown(Shutdown::Write);
        }
    }
}

impl HeartbeatShared {
    fn lock(&self) -> MutexGuard<'_, HeartbeatState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to one rank until its connection ends.
    fn listen(&self, index: usize, silence: Duration) {
        let line = &self.lines[index];
        loop {
            match wire::read_signal(&line.signals) {
                Ok(Signal::Alive) => {}
                Ok(Signal::Leaving) => {
                    self.note(line.rank, PeerFailure::Left);
                    return;
                }
                Ok(Signal::Lost(rank)) if rank == self.own => {
                    self.lose(line.rank, PeerFailure::GaveUp);
                }
                Ok(Signal::Lost(rank)) => self.lose(rank, PeerFailure::Reported { by: line.rank }),
                Err(error) => return self.lose(line.rank, PeerFailure::after(silence, &error)),
            }
        }
    }

    /// Sends heartbeats until the end.
    fn pulse(&self, interval: Duration) {
        let mut state = self.lock();
        while !state.ended {
            drop(state);
            for line in &self.lines {
                // A connection that fails is the listener's to judge.
                let _ = wire::write_signal(&line.signals, Signal::Alive);
            }
            let waited = self.changed.wait_timeout_while(self.lock(), interval, |s| !s.ended);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Notes how a rank went, if none went before. Returns whether none did.
    fn note(&self, rank: usize, failure: PeerFailure) -> bool {
        let mut state = self.lock();
        if state.ended || state.first.is_some() {
            return false;
        }
        state.first = Some((rank, failure));
        self.changed.notify_all();
        true
    }

    /// Notes the loss of a rank, tells the others of it, then the rank itself, which may only have
    /// been silent, and ends all calls.
    fn lose(&self, rank: usize, failure: PeerFailure) {
        let is_news = is_news(&failure);
        if self.note(rank, failure) && is_news {
            let (lost, others): (Vec<_>, _) = self.lines.iter().partition(|line| line.rank == rank);
            for line in others.into_iter().chain(lost) {
                let _ = wire::write_signal(&line.signals, Signal::Lost(rank));
            }
        }
        if !self.lock().ended {
            for line in &self.lines {
                let _ = line.links.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Whether other ranks are to hear of a loss from this one: a rank that leaves or gives up another says so
/// itself.
fn is_news(failure: &PeerFailure) -> bool {
    !matches!(failure, PeerFailure::Left | PeerFailure::GaveUp)
}
