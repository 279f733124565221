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

use super::super::error::{Loss, RanksError};
use super::wire::{self, Signal};

/// How often ranks give signs of life, and how long they wait for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) interval: Duration,
    pub(super) silence: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), silence: Duration::from_secs(20) }
    }
}

/// How long a broken connection waits for news of the cause: it may be broken because the
/// rank at its other end has lost a third one.
const NEWS: Duration = Duration::from_secs(1);

/// A rank's connections to another.
pub(super) struct Line {
    pub(super) rank: usize,
    pub(super) signals: TcpStream,
    pub(super) calls: TcpStream,
}

/// The threads that listen for signs of life and give them. Dropping it says goodbye.
pub(super) struct Watch(Arc<Shared>);

struct Shared {
    own: usize,
    lines: Vec<Line>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The first rank that left or was lost.
    first: Option<(usize, Loss)>,
    ended: bool,
}

impl Watch {
    /// Watches the ranks at the other ends of `lines`.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub(super) fn start(own: usize, lines: Vec<Line>, rhythm: Rhythm) -> io::Result<Self> {
        for line in &lines {
            line.signals.set_read_timeout(Some(rhythm.silence))?;
            line.signals.set_write_timeout(Some(rhythm.interval))?;
        }
        let shared = Shared { own, lines, state: Mutex::default(), changed: Condvar::new() };
        // Should a thread not start, those before it are ended as this is dropped.
        let watch = Self(Arc::new(shared));
        for index in 0..watch.0.lines.len() {
            let shared = Arc::clone(&watch.0);
            let name = format!("var-watch-{}", shared.lines[index].rank);
            let silence = rhythm.silence;
            thread::Builder::new().name(name).spawn(move || shared.listen(index, silence))?;
        }
        let shared = Arc::clone(&watch.0);
        let interval = rhythm.interval;
        thread::Builder::new()
            .name("var-pulse".to_owned())
            .spawn(move || shared.pulse(interval))?;
        Ok(watch)
    }

    /// An error if a rank is known to be lost.
    pub(super) fn check(&self) -> Result<(), RanksError> {
        match self.check_none_left() {
            Err(RanksError::Lost { loss: Loss::Left, .. }) => Ok(()),
            checked => checked,
        }
    }

    /// An error if a rank is known to be lost or has left.
    pub(super) fn check_none_left(&self) -> Result<(), RanksError> {
        match self.0.lock().first.clone() {
            Some((rank, loss)) => Err(RanksError::Lost { rank, loss }),
            None => Ok(()),
        }
    }

    /// Ends all calls of this rank because its connection to `rank` broke, and tells the others.
    /// Returns the first loss there was: the broken connection may only follow from another rank's.
    pub(super) fn broken(&self, rank: usize, loss: Loss) -> RanksError {
        let unknown = |state: &mut State| state.first.is_none();
        drop(self.0.changed.wait_timeout_while(self.0.lock(), NEWS, unknown));
        self.give_up(rank, loss.clone());
        let (rank, loss) = self.0.lock().first.clone().unwrap_or((rank, loss));
        RanksError::Lost { rank, loss }
    }

    /// Ends all calls of this rank because of `rank`, and tells the others.
    pub(super) fn give_up(&self, rank: usize, loss: Loss) {
        self.0.lose(rank, loss);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let lost = {
            let mut state = self.0.lock();
            state.ended = true;
            state.first.as_ref().filter(|(_, loss)| is_news(loss)).map(|(rank, _)| *rank)
        };
        self.0.changed.notify_all();
        // A lost rank needs no goodbye. The connections are closed when their readers have ended:
        // closed before, unread data could be lost to the others.
        for Line { signals, calls, .. } in &self.0.lines {
            // The rank that found the loss may not have told of it; after the goodbye nobody listens.
            if let Some(lost) = lost {
                let _ = wire::write_signal(signals, Signal::Lost(lost));
            }
            let _ = wire::write_signal(signals, Signal::Leaving);
            let _ = signals.shutdown(Shutdown::Write);
            let _ = calls.shutdown(Shutdown::Write);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens to one rank until its connection ends.
    fn listen(&self, index: usize, silence: Duration) {
        let line = &self.lines[index];
        loop {
            match wire::read_signal(&line.signals) {
                Ok(Signal::Alive) => {}
                Ok(Signal::Leaving) => {
                    self.note(line.rank, Loss::Left);
                    return;
                }
                Ok(Signal::Lost(rank)) if rank == self.own => {
                    self.lose(line.rank, Loss::GaveUp);
                }
                Ok(Signal::Lost(rank)) => self.lose(rank, Loss::Reported { by: line.rank }),
                Err(error) => return self.lose(line.rank, Loss::after(silence, &error)),
            }
        }
    }

    /// Gives signs of life until the end.
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
    fn note(&self, rank: usize, loss: Loss) -> bool {
        let mut state = self.lock();
        if state.ended || state.first.is_some() {
            return false;
        }
        state.first = Some((rank, loss));
        self.changed.notify_all();
        true
    }

    /// Notes the loss of a rank, tells the others of it, then the rank itself, which may only have
    /// been silent, and ends all calls.
    fn lose(&self, rank: usize, loss: Loss) {
        let is_news = is_news(&loss);
        if self.note(rank, loss) && is_news {
            let (lost, others): (Vec<_>, _) = self.lines.iter().partition(|line| line.rank == rank);
            for line in others.into_iter().chain(lost) {
                let _ = wire::write_signal(&line.signals, Signal::Lost(rank));
            }
        }
        if !self.lock().ended {
            for line in &self.lines {
                let _ = line.calls.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Whether other ranks are to hear of a loss from this one: a rank that leaves or gives up another says so
/// itself.
fn is_news(loss: &Loss) -> bool {
    !matches!(loss, Loss::Left | Loss::GaveUp)
}
