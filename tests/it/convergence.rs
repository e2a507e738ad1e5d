//! The promise: for any history, and any delivery of its events, the tables end equal to Clerk.
//!
//! `CONVERGENCE_HISTORIES` makes it longer: it says how many random histories are tried, or which
//! ones (`17..18`). With ten times as many as usual, the small histories, of which all are tried,
//! are longer, too.

mod cuts;
mod history;
mod kills;
mod orders;
mod random;
mod ways;
mod world;

use std::ops::Range;

/// How many random histories are tried usually.
const N_HISTORIES: u64 = 12;

/// Which random histories to try, by their seeds.
fn seeds() -> Range<u64> {
    let Some(wanted) = setting() else {
        return 0..N_HISTORIES;
    };
    let (from, to) = wanted.split_once("..").unwrap_or(("0", &wanted));
    let number = |text: &str| text.parse().expect("histories as 1000 or as 17..18");
    number(from)..number(to)
}

/// Whether it may take much longer than usual.
fn is_long() -> bool {
    let seeds = seeds();
    seeds.end - seeds.start >= 10 * N_HISTORIES
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of ours"
)]
fn setting() -> Option<String> {
    std::env::var("CONVERGENCE_HISTORIES").ok()
}

#[expect(
    clippy::print_stdout,
    reason = "what was tried is what a person wants to know of such a test"
)]
fn say(what: &str) {
    println!("{what}");
}
