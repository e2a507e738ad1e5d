//! How far a list is read, while it changes. No I/O.
//!
//! Clerk's lists are in the order in which things were made, so what is made meanwhile comes at the
//! end. What is removed meanwhile moves all that follows forward, past the next page.
//! So each page begins with the last object of the page before: if it does not, something is missing
//! between the two, and the list is gone back over until a page begins with something that is known.

use serde::{Deserialize, Serialize};

use crate::clerk::PAGE_LEN;

/// How far it is gone back at first; then twice as far, and so on.
const FIRST_STEP_BACK: u64 = 100;

/// How far a list is read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// So many objects are read, if nothing was removed.
    pub(super) n_read: u64,
    /// The last of them.
    pub(super) last: Option<String>,
    /// How far it is gone back, while it is.
    pub(super) back: u64,
    /// Clerk does not know cursors, or no longer has the object that one names.
    pub(super) is_cursor_useless: bool,
    /// All is read.
    pub(super) is_done: bool,
}

/// What becomes of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It follows what is read: these of its objects are new, from this place on.
    Follows(usize),
    /// Something is missing before it.
    Gap,
    /// It may follow what is read, if its first object is known.
    FollowsIfKnown,
}

impl Place {
    /// At which offset the next page begins.
    pub(super) fn offset(&self) -> u64 {
        let overlap = u64::from(self.last.is_some());
        self.n_read.saturating_sub(overlap.max(self.back))
    }

    /// Whether it is gone back over the list.
    pub(super) fn is_searching(&self) -> bool {
        self.back > 0
    }

    /// Looks whether a page follows that begins with this object, at [`Place::offset`].
    pub(super) fn fit(&self, first: Option<&str>) -> Fit {
        match (&self.last, first) {
            (None, _) => Fit::Follows(0),
            (Some(last), Some(first)) if last == first => Fit::Follows(1),
            _ if self.offset() == 0 => Fit::Follows(0),
            (Some(_), Some(_)) if self.is_searching() => Fit::FollowsIfKnown,
            (Some(_), _) => Fit::Gap,
        }
    }

    /// Goes back, and further each time.
    pub(super) fn go_back(&mut self) {
        self.back = (self.back * 2).max(FIRST_STEP_BACK);
    }

    /// A page of so many objects follows, of which this is the last.
    pub(super) fn advance(&mut self, n_objects: usize, last: Option<&str>) {
        self.n_read = self.offset() + n_objects as u64;
        self.back = 0;
        if let Some(last) = last {
            self.last = Some(last.to_owned());
        }
        self.is_done = n_objects < PAGE_LEN;
    }

    /// How many pages may be read at once: one while it is searched, and no more than there are.
    pub(super) fn n_at_once(&self, total: u64, most: u64) -> u64 {
        if self.is_done {
            return 0;
        }
        if self.is_searching() || self.last.is_none() {
            return 1;
        }
        let n_left = total.saturating_sub(self.offset());
        n_left.div_ceil(PAGE_LEN as u64 - 1).clamp(1, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(n_read: u64, last: &str) -> Place {
        Place {
            n_read,
            last: Some(last.to_owned()),
            ..Place::default()
        }
    }

    #[test]
    fn the_first_page_follows_whatever_it_shows() {
        assert_eq!(Place::default().offset(), 0);
        assert_eq!(Place::default().fit(Some("a")), Fit::Follows(0));
        assert_eq!(Place::default().fit(None), Fit::Follows(0));
    }

    #[test]
    fn a_page_that_begins_with_the_last_object_follows_it() {
        let mut place = read(500, "z");
        assert_eq!(place.offset(), 499);
        assert_eq!(place.fit(Some("z")), Fit::Follows(1));
        place.advance(PAGE_LEN, Some("zz"));
        assert_eq!((place.n_read, place.is_done), (999, false));
        assert_eq!(place.last.as_deref(), Some("zz"));
    }

    #[test]
    fn a_page_that_begins_with_another_leaves_a_gap_and_is_looked_for_further_back() {
        let mut place = read(500, "z");
        assert_eq!(place.fit(Some("zz")), Fit::Gap);
        assert_eq!(place.fit(None), Fit::Gap);
        place.go_back();
        assert_eq!(place.offset(), 400);
        assert_eq!(place.fit(Some("y")), Fit::FollowsIfKnown);
        assert_eq!(place.fit(None), Fit::Gap);
        place.go_back();
        assert_eq!(place.offset(), 300);
        place.advance(PAGE_LEN, Some("zzz"));
        assert_eq!((place.n_read, place.is_searching()), (800, false));
    }

    #[test]
    fn at_the_beginning_of_the_list_nothing_is_missing_before_a_page() {
        let mut place = read(50, "z");
        place.go_back();
        assert_eq!(place.offset(), 0);
        assert_eq!(place.fit(Some("a")), Fit::Follows(0));
        assert_eq!(place.fit(None), Fit::Follows(0));
    }

    #[test]
    fn a_short_page_is_the_last() {
        let mut place = read(500, "z");
        place.advance(PAGE_LEN - 1, Some("zz"));
        assert!(place.is_done);
        assert_eq!(place.n_at_once(10_000, 4), 0);
    }

    #[test]
    fn no_more_pages_are_read_at_once_than_there_are() {
        assert_eq!(Place::default().n_at_once(10_000, 4), 1);
        assert_eq!(read(500, "z").n_at_once(10_000, 4), 4);
        assert_eq!(read(500, "z").n_at_once(998, 4), 1);
        assert_eq!(read(500, "z").n_at_once(999, 4), 2);
        assert_eq!(read(500, "z").n_at_once(0, 4), 1);
    }
}
