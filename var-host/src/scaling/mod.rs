//! Scaling laws: how loss and error of finished runs fall with the size of the model (Kaplan and
//! others, "Scaling Laws for Neural Language Models", 2020; Tian and others, "Visual Autoregressive
//! Modeling", 2024, section 4.2).
//!
//! | file | holds |
//! |---|---|
//! | `run` | [`FinishedRun`]: size and losses of a finished run |
//! | `fit` | [`PowerLaw`]: `y = (α·N)^β`, and how sure it is |

mod fit;
mod run;

pub use fit::{FEWEST, FitError, PowerLaw};
pub use run::{FinishedRun, Measure, RunFault, ScalingError};
