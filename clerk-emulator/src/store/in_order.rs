//! An order of creation in which every place can be reached at once.

use std::sync::Arc;

use crate::params::Page;

/// Where an object stands: after whatever was made before it, and within a millisecond in the
/// order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    created_at: i64,
    number: u64,
}

/// Gives out places; the number of a place is never given out again.
#[derive(Debug, Default)]
pub(crate) struct Places {
    n_so_far: u64,
}

impl Places {
    /// The place of an object made at this time, which keeps its number if it had a place.
    pub(crate) fn place(&mut self, created_at: i64, former: Option<Place>) -> Place {
        let number = former.map_or(self.n_so_far, |place| place.number);
        self.n_so_far += u64::from(former.is_none());
        Place { created_at, number }
    }
}

/// An object with its place.
#[derive(Debug)]
pub(crate) struct Placed<T> {
    pub(crate) place: Place,
    pub(crate) object: T,
}

/// How many ids a piece of an order holds at most.
const AT_MOST: usize = 512;

/// Ids in the order of their places.
///
/// The order is kept in pieces: a change moves no more than one of them, and a page is found by
/// their lengths, wherever it starts.
#[derive(Debug, Default)]
pub(crate) struct InOrder {
    /// None of them is empty.
    pieces: Vec<Vec<(Place, Arc<str>)>>,
    len: usize,
}

impl InOrder {
    /// Adds an id, or leaves it where it is.
    pub(crate) fn insert(&mut self, place: Place, id: Arc<str>) {
        // What comes after everything else goes into the last piece.
        let at = self.piece_of(place);
        let at = at.min(self.pieces.len().saturating_sub(1));
        let Some(piece) = self.pieces.get_mut(at) else {
            self.pieces.push(vec![(place, id)]);
            self.len = 1;
            return;
        };
        let Err(within) = piece.binary_search_by_key(&place, |(place, _)| *place) else {
            return;
        };
        piece.insert(within, (place, id));
        self.len += 1;
        if piece.len() > AT_MOST {
            let second_half = piece.split_off(AT_MOST / 2);
            self.pieces.insert(at + 1, second_half);
        }
    }

    /// Takes an id out.
    pub(crate) fn remove(&mut self, place: Place) {
        let at = self.piece_of(place);
        let Some(piece) = self.pieces.get_mut(at) else {
            return;
        };
        let Ok(within) = piece.binary_search_by_key(&place, |(place, _)| *place) else {
            return;
        };
        piece.remove(within);
        self.len -= 1;
        if piece.is_empty() {
            self.pieces.remove(at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many stand before this place.
    pub(crate) fn n_before(&self, place: Place) -> usize {
        let at = self.piece_of(place);
        let earlier: usize = self.pieces.iter().take(at).map(Vec::len).sum();
        let within = self.pieces.get(at).map_or(0, |piece| {
            piece.partition_point(|(other, _)| *other < place)
        });
        earlier + within
    }

    /// All but the first `n`, the oldest first.
    pub(crate) fn skip_oldest(&self, n: usize) -> impl DoubleEndedIterator<Item = &str> {
        let mut n = n;
        let mut at = 0;
        while let Some(piece) = self.pieces.get(at).filter(|piece| piece.len() <= n) {
            n -= piece.len();
            at += 1;
        }
        let first = self.pieces.get(at).and_then(|piece| piece.get(n..));
        let others = self.pieces.get(at + 1..).unwrap_or_default();
        let first = first.unwrap_or_default().iter();
        first.chain(others.iter().flatten()).map(|(_, id)| &**id)
    }

    /// All but the last `n`, the newest first.
    pub(crate) fn skip_newest(&self, n: usize) -> impl Iterator<Item = &str> {
        let mut n = n;
        let mut end = self.pieces.len();
        while let Some(piece) = end.checked_sub(1).and_then(|at| self.pieces.get(at)) {
            if piece.len() > n {
                break;
            }
            n -= piece.len();
            end -= 1;
        }
        let mut pieces = self.pieces.iter().take(end).rev();
        let last = pieces.next().map(Vec::as_slice).unwrap_or_default();
        let last = last.iter().rev().skip(n);
        let others = pieces.flat_map(|piece| piece.iter().rev());
        last.chain(others).map(|(_, id)| &**id)
    }

    /// A page from either end.
    pub(crate) fn page(&self, is_newest_first: bool, page: Page) -> impl Iterator<Item = &str> {
        let (newest, oldest) = if is_newest_first {
            (Some(self.skip_newest(page.offset)), None)
        } else {
            (None, Some(self.skip_oldest(page.offset)))
        };
        let newest = newest.into_iter().flatten();
        newest.chain(oldest.into_iter().flatten()).take(page.limit)
    }

    /// The piece that holds this place, or would.
    fn piece_of(&self, place: Place) -> usize {
        self.pieces
            .partition_point(|piece| piece.last().is_some_and(|(last, _)| *last < place))
    }
}

#[cfg(test)]
mod tests;
