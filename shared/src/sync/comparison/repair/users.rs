//! Mends users.

use std::collections::{HashMap, HashSet};

use super::super::asking::{each, known};
use super::super::{Stop, Work};
use super::{Fates, ends, fate, living_ids};
use crate::clerk::{Budget, EmailAddress, IDS_AT_ONCE, User, Verification};
use crate::db::Check;
use crate::db::drift::{State as Fate, ToRepair};
use crate::db::listed;
use crate::ids::ClerkUserId;
use crate::sync::apply::users::{Seen, Sighting, Walk};
use crate::sync::apply::{self, InDoubt};
use crate::sync::merge::Origin;

impl Work<'_> {
    pub(super) async fn repair_users(&mut self, items: &[ToRepair]) -> Result<Fates, Stop> {
        let mut fates = Fates::default();
        let items = self.begin_repair::<ClerkUserId>(items, &mut fates).await?;
        let written = self.write_listed_users(&items).await?;
        let open = fates.note_written(items, &written);
        let (over, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|item| ends(item));
        for some in open.chunks(IDS_AT_ONCE) {
            if self.has_time() {
                self.keep().await?;
                self.ask_and_write_users(some, &mut fates).await?;
            }
        }
        for some in over.chunks(self.throttle.n_at_once()) {
            if self.has_time() {
                self.keep().await?;
                self.ask_and_end_users(some, &mut fates).await?;
            }
        }
        Ok(fates)
    }

    /// Writes what was listed; and returns whom that was enough for.
    async fn write_listed_users(&self, items: &[&ToRepair]) -> Result<HashSet<String>, Stop> {
        let ids = living_ids(items);
        let listed = self.db.listed_users(self.run.id, &ids).await?;
        let users: Vec<User> = listed.into_iter().map(as_seen).collect();
        let sightings: Vec<_> = users
            .iter()
            .map(|user| Sighting {
                in_doubt: InDoubt::Tell,
                ..Sighting::of(user, Origin::Listed)
            })
            .collect();
        self.write_listed(&sightings, |it| it.clerk_id.as_str())
            .await
    }

    async fn ask_and_write_users(
        &mut self,
        items: &[&ToRepair],
        fates: &mut Fates,
    ) -> Result<(), Stop> {
        self.throttle.take(1).await?;
        let ids: Vec<ClerkUserId> = ids(items);
        let budget = Budget::until(self.until);
        let users = self.clerk.users_by_id(&ids, budget).await?;
        let sightings: Vec<_> = users
            .iter()
            .map(|user| Sighting::of(user, self.origin()))
            .collect();
        let applied = apply::apply_each(self.db, &sightings, Check::No).await?;
        let by_id: HashMap<_, _> = users
            .iter()
            .zip(applied)
            .map(|(user, applied)| (user.id.as_str(), fate(applied)))
            .collect();
        for item in items {
            // Whom Clerk no longer shows has gone meanwhile.
            let fate = by_id.get(item.clerk_id.as_str()).copied();
            fates.note(item, fate.unwrap_or(Fate::Gone));
        }
        Ok(())
    }

    /// Asks about each alone: nobody ends here whom Clerk knows.
    async fn ask_and_end_users(
        &mut self,
        items: &[&ToRepair],
        fates: &mut Fates,
    ) -> Result<(), Stop> {
        self.throttle.take(items.len()).await?;
        let ids: Vec<ClerkUserId> = ids(items);
        let (clerk, budget) = (self.clerk, Budget::until(self.until));
        let answers = each(&ids, async |id| clerk.user(id, budget).await).await;
        let seen: Vec<_> = answers.into_iter().map(known).collect::<Result<_, _>>()?;
        let sightings: Vec<_> = ids
            .iter()
            .zip(&seen)
            .map(|(clerk_id, seen)| Sighting {
                clerk_id,
                seen: match seen {
                    Some(user) => Seen::User(user, self.origin()),
                    None => Seen::Unknown,
                },
                delivery: None,
                in_doubt: InDoubt::Flag,
                walk: Walk::No,
            })
            .collect();
        let applied = apply::apply_each(self.db, &sightings, Check::No).await?;
        for (item, applied) in items.iter().zip(applied) {
            fates.note(item, fate(applied));
        }
        Ok(())
    }
}

fn ids(items: &[&ToRepair]) -> Vec<ClerkUserId> {
    let ids = items.iter().map(|item| item.clerk_id.parse());
    ids.filter_map(Result::ok).collect()
}

/// A user as Clerk shows it, as far as it was put down.
fn as_seen(listed: listed::User) -> User {
    let ms = |time: Option<jiff::Timestamp>| time.map(jiff::Timestamp::as_millisecond);
    let status = if listed.email_verified {
        "verified"
    } else {
        "unverified"
    };
    let email = listed.email.map(|email_address| EmailAddress {
        id: Some(PRIMARY.to_owned()),
        email_address,
        verification: Some(Verification {
            status: status.to_owned(),
        }),
    });
    User {
        id: listed.clerk_id,
        external_id: listed.external_id,
        primary_email_address_id: Some(PRIMARY.to_owned()),
        email_addresses: email.into_iter().collect(),
        username: listed.username,
        first_name: listed.first_name,
        last_name: listed.last_name,
        image_url: listed.image_url,
        public_metadata: listed.public_metadata,
        last_sign_in_at: ms(listed.last_sign_in_at),
        password_last_updated_at: None,
        created_at: ms(listed.created_at),
        updated_at: Some(listed.clerk_version),
        banned: listed.banned,
        locked: listed.locked,
        deprovisioned: listed.deprovisioned,
        scim: None,
    }
}

/// Stands for the id of the only address that was put down.
const PRIMARY: &str = "primary";
