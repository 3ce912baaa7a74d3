//! What one poll costs, beside a bare client.

fn main() {}
