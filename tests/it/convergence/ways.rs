//! All ways in which events can arrive.

use std::collections::BTreeSet;

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// The next step happens in Clerk.
    Step,
    /// The n-th event arrives.
    Deliver(usize),
    /// It arrives again.
    Again(usize),
}

/// All orders of so many events.
pub(super) fn permutations(n: usize) -> Vec<Vec<Op>> {
    let mut orders = vec![Vec::new()];
    for place in 0..n {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<Op>| {
                (0..=order.len()).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, Op::Deliver(place));
                    order
                })
            })
            .collect();
    }
    orders
}

/// Each as it is, and with one event that arrives twice: in short ones each event, at each later
/// moment; in long ones one of them, another in each order.
pub(super) fn with_repetitions(orders: Vec<Vec<Op>>) -> Vec<Vec<Op>> {
    let mut all = Vec::new();
    for (n, order) in orders.into_iter().enumerate() {
        let repeat = |first: usize, second: usize| {
            let Op::Deliver(event) = order[first] else {
                return order.clone();
            };
            let mut order = order.clone();
            order.insert(second, Op::Again(event));
            order
        };
        if order.len() > 3 {
            let first = n % order.len();
            let second = first + 1 + n / order.len() % (order.len() - first);
            all.push(repeat(first, second));
            continue;
        }
        for first in 0..order.len() {
            all.extend((first + 1..=order.len()).map(|second| repeat(first, second)));
        }
        all.push(order);
    }
    all
}

/// All ways in which the events of steps can arrive between the steps, each after its own.
pub(super) fn interleavings(n_events: &[usize]) -> Vec<Vec<Op>> {
    let mut all = Vec::new();
    // What happened, how many steps that were, and which of their events have yet to arrive.
    let mut growing = vec![(Vec::new(), 0, BTreeSet::new())];
    while let Some((ops, n_steps, sent)) = growing.pop() {
        if n_steps == n_events.len() && sent.is_empty() {
            all.push(ops);
            continue;
        }
        for event in &sent {
            let mut sent = sent.clone();
            sent.remove(event);
            growing.push(([&ops[..], &[Op::Deliver(*event)]].concat(), n_steps, sent));
        }
        if let Some(n) = n_events.get(n_steps) {
            let n_before: usize = n_events[..n_steps].iter().sum();
            let sent = sent.into_iter().chain(n_before..n_before + n).collect();
            growing.push(([&ops[..], &[Op::Step]].concat(), n_steps + 1, sent));
        }
    }
    all
}
