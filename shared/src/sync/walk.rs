//! Walks over Clerk's lists of memberships: of a user, or of an organization.
//!
//! What the list shows is written page by page. What lives here and was not shown is flagged and
//! asked about alone: a list that changes under the walk is no proof of absence (R14).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::apply::{self, Applied, Sighting};
use super::refetch::{self, CALL_TIMEOUT, sighting_of_membership, sighting_of_organization};
use crate::clerk::{
    self, Budget, MembershipList, MembershipPages, OrganizationMembership, Page, PublicUserData,
};
use crate::db::memberships::Flagged;
use crate::db::walks::MembersWalk;
use crate::db::{self, Check, Db};
use crate::ids::ClerkUserId;

/// What a page takes, from asking to writing: none begins later than so long before the end.
const PAGE_TIME: Duration = Duration::from_secs(1);
/// How many that a walk did not see are asked about at its end; `reconcile` asks about the rest.
const MAX_UNSEEN: i64 = 1_000;

/// What came of a walk.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// How many memberships the list showed, in this part of the walk.
    pub(super) n_seen: u64,
    /// How many the list holds, as Clerk counts.
    pub(super) total: u64,
    /// How many lived here and are over.
    pub(super) n_ended: u64,
    /// Whether the whole list was seen, and all that it does not show was asked about.
    pub(super) is_complete: bool,
    /// Whether all that was written was read back as it was shown.
    pub(super) is_verified: bool,
    /// Why it ended early; none if there was no more time.
    pub(super) error: Option<clerk::Error>,
}

/// Clerk's list of a user's memberships; its first page may be read while something else is.
#[derive(Debug)]
pub(super) struct ListOfUser<'a> {
    user: &'a ClerkUserId,
    pages: MembershipPages<'a>,
    first: Option<Result<Option<Page<OrganizationMembership>>, clerk::Error>>,
}

impl<'a> ListOfUser<'a> {
    pub(super) fn new(clerk: &'a clerk::Client, user: &'a ClerkUserId) -> Self {
        Self {
            user,
            pages: clerk.all_memberships(MembershipList::OfUser(user.clone()), 0),
            first: None,
        }
    }

    /// Reads the first page; what comes of it is told when the walk asks.
    pub(super) async fn read_first(&mut self, budget: Budget) {
        self.first = Some(self.pages.next_page(budget).await);
    }

    fn is_first_read(&self) -> bool {
        self.first.is_some()
    }

    async fn next_page(
        &mut self,
        budget: Budget,
    ) -> Result<Option<Page<OrganizationMembership>>, clerk::Error> {
        match self.first.take() {
            Some(first) => first,
            None => self.pages.next_page(budget).await,
        }
    }
}

/// Walks, and what it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walker<'a> {
    /// Is asked.
    pub(super) clerk: &'a clerk::Client,
    /// Is written to.
    pub(super) db: &'a Db,
    /// No page begins shortly before this.
    pub(super) until: Instant,
    /// How often a page is asked for.
    pub(super) tries: Tries,
    /// Whether what was written is read back.
    pub(super) check: Check,
}

/// How often a page is asked for before the walk is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tries {
    /// Once: somebody else waits.
    Once,
    /// As often as there is time: somebody waits for just this.
    WhileThereIsTime,
}

