//! Asks Clerk about what its lists did not show: a list that changes while it is read is no proof of
//! absence, and so is a page that failed (R14).

use std::str::FromStr;

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::{Flow, Stop, Work};
use crate::clerk::{self, Budget, IDS_AT_ONCE, ListedMembership};
use crate::db::listed::{Absent, Batch, Object, Unlisted};
use crate::db::runs::State;
use crate::ids::{ClerkOrganizationId, ClerkUserId};
use crate::sync::deliver::N_AT_ONCE;
use crate::sync::merge;

/// With so many rows of which Clerk lists not one, its key is that of another instance.
const N_SURELY_FOREIGN: u64 = 100;
/// With fewer, it may be.
const N_PERHAPS_FOREIGN: u64 = 2;

/// How far it is asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Asking {
    /// How many kinds are asked about.
    n_kinds: usize,
    /// Of the next kind, up to this Clerk id.
    after: String,
}

impl Work<'_> {
    /// Asks about the next of what was not listed.
    pub(super) async fn ask(&mut self) -> Result<Flow, Stop> {
        let asking: Asking = self.position();
        if asking.n_kinds == 0 && asking.after.is_empty() {
            // The server went down meanwhile, and took the lists with it.
            if !self.db.are_lists_kept(self.run.id).await? {
                return self.enter(State::Listing).await;
            }
            self.look_whether_it_is_the_same_clerk().await?;
        }
        let kinds = [Object::User, Object::Organization, Object::Membership];
        let Some(&object) = kinds.get(asking.n_kinds) else {
            return self.enter(State::Comparing).await;
        };
        let limit = IDS_AT_ONCE.min(self.throttle.n_at_once());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let run = self.run.id;
        let unlisted = self.db.unlisted(run, object, &asking.after, limit).await?;
        let Some(last) = unlisted.last() else {
            let next = Asking {
                n_kinds: asking.n_kinds + 1,
                after: String::new(),
            };
            self.step(&next, &Batch::default()).await?;
            return Ok(Flow::On);
        };
        let next = Asking {
            after: last.clerk_id.clone(),
            ..asking
        };
        let found = match object {
            Object::User => self.ask_about_users(&unlisted).await?,
            Object::Organization => self.ask_about_organizations(&unlisted).await?,
            Object::Membership => self.ask_about_memberships(&unlisted).await?,
        };
        self.run.progress.asked.done += unlisted.len() as u64;
        self.step(&next, &found).await?;
        Ok(Flow::On)
    }

    /// If none of our users is in Clerk, perhaps the key is that of another instance: nothing is deleted
    /// unasked then. If there are many, it surely is.
    async fn look_whether_it_is_the_same_clerk(&mut self) -> Result<(), Stop> {
        let mut total = 0;
        for object in [Object::User, Object::Organization, Object::Membership] {
            let (n_unlisted, n_rows) = self.db.count_unlisted(self.run.id, object).await?;
            total += n_unlisted;
            let are_all_unknown = object == Object::User && n_unlisted == n_rows;
            if are_all_unknown && n_rows >= N_SURELY_FOREIGN {
                return Err(Stop::Unusable(
                    "Clerk lists none of the users who are here: the secret key may be that of \
                     another instance.",
                ));
            }
            if are_all_unknown && n_rows >= N_PERHAPS_FOREIGN {
                self.run.approval.is_foreign = true;
                self.db.note_foreign(self.lease, true).await?;
            }
        }
        self.run.progress.asked.total = total;
        Ok(())
    }

    /// Asks about many at once, and then about each who was not shown.
    async fn ask_about_users(&mut self, unlisted: &[Unlisted]) -> Result<Batch, Stop> {
        let (ids, strange) = ids_and_strange::<ClerkUserId>(unlisted);
        self.throttle.take(1).await?;
        let budget = Budget::until(self.until);
        let mut seen = self.clerk.users_by_id(&ids, budget).await?;
        let is_unseen = |id: &&ClerkUserId| !seen.iter().any(|user| user.id == **id);
        let unseen: Vec<_> = ids.iter().filter(is_unseen).cloned().collect();
        self.throttle.take(unseen.len()).await?;
        let clerk = self.clerk;
        let answers = each(&unseen, async |id| clerk.user(id, budget).await).await;
        let mut absent = Absent {
            users: strange,
            ..Absent::default()
        };
        for (id, answer) in unseen.into_iter().zip(answers) {
            match known(answer)? {
                Some(user) => seen.push(user),
                None => absent.users.push(id.to_string()),
            }
        }
        Ok(Batch {
            users: seen.iter().map(merge::user::listed).collect(),
            absent,
            ..Batch::default()
        })
    }

    async fn ask_about_organizations(&mut self, unlisted: &[Unlisted]) -> Result<Batch, Stop> {
        let (ids, strange) = ids_and_strange::<ClerkOrganizationId>(unlisted);
        self.throttle.take(ids.len()).await?;
        let (clerk, budget) = (self.clerk, Budget::until(self.until));
        let answers = each(&ids, async |id| clerk.organization(id, budget).await).await;
        let mut found = Batch::default();
        found.absent.organizations = strange;
        for (id, answer) in ids.into_iter().zip(answers) {
            match known(answer)? {
                Some(seen) => found.organizations.push(merge::organization::listed(&seen)),
                None => found.absent.organizations.push(id.to_string()),
            }
        }
        Ok(found)
    }

    /// There is no call for one membership: those of its organization and its user are asked for.
    async fn ask_about_memberships(&mut self, unlisted: &[Unlisted]) -> Result<Batch, Stop> {
        let mut sorted = unlisted.to_vec();
        sorted.sort_by(|one, other| one.organization.cmp(&other.organization));
        let groups: Vec<&[Unlisted]> = sorted
            .chunk_by(|one, other| one.organization == other.organization)
            .collect();
        self.throttle.take(groups.len()).await?;
        let (clerk, budget) = (self.clerk, Budget::until(self.until));
        let answers = each(&groups, async |group| members(clerk, group, budget).await).await;
        let mut found = Batch::default();
        for (group, answer) in groups.into_iter().zip(answers) {
            // In what Clerk does not know is nobody.
            let members = known(answer)?.unwrap_or_default();
            let is_shown = |id: &str| members.iter().any(|member| member.id.as_str() == id);
            let gone = group.iter().filter(|it| !is_shown(&it.clerk_id));
            let gone = gone.map(|it| it.clerk_id.clone());
            found.absent.memberships.extend(gone);
            let members = members.iter().map(merge::membership::listed);
            found.memberships.extend(members);
        }
        Ok(found)
    }
}

