//! The retry schedule.

use super::next_attempt_at;

#[test]
fn eight_attempts_in_a_little_over_a_day() {
    let mut now = 0;
    let mut times = Vec::new();
    while let Some(at) = next_attempt_at(times.len(), now) {
        now = at;
        times.push(at / 1000);
    }
    assert_eq!(
        times,
        [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 99_305],
        "27.6 hours in all"
    );
}
