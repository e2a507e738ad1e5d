//! Mends organizations.

use std::collections::HashSet;

use super::super::asking::{each, known};
use super::super::{Stop, Work};
use super::{Fates, ends, fate, living_ids};
use crate::clerk::{Budget, Organization};
use crate::db::Check;
use crate::db::drift::{State as Fate, ToRepair};
use crate::db::listed;
use crate::ids::ClerkOrganizationId;
use crate::sync::apply::organizations::{Seen, Sighting};
use crate::sync::apply::{self, InDoubt};
use crate::sync::merge::Origin;

impl Work<'_> {
    pub(super) async fn repair_organizations(&mut self, items: &[ToRepair]) -> Result<Fates, Stop> {
        let mut fates = Fates::default();
        let items = self
            .begin_repair::<ClerkOrganizationId>(items, &mut fates)
            .await?;
        let written = self.write_listed_organizations(&items).await?;
        let open = fates.note_written(items, &written);
        for some in open.chunks(self.throttle.n_at_once()) {
            if self.has_time() {
                self.keep().await?;
                self.ask_and_write_organizations(some, &mut fates).await?;
            }
        }
        Ok(fates)
    }

    /// Writes what was listed; and returns which that was enough for.
    async fn write_listed_organizations(
        &self,
        items: &[&ToRepair],
    ) -> Result<HashSet<String>, Stop> {
        let ids = living_ids(items);
        let listed = self.db.listed_organizations(self.run.id, &ids).await?;
        let organizations: Vec<Organization> = listed.into_iter().map(as_seen).collect();
        let sightings: Vec<_> = organizations
            .iter()
            .map(|organization| Sighting {
                clerk_id: &organization.id,
                seen: Seen::Organization(organization, Origin::Listed),
                delivery: None,
                in_doubt: InDoubt::Tell,
                owes_walk: false,
            })
            .collect();
        self.write_listed(&sightings, |it| it.clerk_id.as_str())
            .await
    }

    /// Asks about each alone: none ends here that Clerk knows, and none but those that it did not know
    /// before.
    async fn ask_and_write_organizations(
        &mut self,
        items: &[&ToRepair],
        fates: &mut Fates,
    ) -> Result<(), Stop> {
        self.throttle.take(items.len()).await?;
        let ids: Vec<ClerkOrganizationId> = items
            .iter()
            .filter_map(|item| item.clerk_id.parse().ok())
            .collect();
        let (clerk, budget) = (self.clerk, Budget::until(self.until));
        let answers = each(&ids, async |id| clerk.organization(id, budget).await).await;
        let seen: Vec<_> = answers.into_iter().map(known).collect::<Result<_, _>>()?;
        let asked = items.iter().zip(&ids).zip(&seen);
        let (meant, sightings): (Vec<_>, Vec<_>) = asked
            .filter_map(|((item, clerk_id), seen)| {
                let seen = match seen {
                    Some(organization) => Seen::Organization(organization, self.origin()),
                    None if ends(item) => Seen::Unknown,
                    None => return None,
                };
                let sighting = Sighting {
                    clerk_id,
                    seen,
                    delivery: None,
                    in_doubt: InDoubt::Flag,
                    owes_walk: false,
                };
                Some((item.id, sighting))
            })
            .unzip();
        let applied = apply::apply_each(self.db, &sightings, Check::No).await?;
        for item in items {
            let place = meant.iter().position(|id| *id == item.id);
            let applied = place.and_then(|place| applied.get(place).copied());
            // Which Clerk no longer shows has gone meanwhile.
            fates.note(item, applied.map_or(Fate::Gone, fate));
        }
        Ok(())
    }
}

/// An organization as Clerk shows it, as far as it was put down.
fn as_seen(listed: listed::Organization) -> Organization {
    Organization {
        id: listed.clerk_id,
        name: listed.name.unwrap_or_default(),
        slug: listed.slug,
        image_url: listed.image_url,
        created_by: listed.created_by,
        max_allowed_memberships: listed.max_allowed_memberships,
        public_metadata: listed.public_metadata,
        created_at: listed.created_at.map(jiff::Timestamp::as_millisecond),
        updated_at: Some(listed.clerk_version),
    }
}
