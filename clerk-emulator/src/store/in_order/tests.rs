//! Every place is found, whatever was added and taken out before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AT_MOST, InOrder, Place, Places};
use crate::params::Page;

/// Compares an order with a plain one.
fn check(order: &InOrder, expected: &BTreeMap<Place, String>) {
    let ids: Vec<&str> = expected.values().map(String::as_str).collect();
    let newest_first: Vec<&str> = ids.iter().rev().copied().collect();
    assert_eq!(order.len(), ids.len());
    let (half, all) = (ids.len() / 2, ids.len());
    for n in [
        0,
        1,
        AT_MOST / 2,
        AT_MOST,
        half,
        all.saturating_sub(1),
        all,
        all + 1,
    ] {
        let n_left = n.min(all);
        assert!(
            order.skip_oldest(n).eq(ids[n_left..].iter().copied()),
            "{n}"
        );
        assert!(
            order
                .skip_newest(n)
                .eq(newest_first[n_left..].iter().copied()),
            "{n}"
        );
        let page = Page {
            offset: n,
            limit: 3,
        };
        let end = all.min(n_left + 3);
        assert!(
            order.page(false, page).eq(ids[n_left..end].iter().copied()),
            "{n}"
        );
        assert!(
            order
                .page(true, page)
                .eq(newest_first[n_left..end].iter().copied()),
            "{n}"
        );
    }
    for (n, place) in expected.keys().enumerate().step_by(7) {
        assert_eq!(order.n_before(*place), n);
    }
}

#[test]
fn an_order_is_whole_after_any_additions_and_removals() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut order, mut expected) = (InOrder::default(), BTreeMap::new());
        let mut places = Places::default();
        check(&order, &expected);
        for n in 0..3 * AT_MOST {
            // Few different times, so that many share one.
            let place = places.place(random.i64(0..50), None);
            order.insert(place, Arc::from(n.to_string()));
            expected.insert(place, n.to_string());
            if random.u32(0..3) == 0 {
                let at = random.usize(0..expected.len());
                let place = *expected.keys().nth(at).unwrap();
                order.remove(place);
                expected.remove(&place);
            }
        }
        check(&order, &expected);
        while let Some((place, _)) = expected.pop_first() {
            order.remove(place);
        }
        check(&order, &expected);
    }
}

#[test]
fn an_object_keeps_its_number_when_its_time_changes() {
    let mut places = Places::default();
    let first = places.place(5, None);
    let second = places.place(5, None);
    assert!(first < second);
    let later = places.place(6, Some(first));
    assert!(later > second);
    assert_eq!(places.place(5, Some(later)), first);
}

#[test]
fn what_is_not_there_is_not_taken_out() {
    let mut places = Places::default();
    let mut order = InOrder::default();
    let place = places.place(1, None);
    order.remove(place);
    order.insert(place, Arc::from("a"));
    order.insert(place, Arc::from("a"));
    order.remove(places.place(1, None));
    assert_eq!(order.len(), 1);
}
