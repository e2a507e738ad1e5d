//! Mends memberships.

use std::collections::{HashMap, HashSet};

use super::super::asking::{askable, each, known, parsed};
use super::super::{Stop, Work};
use super::{Fates, ends, fate, living_ids};
use crate::clerk::{self, Budget, Organization, OrganizationMembership, PublicUserData};
use crate::db::Check;
use crate::db::drift::{State as Fate, ToRepair};
use crate::db::listed;
use crate::db::memberships::ToRefetch;
use crate::ids::ClerkMembershipId;
use crate::sync::apply::memberships::{Seen, Sighting};
use crate::sync::apply::{self, InDoubt};
use crate::sync::merge::Origin;

impl Work<'_> {
    pub(super) async fn repair_memberships(&mut self, items: &[ToRepair]) -> Result<Fates, Stop> {
        let mut fates = Fates::default();
        let items = self
            .begin_repair::<ClerkMembershipId>(items, &mut fates)
            .await?;
        let written = self.write_listed_memberships(&items).await?;
        let mut open = fates.note_written(items, &written);
        // Those of one organization are asked about together.
        open.sort_by(|one, other| organization(one).cmp(&organization(other)));
        for some in open.chunks(self.throttle.n_at_once()) {
            if self.has_time() {
                self.keep().await?;
                self.ask_and_write_memberships(some, &mut fates).await?;
            }
        }
        Ok(fates)
    }

    /// Writes what was listed; and returns which that was enough for.
    async fn write_listed_memberships(&self, items: &[&ToRepair]) -> Result<HashSet<String>, Stop> {
        let ids = living_ids(items);
        let listed = self.db.listed_memberships(self.run.id, &ids).await?;
        let memberships: Vec<_> = listed.into_iter().map(as_seen).collect();
        let sightings = sightings(&memberships, Origin::Listed, InDoubt::Tell);
        self.write_listed(&sightings, |it| it.membership.id.as_str())
            .await
    }

    /// Asks about the pairs: none ends here that Clerk shows.
    async fn ask_and_write_memberships(
        &mut self,
        items: &[&ToRepair],
        fates: &mut Fates,
    ) -> Result<(), Stop> {
        let groups: Vec<&[&ToRepair]> = items
            .chunk_by(|one, other| organization(one) == organization(other))
            .collect();
        self.throttle.take(groups.len()).await?;
        let (clerk, budget) = (self.clerk, Budget::until(self.until));
        let answers = each(&groups, async |group| members(clerk, group, budget).await).await;
        let (mut shown, mut unshown) = (Vec::new(), Vec::new());
        for (group, answer) in groups.into_iter().zip(answers) {
            let members = known(answer)?;
            let has = |item: &ToRepair| {
                let members = members.iter().flatten();
                members
                    .into_iter()
                    .any(|it| it.id.as_str() == item.clerk_id)
            };
            unshown.extend(group.iter().copied().filter(|item| !has(item)));
            shown.extend(members.into_iter().flatten());
        }
        let written = self.write_shown(&shown).await?;
        let is_unshown: HashSet<i64> = unshown.iter().map(|item| item.id).collect();
        for item in items.iter().filter(|item| !is_unshown.contains(&item.id)) {
            let fate = written.get(item.clerk_id.as_str()).copied();
            fates.note(item, fate.unwrap_or(Fate::Gone));
        }
        self.end_unshown(&unshown, fates).await
    }

    async fn write_shown<'m>(
        &self,
        shown: &'m [OrganizationMembership],
    ) -> Result<HashMap<&'m str, Fate>, Stop> {
        let sightings = sightings(shown, self.origin(), InDoubt::Flag);
        let applied = apply::apply_each(self.db, &sightings, Check::No).await?;
        let fates = sightings.iter().zip(applied).map(|(sighting, applied)| {
            let membership: &'m OrganizationMembership = sighting.membership;
            (membership.id.as_str(), fate(applied))
        });
        Ok(fates.collect())
    }

    /// What Clerk shows by no pair ends, if it did not show it before; else it has gone just now, and
    /// Clerk is asked about it soon.
    async fn end_unshown(&self, unshown: &[&ToRepair], fates: &mut Fates) -> Result<(), Stop> {
        let (over, others): (Vec<&ToRepair>, Vec<_>) = unshown.iter().partition(|item| ends(item));
        let rows: Vec<_> = over.iter().filter_map(|item| to_end(item)).collect();
        if !rows.is_empty() {
            let rows: Vec<&ToRefetch> = rows.iter().collect();
            self.db.end_memberships(&rows).await?;
        }
        for item in over {
            fates.note(item, Fate::Repaired);
        }
        for item in others {
            if let (Some(organization), Some(user)) = (
                parsed(item.clerk_organization_id.as_ref()),
                parsed(item.clerk_user_id.as_ref()),
            ) {
                self.db.flag_membership(&organization, &user).await?;
            }
            fates.note(item, Fate::Gone);
        }
        Ok(())
    }
}

fn organization(item: &ToRepair) -> Option<&str> {
    item.clerk_organization_id.as_deref()
}

fn to_end(item: &ToRepair) -> Option<ToRefetch> {
    Some(ToRefetch {
        id: item.row_id?,
        clerk_id: item.clerk_id.parse().ok(),
        organization: parsed(item.clerk_organization_id.as_ref())?,
        user: parsed(item.clerk_user_id.as_ref())?,
    })
}

fn sightings(
    memberships: &[OrganizationMembership],
    origin: Origin,
    in_doubt: InDoubt,
) -> Vec<Sighting<'_>> {
    let sighting = |membership| -> Option<Sighting<'_>> {
        let membership: &OrganizationMembership = membership;
        Some(Sighting {
            membership,
            user: membership.public_user_data.as_ref()?,
            seen: Seen::Live(origin),
            delivery: None,
            in_doubt,
        })
    };
    memberships.iter().filter_map(sighting).collect()
}

/// The memberships that these users have in their organization.
async fn members(
    clerk: &clerk::Client,
    group: &[&ToRepair],
    budget: Budget,
) -> Result<Vec<OrganizationMembership>, clerk::Error> {
    let organization = group
        .first()
        .and_then(|it| it.clerk_organization_id.as_ref());
    let users = group.iter().map(|it| it.clerk_user_id.as_ref());
    let Some((organization, users)) = askable(organization, users) else {
        return Ok(Vec::new());
    };
    clerk.members_by_id(&organization, &users, budget).await
}

/// A membership as Clerk shows it, as far as it was put down.
fn as_seen(listed: listed::Membership) -> OrganizationMembership {
    OrganizationMembership {
        id: listed.clerk_id,
        role: listed.role,
        permissions: listed.permissions,
        public_metadata: listed.public_metadata,
        organization: Organization::only(listed.clerk_organization_id),
        public_user_data: Some(PublicUserData::only(listed.clerk_user_id)),
        created_at: listed.created_at.map(jiff::Timestamp::as_millisecond),
        updated_at: Some(listed.clerk_version),
    }
}
