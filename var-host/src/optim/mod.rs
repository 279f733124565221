//! What moves weights: how fast and how much at each iteration ([`schedule`]).

pub mod schedule;
