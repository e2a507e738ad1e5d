//! People to develop with: six whom scripts and documents name, and a crowd around them.

use serde_json::{Value, json};

use super::fill::pick;
use crate::entities::{Membership, Organization, User, Verification};
use crate::error::Error;
use crate::ids;
use crate::instance::{Instance, email_address};
use crate::store::roles;

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The crowd came within this time.
const SPAN_MS: i64 = 92 * DAY_MS;
const N_PEOPLE: i64 = 240;

// As many first names as last names would pair them always the same way.
const FIRST_NAMES: [&str; 24] = [
    "Amara", "Bruno", "Chiara", "Daniel", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas",
    "Kemal", "Lena", "Mateo", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Talia",
    "Umar", "Vera", "Wen", "Yusuf",
];
const LAST_NAMES: [&str; 25] = [
    "Abara",
    "Bergman",
    "Castillo",
    "Demir",
    "Eriksen",
    "Fontaine",
    "Ghosh",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Laurent",
    "Moreau",
    "Nakamura",
    "O'Connor",
    "Petrov",
    "Quiroga",
    "Rossi",
    "Santos-Albuquerque",
    "Tanaka",
    "Ueda",
    "Varga",
    "Weber",
    "Yilmaz",
    "Zhang",
];
const ORGANIZATIONS: [&str; 12] = [
    "Alder Academy",
    "Birchwood College",
    "Copper Lane Studio",
    "Driftwood Institute",
    "Elm Street School",
    "Fairview University",
    "Granite Library",
    "Harbour Workshop",
    "Ironbridge Academy",
    "Juniper College",
    "Kestrel Institute",
    "Larkfield School",
];

/// Six people: an admin, instructors, students, one without a role, one whose e-mail address is not
/// proven. Three of them are members of an organization. They came before everybody else.
pub(crate) fn demo(now: i64) -> Value {
    let first = now - SPAN_MS - 8 * DAY_MS;
    let created_at = |n: i64| first + n * DAY_MS;
    json!({ "silent": false, "users": [
        { "id": "user_2demoAda0000000000000000001", "email": "ada@example.com",
          "first_name": "Ada", "last_name": "Lovelace", "role": "ADMIN",
          "created_at": created_at(1), "updated_at": now },
        { "id": "user_2demoGrace00000000000000002", "email": "grace@example.com",
          "first_name": "Grace", "last_name": "Hopper", "role": "INSTRUCTOR",
          "created_at": created_at(2), "updated_at": now },
        { "id": "user_2demoEdsger0000000000000003", "email": "edsger@example.com",
          "first_name": "Edsger", "last_name": "Dijkstra", "role": "INSTRUCTOR",
          "created_at": created_at(3), "updated_at": now },
        { "id": "user_2demoAlan000000000000000004", "email": "alan@example.com",
          "first_name": "Alan", "last_name": "Turing", "role": "STUDENT",
          "created_at": created_at(4), "updated_at": now },
        { "id": "user_2demoBarbara000000000000005", "email": "barbara@example.com",
          "first_name": "Barbara", "last_name": "Liskov",
          "created_at": created_at(5), "updated_at": now },
        { "id": "user_2demoDonald0000000000000006", "email": "donald@example.com",
          "verified": false, "first_name": "Donald", "last_name": "Knuth", "role": "STUDENT",
          "created_at": created_at(6), "updated_at": now },
    ], "organizations": [
        { "id": "org_2demoAcme000000000000000001", "name": "Acme", "slug": "acme",
          "created_by": "ada@example.com", "members": [
            { "user": "grace@example.com", "role": "org:member" },
            { "user": "alan@example.com", "role": "org:member" },
        ] },
    ] })
}

