//! group_norm against a naive oracle.
