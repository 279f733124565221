//! The command line `var`.
fn main() {}
