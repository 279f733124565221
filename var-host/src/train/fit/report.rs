//! Means of iterations and validations.

use core::fmt;

/// Means that are logged, and their text on a terminal.
pub trait LogMetrics: fmt::Display {
    /// Values by their TensorBoard tags.
    fn scalars(&self) -> Vec<(String, f64)>;
}

/// Metrics that tell the better of two models.
pub trait Score {
    /// The value by which they do, if it is better than the `best` so far.
    fn improvement(&self, best: Option<f64>) -> Option<f64>;
}
