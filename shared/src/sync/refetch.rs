//! Asks Clerk about rows that are flagged: what is doubtful (R2, R6), what is only a placeholder
//! (R4, R17), and what a walk did not see (R14).

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use uuid::Uuid;

use super::apply::memberships as apply_memberships;
use super::apply::organizations as apply_organizations;
use super::apply::users as apply_users;
use super::apply::{self, InDoubt, Outcome};
use super::deliver::N_AT_ONCE;
use super::merge::Origin;
use crate::clerk::{self, Budget, IDS_AT_ONCE};
use crate::db::memberships::{Flagged, ToRefetch};
use crate::db::{self, Check, Db};
use crate::ids::{ClerkMembershipId, ClerkOrganizationId, ClerkUserId};

use crate::telemetry::chain;

/// How long one call to Clerk may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Refetched {
    /// Rows that are as Clerk has them now.
    pub(super) n_done: usize,
    /// Of these, memberships that are over.
    pub(super) n_ended: u64,
    /// Rows that Clerk gave no answer about.
    pub(super) n_unanswered: usize,
    /// Clerk asked us to wait: nothing else should be sent now.
    pub(super) must_wait: bool,
}

impl Refetched {
    fn note(&mut self, error: &clerk::Error) {
        self.must_wait |= error.retry_after().is_some();
    }
}

/// Asks about these users, at most [`IDS_AT_ONCE`], in one call.
pub(super) async fn users(
    clerk: &clerk::Client,
    db: &Db,
    ids: &[ClerkUserId],
    until: Instant,
) -> Result<Refetched, db::Error> {
    let mut refetched = Refetched::default();
    let Read { seen, silent } = read_users(clerk, ids, until, &mut refetched).await;
    let is_unknown =
        |id: &&ClerkUserId| !silent.contains(id) && !seen.iter().any(|user| user.id == **id);
    let unknown: Vec<_> = ids.iter().filter(is_unknown).cloned().collect();
    if !unknown.is_empty() {
        db.leave_ended_users(&unknown).await?;
    }
    let sightings: Vec<_> = seen.iter().map(sighting_of_user).collect();
    let applied = apply::apply_each(db, &sightings, Check::No).await?;
    let is_settled = |id: &ClerkUserId| {
        let mut seen = seen.iter().zip(&applied);
        seen.any(|(user, applied)| {
            user.id == *id && applied.is_some_and(|it| it.outcome != Outcome::Doubtful)
        })
    };
    let open: Vec<_> = ids.iter().filter(|id| !is_settled(id)).cloned().collect();
    refetched.n_done = ids.len() - open.len();
    refetched.n_unanswered = open.len();
    if !open.is_empty() {
        db.put_off_refetch(&open).await?;
    }
    Ok(refetched)
}

/// What Clerk said about users.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Those that it shows.
    pub(super) seen: Vec<clerk::User>,
    /// Those that it gave no answer about; who is in neither is not in Clerk.
    pub(super) silent: Vec<ClerkUserId>,
}

/// Reads these users, at most [`IDS_AT_ONCE`], in one call.
pub(super) async fn read_users(
    clerk: &clerk::Client,
    ids: &[ClerkUserId],
    until: Instant,
    refetched: &mut Refetched,
) -> Read {
    let seen = match clerk.users_by_id(ids, budget(until)).await {
        Ok(seen) => seen,
        // One that cannot be read shall not keep the others from being read.
        Err(clerk::Error::Unreadable(_)) if ids.len() > 1 => {
            return read_users_one_by_one(clerk, ids, until, refetched).await;
        }
        Err(error) => {
            refetched.note(&error);
            tracing::warn!(
                error = chain(&error),
                n_users = ids.len(),
                "Clerk gave no answer about users; it is asked again later"
            );
            return Read {
                silent: ids.to_vec(),
                ..Read::default()
            };
        }
    };
    // A user that Clerk does not know stays flagged: absence is judged by a full comparison only.
    for id in ids {
        if !seen.iter().any(|user| user.id == *id) {
            tracing::warn!(user.clerk_id = %id, "Clerk does not know a user; it is asked again later");
        }
    }
    Read {
        seen,
        ..Read::default()
    }
}

