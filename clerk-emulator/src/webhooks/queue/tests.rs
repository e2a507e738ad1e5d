//! Where deliveries stand, without HTTP.

use super::{Job, Outcome, Queue};
use crate::webhooks::{Attempt, Status};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn record(queue: &mut Queue, job: &Job, outcome: Outcome, now: i64) {
    let attempt = Attempt {
        message_id: job.message_id.clone(),
        endpoint_id: job.endpoint_id.clone(),
        status: None,
        body: String::new(),
        is_success: outcome == Outcome::Taken,
    };
    queue.record(&attempt, outcome, now);
}

fn queue_with_message() -> Queue {
    let mut queue = Queue::default();
    queue.add_endpoint("http://127.0.0.1:1", "whsec_AAAA");
    queue.push("user.created", "{}".to_owned(), 0);
    queue
}

#[test]
fn a_delivery_under_way_is_not_started_twice() {
    let mut queue = queue_with_message();
    let jobs = queue.start_due(0);
    assert_eq!(jobs.len(), 1);
    assert_eq!(queue.start_due(0).len(), 0);
    queue.put_back(&jobs[0]);
    assert_eq!(queue.start_due(0).len(), 1);
}

#[test]
fn a_refused_message_comes_again_with_the_same_id_until_it_has_failed() {
    let mut queue = queue_with_message();
    let id = queue.messages()[0].id.clone();
    let mut now = 0;
    for n_attempts in 1..=8 {
        let jobs = queue.start_due(now);
        assert_eq!(jobs[0].message_id, id);
        record(&mut queue, &jobs[0], Outcome::Refused, now);
        assert_eq!(queue.messages()[0].n_attempts, n_attempts);
        now += 36_000_000;
    }
    assert_eq!(queue.messages()[0].status, Status::Failed);
    assert_eq!(queue.start_due(now).len(), 0);
    assert!(queue.replay(&id, now));
    assert_eq!(queue.start_due(now).len(), 1);
}

#[test]
fn an_abort_ends_the_attempts() {
    let mut queue = queue_with_message();
    let jobs = queue.start_due(0);
    record(&mut queue, &jobs[0], Outcome::Aborted, 0);
    assert_eq!(queue.messages()[0].status, Status::Failed);
}

#[test]
fn five_days_of_failure_disable_an_endpoint() {
    let mut queue = queue_with_message();
    for day in 0..=5 {
        assert!(!queue.endpoints()[0].disabled, "day {day}");
        queue.push("user.updated", "{}".to_owned(), day * DAY_MS);
        for job in queue.start_due(day * DAY_MS) {
            record(&mut queue, &job, Outcome::Refused, day * DAY_MS);
        }
    }
    assert!(queue.endpoints()[0].disabled);
}
