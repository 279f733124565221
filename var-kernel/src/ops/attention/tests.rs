//! attention against a naive oracle.