async fn read_users_one_by_one(
    clerk: &clerk::Client,
    ids: &[ClerkUserId],
    until: Instant,
    refetched: &mut Refetched,
) -> Read {
    let reads: Vec<_> = stream::iter(ids)
        .map(async |id| (id, clerk.user(id, budget(until)).await))
        .buffer_unordered(N_AT_ONCE)
        .collect()
        .await;
    let mut answered = Read::default();
    for (id, read) in reads {
        match read {
            Ok(user) => answered.seen.push(user),
            Err(error) => {
                refetched.note(&error);
                tracing::warn!(
                    error = chain(&error),
                    user.clerk_id = %id,
                    "Clerk gave no answer about a user; it is asked again later"
                );
                answered.silent.push(id.clone());
            }
        }
    }
    answered
}

/// Asks about these organizations.
pub(super) async fn organizations(
    clerk: &clerk::Client,
    db: &Db,
    ids: &[ClerkOrganizationId],
    until: Instant,
) -> Result<Refetched, db::Error> {
    let reads: Vec<_> = stream::iter(ids)
        .map(async |id| (id, clerk.organization(id, budget(until)).await))
        .buffer_unordered(N_AT_ONCE)
        .collect()
        .await;
    let mut refetched = Refetched::default();
    let (mut seen, mut open, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (id, read) in reads {
        match read {
            Ok(organization) => seen.push(organization),
            Err(error) => {
                refetched.note(&error);
                if matches!(error, clerk::Error::NotFound { .. }) {
                    unknown.push(id.clone());
                }
                tracing::warn!(
                    error = chain(&error),
                    organization.clerk_id = %id,
                    "Clerk gave no answer about an organization; it is asked again later"
                );
                open.push(id.clone());
            }
        }
    }
    if !unknown.is_empty() {
        db.leave_ended_organizations(&unknown).await?;
    }
    let sightings: Vec<_> = seen.iter().map(sighting_of_organization).collect();
    let applied = apply::apply_each(db, &sightings, Check::No).await?;
    for (organization, applied) in seen.iter().zip(applied) {
        if applied.is_none_or(|it| it.outcome == Outcome::Doubtful) {
            open.push(organization.id.clone());
        }
    }
    refetched.n_done = ids.len() - open.len();
    refetched.n_unanswered = open.len();
    if !open.is_empty() {
        db.put_off_organizations(&open).await?;
    }
    Ok(refetched)
}

/// Asks about memberships that are flagged, at most `limit`, by their pairs.
/// One that Clerk does not show was over before it was asked, and ends here.
pub(super) async fn memberships(
    clerk: &clerk::Client,
    db: &Db,
    flagged: Flagged<'_>,
    limit: i64,
    until: Instant,
) -> Result<Refetched, db::Error> {
    let flagged = db.memberships_to_refetch(flagged, limit).await?;
    if flagged.is_empty() {
        return Ok(Refetched::default());
    }
    let must_wait = Cell::new(false);
    let answers: Vec<Answers> = stream::iter(in_calls(&flagged))
        .map(|some| ask(clerk, some, until, &must_wait))
        .buffer_unordered(N_AT_ONCE)
        .collect()
        .await;
    let answers: Answers = answers.into_iter().flatten().collect();
    let written = write_shown(db, &answers).await?;
    let (mut gone, mut open) = (Vec::new(), Vec::new());
    for row in &flagged {
        match fate(row, &answers, &written) {
            Fate::Settled => {}
            Fate::Gone => gone.push(row),
            Fate::Open => open.push(row.id),
        }
    }
    let mut refetched = Refetched {
        n_done: flagged.len() - open.len(),
        n_ended: 0,
        n_unanswered: open.len(),
        must_wait: must_wait.get(),
    };
    if !gone.is_empty() {
        refetched.n_ended = db.end_memberships(&gone).await?;
    }
    if !open.is_empty() {
        db.put_off_memberships(&open).await?;
    }
    Ok(refetched)
}

/// For flagged rows, the membership that Clerk shows of their pairs, if it shows any.
/// A row that is missing got no answer.
type Answers = HashMap<Uuid, Option<clerk::OrganizationMembership>>;

/// What becomes of a flagged row.
enum Fate {
    /// It is as Clerk shows it.
    Settled,
    /// Clerk shows none of the pair, or another one.
    Gone,
    /// Clerk has to be asked again.
    Open,
}

/// Writes what was shown, and returns what is as it was shown now.
async fn write_shown(db: &Db, answers: &Answers) -> Result<HashSet<ClerkMembershipId>, db::Error> {
    // Two rows of one pair have the same answer.
    let shown: HashMap<_, _> = answers
        .values()
        .flatten()
        .map(|membership| (&membership.id, membership))
        .collect();
    let sightings: Vec<_> = shown
        .into_values()
        .filter_map(sighting_of_membership)
        .collect();
    let applied = apply::apply_each(db, &sightings, Check::No).await?;
    let is_written = |applied: Option<apply_memberships::Applied>| {
        applied.is_some_and(|applied| applied.outcome == Outcome::Applied)
    };
    Ok(sightings
        .iter()
        .zip(applied)
        .filter(|(_, applied)| is_written(*applied))
        .map(|(sighting, _)| sighting.membership.id.clone())
        .collect())
}

/// What is shown and could not be written contradicts what we know: that is a list that lags behind,
/// and proves nothing.
fn fate(row: &ToRefetch, answers: &Answers, written: &HashSet<ClerkMembershipId>) -> Fate {
    match answers.get(&row.id) {
        None => Fate::Open,
        Some(Some(shown)) if !written.contains(&shown.id) => Fate::Open,
        Some(Some(shown)) if row.clerk_id.as_ref() == Some(&shown.id) => Fate::Settled,
        // A provisional one has become what is shown, and is another by now.
        Some(_) => Fate::Gone,
    }
}

/// Memberships of one organization together, as many as go into one call.
fn in_calls(flagged: &[ToRefetch]) -> Vec<&[ToRefetch]> {
    flagged
        .chunk_by(|one, other| one.organization == other.organization)
        .flat_map(|of_one| of_one.chunks(IDS_AT_ONCE))
        .collect()
}

/// What Clerk says of these pairs; nothing of those that it gave no answer about.
async fn ask(
    clerk: &clerk::Client,
    some: &[ToRefetch],
    until: Instant,
    must_wait: &Cell<bool>,
) -> Answers {
    let Some(first) = some.first().filter(|_| !must_wait.get()) else {
        return Answers::new();
    };
    let users: Vec<_> = some.iter().map(|row| row.user.clone()).collect();
    let members = clerk.members_by_id(&first.organization, &users, budget(until));
    let error = match members.await {
        Ok(memberships) => return answers(some, memberships),
        Err(error) => error,
    };
    must_wait.set(must_wait.get() || error.retry_after().is_some());
    tracing::warn!(
        error = chain(&error),
        organization.clerk_id = %first.organization,
        n_memberships = some.len(),
        "Clerk gave no answer about memberships of an organization"
    );
    let is_unknown = matches!(error, clerk::Error::NotFound { .. });
    if !is_unknown {
        return Answers::new();
    }
    // Nobody is in what is not there, as long as it is the same Clerk that knows the users.
    let known = clerk.users_by_id(&users, budget(until)).await;
    let known = known.unwrap_or_default();
    let is_known = |row: &&ToRefetch| known.iter().any(|user| user.id == row.user);
    answers(some.iter().filter(is_known), Vec::new())
}

fn answers<'a>(
    rows: impl IntoIterator<Item = &'a ToRefetch>,
    memberships: Vec<clerk::OrganizationMembership>,
) -> Answers {
    let (named, nameless): (Vec<_>, Vec<_>) = memberships
        .into_iter()
        .partition(|membership| membership.public_user_data.is_some());
    let by_user: HashMap<_, _> = named
        .into_iter()
        .filter_map(|membership| {
            let user = membership.public_user_data.as_ref()?.user_id.clone();
            Some((user, membership))
        })
        .collect();
    rows.into_iter()
        .map(|row| (row.id, by_user.get(&row.user).cloned()))
        // Where one does not say whose it is, it may be anybody's.
        .filter(|(_, shown)| shown.is_some() || nameless.is_empty())
        .collect()
}

pub(super) fn sighting_of_user(user: &clerk::User) -> apply_users::Sighting<'_> {
    apply_users::Sighting::of(user, Origin::Read)
}

pub(super) fn sighting_of_organization(
    organization: &clerk::Organization,
) -> apply_organizations::Sighting<'_> {
    apply_organizations::Sighting {
        clerk_id: &organization.id,
        seen: apply_organizations::Seen::Organization(organization, Origin::Read),
        delivery: None,
        in_doubt: InDoubt::Flag,
        owes_walk: false,
    }
}

/// None if the membership does not say whose it is.
pub(super) fn sighting_of_membership(
    membership: &clerk::OrganizationMembership,
) -> Option<apply_memberships::Sighting<'_>> {
    Some(apply_memberships::Sighting {
        membership,
        user: membership.public_user_data.as_ref()?,
        seen: apply_memberships::Seen::Live(Origin::Read),
        delivery: None,
        in_doubt: InDoubt::Flag,
    })
}

fn budget(until: Instant) -> Budget {
    Budget::once(CALL_TIMEOUT.min(until.saturating_duration_since(Instant::now())))
}
