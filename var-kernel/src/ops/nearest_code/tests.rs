//! nearest_code against a naive oracle.
