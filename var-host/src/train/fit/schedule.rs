//! When a run saves, validates and shows samples.

use crate::data::BatchCursor;

/// Length of a run, and the intervals of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventSchedule {
    /// Iterations of the whole run.
    pub(super) iterations: u64,
    /// Iterations of an epoch.
    pub(super) epoch: u64,
    /// Iterations between two checkpoints; 0 for none but that of the end.
    pub(super) save_every: u64,
    /// Epochs between two validations, the last at the end; 0 for none.
    pub(super) validate_every: u32,
    /// Epochs between two samples, the last at the end; 0 for none.
    pub(super) sample_every: u32,
}

impl EventSchedule {
    /// Epochs of the run, the last of which may be broken off.
    pub(super) fn epochs(&self) -> u32 {
        self.iterations.div_ceil(self.epoch) as u32
    }

    /// Where in the data a run is that has done so many iterations.
    pub(super) fn place(&self, done: u64) -> BatchCursor {
        BatchCursor { epoch: (done / self.epoch) as u32, batch: (done % self.epoch) as u32 }
    }

    /// Whether `done` iterations are all of them.
    pub(super) fn is_last(&self, done: u64) -> bool {
        done == self.iterations
    }

    /// Whether a checkpoint is due after `done` iterations.
    pub(super) fn saves(&self, done: u64) -> bool {
        let due = self.save_every > 0 && done.is_multiple_of(self.save_every);
        due || self.is_last(done)
    }

    /// Whether a validation is due after `done` iterations.
    pub(super) fn validates(&self, done: u64) -> bool {
        self.is_due(done, self.validate_every)
    }

    /// Whether samples are due after `done` iterations.
    pub(super) fn samples(&self, done: u64) -> bool {
        self.is_due(done, self.sample_every)
    }

    /// Whether `done` iterations end the run, or an epoch that an event every so many epochs falls on.
    fn is_due(&self, done: u64, every: u32) -> bool {
        let epochs = done / self.epoch;
        let ends_epoch = done.is_multiple_of(self.epoch);
        let after_epochs = ends_epoch && epochs.is_multiple_of(every.into());
        every > 0 && (self.is_last(done) || after_epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: EventSchedule = EventSchedule {
        iterations: 25,
        epoch: 4,
        save_every: 4,
        validate_every: 2,
        sample_every: 0,
    };

    /// The iterations after which something is due.
    fn of(due: impl Fn(u64) -> bool) -> Vec<u64> {
        (1..=25).filter(|done| due(*done)).collect()
    }

    #[test]
    fn schedule_is_due_at_the_ends_epochs() {
        assert_eq!(of(|done| SCHEDULE.validates(done)), [8, 16, 24, 25]);
        assert_eq!(of(|done| SCHEDULE.saves(done)), [4, 8, 12, 16, 20, 24, 25]);
        let seldom = EventSchedule { save_every: 10, validate_every: 7, ..SCHEDULE };
        assert_eq!(of(|done| seldom.saves(done)), [10, 20, 25]);
        assert_eq!(of(|done| seldom.validates(done)), [25]);
    }

    #[test]
    fn schedule_takes_0_for_never() {
        let never = EventSchedule { save_every: 0, validate_every: 0, ..SCHEDULE };
        // A run cannot end without its checkpoint.
        assert_eq!(of(|done| never.saves(done)), [25]);
        assert!(of(|done| never.validates(done)).is_empty());
        assert!(of(|done| never.samples(done)).is_empty());
        let with_samples = EventSchedule { sample_every: 3, ..SCHEDULE };
        assert_eq!(of(|done| with_samples.samples(done)), [12, 24, 25]);
    }

    #[test]
    fn place_is_in_the_epoch_that_was_left() {
        assert_eq!(SCHEDULE.epochs(), 7);
        assert_eq!(SCHEDULE.place(9), BatchCursor { epoch: 2, batch: 1 });
    }
}
