//! resize against a naive oracle.
