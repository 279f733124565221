//! conv2d against a naive oracle.
