//! Reads Clerk's three lists side by side, and puts down what they show, page by page.
//!
//! While some pages are put down, the next ones are on their way. No more than two rounds of pages are
//! in memory, however long the lists are.

use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};

use super::pages::{Fit, Place};
use super::{Flow, Stop, Work};
use crate::clerk::{self, Budget, ListedMembership, Organization, PAGE_LEN, Page, User, UserPage};
use crate::db::listed::{Batch, Object};
use crate::db::runs::{Progress, State};
use crate::sync::merge;

/// What is filled.
const LISTED: [&str; 3] = ["listed_users", "listed_organizations", "listed_memberships"];
/// How many pages are on their way at once. Users come by a cursor, one page after the other.
const PAGES_AT_ONCE: u64 = 6;

/// How far the lists are read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Listing {
    /// What an earlier run put down is gone.
    is_begun: bool,
    users: Place,
    organizations: Place,
    memberships: Place,
}

/// Pages of the three lists, as far as they were read in one round.
struct Round {
    users: Option<Page<User>>,
    organizations: Vec<Page<Organization>>,
    memberships: Vec<Page<ListedMembership>>,
    is_cursor_useless: bool,
}

impl Listing {
    fn is_done(&self) -> bool {
        self.users.is_done && self.organizations.is_done && self.memberships.is_done
    }
}

impl Work<'_> {
    /// Reads the lists until they end, or the time is over.
    pub(super) async fn list(&mut self) -> Result<Flow, Stop> {
        let mut listing: Listing = self.position();
        if !listing.is_begun {
            listing = self.begin_lists().await?;
        }
        let mut shown = Batch::default();
        while !listing.is_done() && self.has_time() {
            let (n_organizations, n_memberships) = n_pages(&listing, &self.run.progress);
            let n_users = usize::from(!listing.users.is_done);
            self.throttle
                .take(n_users + n_organizations + n_memberships)
                .await?;
            let clerk = self.clerk;
            let budget = Budget::until(self.until);
            let read = read(clerk, &listing, (n_organizations, n_memberships), budget);
            let (round, put) = tokio::join!(Box::pin(read), self.step(&listing, &shown));
            put?;
            shown = self.accept(&mut listing, round?).await?;
        }
        self.step(&listing, &shown).await?;
        if listing.is_done() {
            self.look_at(&LISTED).await;
            return self.enter(State::Asking).await;
        }
        Ok(Flow::OutOfTime)
    }

    async fn begin_lists(&mut self) -> Result<Listing, Stop> {
        self.db.clear_lists(self.lease).await?;
        self.throttle.take(1).await?;
        let n_users = self.clerk.n_users(Budget::until(self.until)).await?;
        self.run.approval.is_foreign = false;
        self.db.note_foreign(self.lease, false).await?;
        self.run.progress = Progress::default();
        self.run.progress.users.total = n_users;
        Ok(Listing {
            is_begun: true,
            ..Listing::default()
        })
    }

    /// Takes of a round what follows on what is read.
    async fn accept(&mut self, listing: &mut Listing, round: Round) -> Result<Batch, Stop> {
        let mut shown = Batch::default();
        if round.is_cursor_useless {
            listing.users.is_cursor_useless = true;
        }
        if let Some(page) = round.users {
            let users = if listing.users.is_cursor_useless {
                let place = &mut listing.users;
                self.accept_pages(place, Object::User, vec![page], |it| it.id.as_str())
                    .await?
            } else {
                accept_by_cursor(&mut listing.users, page.data)
            };
            shown.users = users.iter().map(merge::user::listed).collect();
        }
        let organizations = self
            .accept_pages(
                &mut listing.organizations,
                Object::Organization,
                round.organizations,
                |it| it.id.as_str(),
            )
            .await?;
        shown.organizations = organizations
            .iter()
            .map(merge::organization::listed)
            .collect();
        let memberships = self
            .accept_pages(
                &mut listing.memberships,
                Object::Membership,
                round.memberships,
                |it| it.id.as_str(),
            )
            .await?;
        shown.memberships = memberships.iter().map(merge::membership::listed).collect();
        self.note_progress(listing);
        Ok(shown)
    }

    /// Takes pages one after the other, until one does not follow.
    async fn accept_pages<T>(
        &mut self,
        place: &mut Place,
        object: Object,
        pages: Vec<Page<T>>,
        id: impl Fn(&T) -> &str,
    ) -> Result<Vec<T>, Stop> {
        let mut accepted = Vec::new();
        for page in pages {
            self.note_total(object, page.total_count);
            let first = page.data.first().map(&id);
            let n_known = match place.fit(first) {
                Fit::Follows(n_known) => n_known,
                Fit::FollowsIfKnown if self.is_listed(object, first).await? => 0,
                Fit::FollowsIfKnown | Fit::Gap => {
                    place.go_back();
                    break;
                }
            };
            place.advance(page.data.len(), page.data.last().map(&id));
            accepted.extend(page.data.into_iter().skip(n_known));
        }
        Ok(accepted)
    }

    async fn is_listed(&self, object: Object, id: Option<&str>) -> Result<bool, Stop> {
        let ids: Vec<&str> = id.into_iter().collect();
        Ok(self.db.are_listed(self.run.id, object, &ids).await?)
    }

    fn note_total(&mut self, object: Object, total: u64) {
        let progress = &mut self.run.progress;
        match object {
            // Its pages do not say.
            Object::User => {}
            Object::Organization => progress.organizations.total = total,
            Object::Membership => progress.memberships.total = total,
        }
    }

    fn note_progress(&mut self, listing: &Listing) {
        let progress = &mut self.run.progress;
        let places = [
            (&mut progress.users, &listing.users),
            (&mut progress.organizations, &listing.organizations),
            (&mut progress.memberships, &listing.memberships),
        ];
        for (count, place) in places {
            count.done = place.n_read;
            count.total = count.total.max(place.n_read);
        }
    }
}

