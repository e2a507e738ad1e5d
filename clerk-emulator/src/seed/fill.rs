//! Many objects at once, to see how others do at the size of a large instance.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::entities::{Membership, Organization, User, Verification};
use crate::error::Error;
use crate::ids;
use crate::instance::{Instance, email_address};
use crate::store::roles;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const YEAR_MS: i64 = 365 * DAY_MS;

const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Alan",
    "Annie",
    "Barbara",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "John",
    "Karen",
    "Katherine",
    "Ken",
    "Margaret",
    "Niklaus",
    "Tony",
];
const LAST_NAMES: [&str; 17] = [
    "Allen", "Dijkstra", "Easley", "Hamilton", "Hoare", "Hopper", "Johnson", "Knuth", "Lamarr",
    "Liskov", "Lovelace", "McCarthy", "O'Neill", "Spärck", "Thompson", "Turing", "Wirth",
];
const PLACES: [&str; 13] = [
    "Eastside",
    "Harbour",
    "Highland",
    "Lakeside",
    "Meadow",
    "Northern",
    "Oak Hill",
    "Riverside",
    "Southern",
    "Summit",
    "Valley",
    "Western",
    "Woodland",
];
const KINDS: [&str; 7] = [
    "Academy",
    "College",
    "Institute",
    "Library",
    "School",
    "Studio",
    "University",
];

/// How many objects to add, without a webhook for any of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fill {
    /// Users with a proven e-mail address, a name, and mostly a role in `public_metadata`.
    pub users: usize,
    /// Organizations, which were made by some of these users.
    pub organizations: usize,
    /// Memberships of these users in these organizations, no pair twice.
    pub memberships: usize,
}

/// Adds users, then organizations, then memberships, all of them with a past of their own.
pub(crate) fn fill(instance: &mut Instance, fill: Fill) -> Result<(), Error> {
    if fill.memberships > fill.users.saturating_mul(fill.organizations) {
        let why = "There are more memberships than pairs of a user and an organization.";
        return Err(Error::bad_request("seed_invalid", why));
    }
    let now = instance.now();
    let users = add_users(instance, fill.users, &Past::of_objects(now, fill.users))?;
    let past = Past::of_objects(now, fill.organizations);
    let creators = users.get(..fill.memberships.min(users.len()));
    let creators = creators.unwrap_or_default();
    let organizations = add_organizations(instance, fill.organizations, creators, &past)?;
    let past = Past::of_memberships(now, fill.memberships);
    add_memberships(instance, fill.memberships, &users, &organizations, &past);
    Ok(())
}

fn add_users(instance: &mut Instance, n: usize, past: &Past) -> Result<Vec<String>, Error> {
    let add = |index| {
        let user = user(index, past);
        let id = user.id.clone();
        instance.store.put(user)?;
        Ok(id)
    };
    (0..n).map(add).collect()
}

fn user(index: usize, past: &Past) -> User {
    let created_at = past.created_at(index);
    let first_name = pick(&FIRST_NAMES, index);
    let last_name = pick(&LAST_NAMES, index);
    let suffix = ids::letters(12);
    let is_plain = |c: &char| c.is_ascii_alphabetic();
    let plain_last_name: String = last_name.chars().filter(is_plain).collect();
    let email = format!("{first_name}.{plain_last_name}.{suffix}@example.com").to_lowercase();
    let address = email_address(email, Some(Verification::admin()), created_at);

    let mut user = User::new(ids::new("user"), created_at);
    user.updated_at = past.updated_at(index);
    user.first_name = Some(first_name.to_owned());
    user.last_name = Some(last_name.to_owned());
    user.primary_email_address_id = Some(address.id.clone());
    user.email_addresses = vec![address];
    if let Some(role) = role(index) {
        user.public_metadata = json!({ "role": role });
    }
    // Some have been invited and never came.
    if !index.is_multiple_of(3) {
        user.last_sign_in_at = Some(user.updated_at);
        user.last_active_at = Some(user.updated_at - user.updated_at.rem_euclid(DAY_MS));
    }
    user
}

/// Of a hundred users one is an admin, ten are instructors, five have no role yet.
fn role(index: usize) -> Option<&'static str> {
    match index % 100 {
        0 => Some("ADMIN"),
        1..=10 => Some("INSTRUCTOR"),
        95..=99 => None,
        _ => Some("STUDENT"),
    }
}

fn add_organizations(
    instance: &mut Instance,
    n: usize,
    creators: &[String],
    past: &Past,
) -> Result<Vec<String>, Error> {
    let add = |index| {
        let name = format!("{} {} {index}", pick(&PLACES, index), pick(&KINDS, index));
        let words = name.to_lowercase().replace(' ', "-");
        let slug = format!("{words}-{}", ids::letters(10).to_lowercase());
        let id = ids::new("org");
        let mut organization = Organization::new(id.clone(), name, slug, past.created_at(index));
        organization.updated_at = past.updated_at(index);
        organization.created_by = creators.get(index).cloned();
        instance.store.organizations.put(organization)?;
        Ok(id)
    };
    (0..n).map(add).collect()
}

/// Round after round each user joins one more organization, so no pair comes twice.
/// The first round brings each organization its creator, who is its admin.
fn add_memberships(
    instance: &mut Instance,
    n: usize,
    users: &[String],
    organizations: &[String],
    past: &Past,
) {
    let rounds = (0..organizations.len()).flat_map(|round| {
        let with_index = users.iter().enumerate();
        with_index.map(move |(index, user_id)| (user_id, (index + round) % organizations.len()))
    });
    for (index, (user_id, at)) in rounds.take(n).enumerate() {
        let Some(organization_id) = organizations.get(at) else {
            continue;
        };
        let store = &mut instance.store.organizations;
        let is_first = store.members(organization_id).len() == 0;
        let role = if is_first {
            roles::ADMIN
        } else {
            roles::MEMBER
        };
        store.put_membership(Membership {
            id: ids::new("orgmem"),
            organization_id: organization_id.clone(),
            user_id: user_id.clone(),
            role: role.to_owned(),
            public_metadata: json!({}),
            private_metadata: json!({}),
            created_at: past.created_at(index),
            updated_at: past.updated_at(index),
        });
    }
}

/// Names come round in steps that share no factor, so that most people are called otherwise.
pub(super) fn pick(names: &[&'static str], index: usize) -> &'static str {
    names.get(index % names.len()).copied().unwrap_or_default()
}

/// The time in which objects were made, one after the other at even distances.
struct Past {
    from: i64,
    step: i64,
}

impl Past {
    /// Users and organizations are older than all memberships.
    fn of_objects(now: i64, n: usize) -> Self {
        Self::between(now - 3 * YEAR_MS, now - YEAR_MS, n)
    }

    fn of_memberships(now: i64, n: usize) -> Self {
        Self::between(now - YEAR_MS, now - DAY_MS, n)
    }

    fn between(from: i64, to: i64, n: usize) -> Self {
        let n = i64::try_from(n).unwrap_or(i64::MAX).max(1);
        let step = ((to - from) / n).max(1);
        Self { from, step }
    }

    fn created_at(&self, index: usize) -> i64 {
        self.from + self.step * i64::try_from(index).unwrap_or(0)
    }

    /// Some time before the next one was made, so no two are the same.
    fn updated_at(&self, index: usize) -> i64 {
        self.created_at(index) + fastrand::i64(0..self.step)
    }
}
