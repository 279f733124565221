//! When a run saves, validates and shows samples.

use crate::data::Place;

/// Length of a run, and the intervals of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Iterations of the whole run.
    pub iterations: u64,
    /// Iterations of an epoch.
    pub of_epoch: u64,
    /// Iterations between two checkpoints; 0 for none but that of the end.
    pub save_every: u64,
    /// Epochs between two validations, the last at the end; 0 for none.
    pub validate_every: u32,
    /// Epochs between two samples, the last at the end; 0 for none.
    pub sample_every: u32,
}

impl Calendar {
    /// Epochs of the run, the last of which may be broken off.
    pub fn epochs(&self) -> u32 {
        self.iterations.div_ceil(self.of_epoch) as u32
    }

    /// Where in the data a run is that has done so many iterations.
    pub fn place(&self, done: u64) -> Place {
        Place { epoch: (done / self.of_epoch) as u32, batch: (done % self.of_epoch) as u32 }
    }

    /// Whether `done` iterations are all of them.
    pub fn is_last(&self, done: u64) -> bool {
        done == self.iterations
    }

    /// Whether a checkpoint is due after `done` iterations.
    pub fn saves(&self, done: u64) -> bool {
        let due = self.save_every > 0 && done.is_multiple_of(self.save_every);
        due || self.is_last(done)
    }

    /// Whether a validation is due after `done` iterations.
    pub fn validates(&self, done: u64) -> bool {
        self.is_due(done, self.validate_every)
    }

    /// Whether samples are due after `done` iterations.
    pub fn samples(&self, done: u64) -> bool {
        self.is_due(done, self.sample_every)
    }

    /// Whether `done` iterations end the run, or an epoch that an event every so many epochs falls on.
    fn is_due(&self, done: u64, every: u32) -> bool {
        let epoch = done / self.of_epoch;
        let ends_epoch = done.is_multiple_of(self.of_epoch);
        let after_epochs = ends_epoch && epoch.is_multiple_of(every.into());
        every > 0 && (self.is_last(done) || after_epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Calendar =
        Calendar { iterations: 25, of_epoch: 4, save_every: 4, validate_every: 2, sample_every: 0 };

    /// The iterations after which something is due.
    fn of(due: impl Fn(u64) -> bool) -> Vec<u64> {
        (1..=25).filter(|done| due(*done)).collect()
    }

    #[test]
    fn calendar_is_due_at_the_ends_of_epochs() {
        assert_eq!(of(|done| DAYS.validates(done)), [8, 16, 24, 25]);
        assert_eq!(of(|done| DAYS.saves(done)), [4, 8, 12, 16, 20, 24, 25]);
        let seldom = Calendar { save_every: 10, validate_every: 7, ..DAYS };
        assert_eq!(of(|done| seldom.saves(done)), [10, 20, 25]);
        assert_eq!(of(|done| seldom.validates(done)), [25]);
    }

    #[test]
    fn calendar_takes_0_for_never() {
        let never = Calendar { save_every: 0, validate_every: 0, ..DAYS };
        // A run cannot end without its checkpoint.
        assert_eq!(of(|done| never.saves(done)), [25]);
        assert!(of(|done| never.validates(done)).is_empty());
        assert!(of(|done| never.samples(done)).is_empty());
        let with_samples = Calendar { sample_every: 3, ..DAYS };
        assert_eq!(of(|done| with_samples.samples(done)), [12, 24, 25]);
    }

    #[test]
    fn a_run_goes_on_in_the_epoch_it_left() {
        assert_eq!(DAYS.epochs(), 7);
        assert_eq!(DAYS.place(9), Place { epoch: 2, batch: 1 });
    }
}
