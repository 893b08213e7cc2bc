//! The `onrecord` command: what it does comes with the parts behind it.

fn main() {}