/// Adds some hundred people and a dozen organizations, without a webhook for any of them.
pub(crate) fn add_crowd(instance: &mut Instance) -> Result<(), Error> {
    let now = instance.now();
    let people: Vec<User> = (0..N_PEOPLE).map(|n| person(n, now)).collect();
    for person in &people {
        instance.store.put(person.clone())?;
    }
    // The first of them founded the organizations, which everybody after them may have joined.
    let (founders, others) = people.split_at(ORGANIZATIONS.len());
    let mut organizations = Vec::new();
    for (name, founder) in ORGANIZATIONS.iter().zip(founders) {
        organizations.push(found(instance, name, founder)?);
    }
    for (index, person) in others.iter().enumerate() {
        for (at, role) in joins(index) {
            if let Some(organization) = organizations.get(at % organizations.len()) {
                join(instance, organization, person, role);
            }
        }
    }
    Ok(())
}

/// The `n`-th of the crowd; the longer ago, the fewer came in a day.
fn person(n: i64, now: i64) -> User {
    let n_to_come = N_PEOPLE - n;
    let age = SPAN_MS * n_to_come * (n_to_come + N_PEOPLE) / (2 * N_PEOPLE * N_PEOPLE);
    let created_at = now - HOUR_MS - age;
    let first_name = pick(&FIRST_NAMES, index(n));
    let last_name = pick(&LAST_NAMES, index(n));
    let is_plain = |c: &char| c.is_ascii_alphabetic() || *c == '-';
    let plain_last_name: String = last_name.chars().filter(is_plain).collect();
    let email = format!("{first_name}.{plain_last_name}@example.com").to_lowercase();
    let address = email_address(email, Some(Verification::admin()), created_at);

    let mut user = User::new(ids::new("user"), created_at);
    user.updated_at = created_at + n % 60 * MINUTE_MS;
    user.first_name = Some(first_name.to_owned());
    user.last_name = Some(last_name.to_owned());
    user.primary_email_address_id = Some(address.id.clone());
    user.email_addresses = vec![address];
    user.public_metadata = json!({ "role": role(n) });
    user.banned = n % 60 == 31;
    user.locked = n % 80 == 50;
    // Some have been invited and never came.
    if n % 7 != 5 {
        let last_sign_in_at = created_at + (now - created_at) / 100 * (n * 37 % 100);
        user.last_sign_in_at = Some(last_sign_in_at);
        user.last_active_at = Some(last_sign_in_at - last_sign_in_at.rem_euclid(DAY_MS));
    }
    user
}

/// Of forty people one is an admin and five are instructors.
fn role(n: i64) -> &'static str {
    match n % 40 {
        17 => "ADMIN",
        3 | 11 | 22 | 30 | 38 => "INSTRUCTOR",
        _ => "STUDENT",
    }
}

/// Which organizations somebody joined, and as what: some none, most one, a few two.
fn joins(index: usize) -> Vec<(usize, &'static str)> {
    let first = index * 7 + index / 12;
    let role = if index.is_multiple_of(25) {
        roles::ADMIN
    } else {
        roles::MEMBER
    };
    match index % 8 {
        0 => Vec::new(),
        1 => vec![(first, role), (first + 5, roles::MEMBER)],
        _ => vec![(first, role)],
    }
}

fn found(instance: &mut Instance, name: &str, founder: &User) -> Result<Organization, Error> {
    let slug = name.to_lowercase().replace(' ', "-");
    let created_at = founder.created_at + HOUR_MS;
    let mut organization = Organization::new(ids::new("org"), name.to_owned(), slug, created_at);
    organization.created_by = Some(founder.id.clone());
    instance.store.organizations.put(organization.clone())?;
    put_membership(instance, &organization, founder, roles::ADMIN, created_at);
    Ok(organization)
}

fn join(instance: &mut Instance, organization: &Organization, person: &User, role: &str) {
    let since = organization.created_at.max(person.created_at) + MINUTE_MS;
    put_membership(instance, organization, person, role, since);
}

fn put_membership(
    instance: &mut Instance,
    organization: &Organization,
    person: &User,
    role: &str,
    since: i64,
) {
    instance.store.organizations.put_membership(Membership {
        id: ids::new("orgmem"),
        organization_id: organization.id.clone(),
        user_id: person.id.clone(),
        role: role.to_owned(),
        public_metadata: json!({}),
        private_metadata: json!({}),
        created_at: since,
        updated_at: since,
    });
}

fn index(n: i64) -> usize {
    usize::try_from(n).unwrap_or_default()
}