/// The ids; and apart from them what cannot be one, so that Clerk need not be asked.
fn ids_and_strange<Id: FromStr>(unlisted: &[Unlisted]) -> (Vec<Id>, Vec<String>) {
    let (mut ids, mut strange) = (Vec::new(), Vec::new());
    for Unlisted { clerk_id, .. } in unlisted {
        match clerk_id.parse() {
            Ok(id) => ids.push(id),
            Err(_) => strange.push(clerk_id.clone()),
        }
    }
    (ids, strange)
}

/// Asks about each, some at a time; the answers come in order.
pub(super) async fn each<T, A>(
    about: &[T],
    ask: impl AsyncFn(&T) -> Result<A, clerk::Error>,
) -> Vec<Result<A, clerk::Error>> {
    stream::iter(about)
        .map(|one| ask(one))
        .buffered(N_AT_ONCE)
        .collect()
        .await
}

/// What Clerk knows; `None` if it says that it does not.
pub(super) fn known<A>(answer: Result<A, clerk::Error>) -> Result<Option<A>, clerk::Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(clerk::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The memberships that these users have in their organization.
async fn members(
    clerk: &clerk::Client,
    group: &[Unlisted],
    budget: Budget,
) -> Result<Vec<ListedMembership>, clerk::Error> {
    let organization = group.first().and_then(|it| it.organization.as_ref());
    let users = group.iter().map(|it| it.user.as_ref());
    let Some((organization, users)) = askable(organization, users) else {
        return Ok(Vec::new());
    };
    clerk
        .listed_members_by_id(&organization, &users, budget)
        .await
}

/// An organization and its users, as far as they are known by ids; `None` if Clerk cannot be asked
/// about them.
pub(super) fn askable<'a>(
    organization: Option<&String>,
    users: impl Iterator<Item = Option<&'a String>>,
) -> Option<(ClerkOrganizationId, Vec<ClerkUserId>)> {
    let users: Vec<ClerkUserId> = users.filter_map(parsed).collect();
    Some((parsed(organization)?, users)).filter(|(_, users)| !users.is_empty())
}

pub(super) fn parsed<Id: FromStr>(id: Option<&String>) -> Option<Id> {
    id?.parse().ok()
}