impl Walker<'_> {
    /// Walks over the organizations of a user, whose debt is written already
    /// ([`super::apply::users::Walk`]).
    ///
    /// What goes wrong with Clerk is in the answer, and the walk put off.
    pub(super) async fn organizations_of_user(
        self,
        mut list: ListOfUser<'_>,
    ) -> Result<Walked, db::Error> {
        let user = list.user;
        let mut walked = Walked::new();
        loop {
            if !list.is_first_read() && !self.has_time() {
                return self.put_off(user, walked).await;
            }
            let page = match list.next_page(self.budget()).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    walked.error = Some(error);
                    return self.put_off(user, walked).await;
                }
            };
            walked.note(&page);
            let memberships = with_user(page.data, user);
            walked.is_verified &= see(self.db, &memberships, self.check).await?;
        }
        let n_unseen = self.db.end_organization_walk(user).await?;
        self.ask_about_unseen(Flagged::OfUser(user), n_unseen, walked)
            .await
    }

    /// Walks over the members of an organization, from where the walk is.
    ///
    /// What goes wrong with Clerk is in the answer, and the walk goes on at a later tick.
    pub(super) async fn members(self, mut walk: MembersWalk) -> Result<Walked, db::Error> {
        let list = MembershipList::OfOrganization(walk.organization.clone());
        let mut pages = self.clerk.all_memberships(list, walk.offset);
        let mut walked = Walked::new();
        while let Some(offset) = pages.position() {
            walk.offset = offset;
            if !self.has_time() {
                self.db.stop_members_walk(&walk, false).await?;
                return Ok(walked);
            }
            let page = match pages.next_page(self.budget()).await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) => {
                    self.db.stop_members_walk(&walk, true).await?;
                    walked.error = Some(error);
                    return Ok(walked);
                }
            };
            walked.note(&page);
            if offset == 0 {
                let first = page.data.get(..1).unwrap_or_default();
                walked.is_verified &= see_organizations(self.db, first, self.check).await?;
            }
            walked.is_verified &= see_memberships(self.db, &page.data, self.check).await?;
        }
        let n_unseen = self.db.end_members_walk(&walk.organization).await?;
        let flagged = Flagged::OfOrganization(&walk.organization);
        self.ask_about_unseen(flagged, n_unseen, walked).await
    }

    /// The end of a walk: what it did not see is flagged by now.
    async fn ask_about_unseen(
        self,
        flagged: Flagged<'_>,
        n_unseen: u64,
        mut walked: Walked,
    ) -> Result<Walked, db::Error> {
        if n_unseen == 0 {
            walked.is_complete = true;
            return Ok(walked);
        }
        if !self.has_time() {
            return Ok(walked);
        }
        let Self {
            clerk, db, until, ..
        } = self;
        let refetched = refetch::memberships(clerk, db, flagged, MAX_UNSEEN, until).await?;
        walked.n_ended = refetched.n_ended;
        walked.is_complete = refetched.n_unanswered == 0 && n_unseen <= refetched.n_done as u64;
        Ok(walked)
    }

    async fn put_off(self, user: &ClerkUserId, walked: Walked) -> Result<Walked, db::Error> {
        self.db
            .put_off_organization_walks(std::slice::from_ref(user))
            .await?;
        Ok(walked)
    }

    fn budget(self) -> Budget {
        match self.tries {
            Tries::Once => {
                let time_left = self.until.saturating_duration_since(Instant::now());
                Budget::once(CALL_TIMEOUT.min(time_left))
            }
            Tries::WhileThereIsTime => Budget::until(self.until),
        }
    }

    fn has_time(self) -> bool {
        Instant::now() + PAGE_TIME < self.until
    }
}

impl Walked {
    fn new() -> Self {
        Self {
            is_verified: true,
            ..Self::default()
        }
    }

    fn note(&mut self, page: &Page<OrganizationMembership>) {
        self.n_seen += page.data.len() as u64;
        self.total = page.total_count;
    }
}

/// Writes the organizations of these memberships; true if all are verified.
///
/// One whose version is not shown is not shown in full: it stays for a placeholder.
async fn see_organizations(
    db: &Db,
    memberships: &[OrganizationMembership],
    check: Check,
) -> Result<bool, db::Error> {
    let organizations: HashMap<_, _> = memberships
        .iter()
        .map(|membership| &membership.organization)
        .filter(|organization| organization.updated_at.is_some())
        .map(|organization| (&organization.id, organization))
        .collect();
    let sightings: Vec<_> = organizations
        .into_values()
        .map(sighting_of_organization)
        .collect();
    write(db, &sightings, check).await
}

/// Writes these memberships; true if all are verified.
async fn see_memberships(
    db: &Db,
    memberships: &[OrganizationMembership],
    check: Check,
) -> Result<bool, db::Error> {
    let sightings: Vec<_> = memberships
        .iter()
        .filter_map(sighting_of_membership)
        .collect();
    let are_verified = write(db, &sightings, check).await?;
    Ok(are_verified && sightings.len() == memberships.len())
}

/// Writes what was seen; true if all is verified.
async fn write<S: Sighting>(db: &Db, sightings: &[S], check: Check) -> Result<bool, db::Error> {
    if sightings.is_empty() {
        return Ok(true);
    }
    let applied = apply::apply_each(db, sightings, check).await?;
    let is_verified = |applied: &Option<Applied<S::More>>| {
        applied.as_ref().is_some_and(|applied| applied.is_verified)
    };
    Ok(applied.iter().all(is_verified))
}

/// Writes memberships that Clerk showed, with their organizations; true if all are verified.
pub(super) async fn see(
    db: &Db,
    memberships: &[OrganizationMembership],
    check: Check,
) -> Result<bool, db::Error> {
    let are_organizations_verified = see_organizations(db, memberships, check).await?;
    Ok(see_memberships(db, memberships, check).await? && are_organizations_verified)
}

/// In the list of a user, nobody has to say whose memberships these are.
fn with_user(
    memberships: Vec<OrganizationMembership>,
    user: &ClerkUserId,
) -> Vec<OrganizationMembership> {
    let owned = |membership: OrganizationMembership| OrganizationMembership {
        public_user_data: membership
            .public_user_data
            .or_else(|| Some(PublicUserData::only(user.clone()))),
        ..membership
    };
    memberships.into_iter().map(owned).collect()
}
