//! The model and the limits that requests keep to.

use crate::description::Description;
use crate::limits::Limits;

/// What a request is checked against.
pub(crate) struct Bounds<'a> {
    pub(crate) model: &'a Description,
    pub(crate) limits: &'a Limits,
}
