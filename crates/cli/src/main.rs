//! The `afresh` program.

fn main() {}
