//! linear against a naive oracle.