fn accept_by_cursor(place: &mut Place, users: Vec<User>) -> Vec<User> {
    place.n_read += users.len() as u64;
    place.is_done = users.len() < PAGE_LEN;
    if let Some(last) = users.last() {
        place.last = Some(last.id.to_string());
    }
    users
}

/// How many pages of organizations and of memberships are read in the next round.
fn n_pages(listing: &Listing, progress: &Progress) -> (usize, usize) {
    let free = PAGES_AT_ONCE - u64::from(!listing.users.is_done);
    let n_organizations = listing
        .organizations
        .n_at_once(progress.organizations.total, 1);
    let n_memberships = listing
        .memberships
        .n_at_once(progress.memberships.total, free - n_organizations);
    let as_usize = |n: u64| usize::try_from(n).unwrap_or_default();
    (as_usize(n_organizations), as_usize(n_memberships))
}

/// Reads the next pages of all lists at once.
async fn read(
    clerk: &clerk::Client,
    listing: &Listing,
    (n_organizations, n_memberships): (usize, usize),
    budget: Budget,
) -> Result<Round, clerk::Error> {
    let organizations = offsets(&listing.organizations, n_organizations)
        .map(|offset| clerk.organizations(offset, budget));
    let memberships = offsets(&listing.memberships, n_memberships)
        .map(|offset| clerk.listed_memberships(offset, budget));
    let (users, organizations, memberships) = tokio::join!(
        read_users(clerk, &listing.users, budget),
        join_all(organizations),
        try_join_all(memberships),
    );
    let (users, is_cursor_useless) = users?;
    Ok(Round {
        users,
        organizations: organizations.into_iter().collect::<Result<_, _>>()?,
        memberships: memberships?,
        is_cursor_useless,
    })
}

/// Pages that each begin with the last object of the one before.
fn offsets(place: &Place, n_pages: usize) -> impl Iterator<Item = u64> {
    let step = PAGE_LEN as u64 - 1;
    let first = place.offset();
    (0..n_pages as u64).map(move |n| first + n * step)
}

/// The next users; with whether the cursor was of no use, and there are none yet.
async fn read_users(
    clerk: &clerk::Client,
    place: &Place,
    budget: Budget,
) -> Result<(Option<Page<User>>, bool), clerk::Error> {
    if place.is_done {
        return Ok((None, false));
    }
    let by_cursor = place.last.as_ref().filter(|_| !place.is_cursor_useless);
    let page = match by_cursor.and_then(|last| last.parse().ok()) {
        Some(last) => UserPage::After { last },
        None => UserPage::Offset(place.offset()),
    };
    let users = clerk.users(&page, budget).await;
    if clerk::is_cursor_useless(&page, &users) {
        return Ok((None, true));
    }
    let page = Page {
        data: users?,
        total_count: 0,
    };
    Ok((Some(page), false))
}
