//! Clerk's objects, as its API and its webhooks show them.
//!
//! Real bodies are looser than the published schema: collections are missing, bags are `null`,
//! times are in seconds, unknown fields come along.
//! All of that is read; `private_metadata` is not, and so cannot be kept by mistake.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::Password;
use crate::ids::{ClerkMembershipId, ClerkOrganizationId, ClerkUserId};

/// A time below this is in seconds: as milliseconds it would lie before March 1973.
const FIRST_MILLISECOND: u64 = 100_000_000_000;

/// A user.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct User {
    /// `user_…`.
    pub id: ClerkUserId,
    /// The id that the application gave to it.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Which of the addresses is the primary one.
    #[serde(default)]
    pub primary_email_address_id: Option<String>,
    /// All addresses, in no order that means anything.
    #[serde(default, deserialize_with = "null_as_default")]
    pub email_addresses: Vec<EmailAddress>,
    /// The name to sign in with.
    #[serde(default)]
    pub username: Option<String>,
    /// The given name.
    #[serde(default)]
    pub first_name: Option<String>,
    /// The family name.
    #[serde(default)]
    pub last_name: Option<String>,
    /// The picture.
    #[serde(default)]
    pub image_url: Option<String>,
    /// The bag that the application writes and everyone reads.
    #[serde(default, deserialize_with = "bag")]
    pub public_metadata: Map<String, Value>,
    /// In milliseconds since 1970, as are the other times.
    #[serde(default, deserialize_with = "hint")]
    pub last_sign_in_at: Option<i64>,
    /// When its password was set last; never when it has none.
    #[serde(default, deserialize_with = "hint")]
    pub password_last_updated_at: Option<i64>,
    /// When it was made.
    #[serde(default, deserialize_with = "hint")]
    pub created_at: Option<i64>,
    /// When it was changed last: the version, so what cannot be read is an error.
    #[serde(default, deserialize_with = "version")]
    pub updated_at: Option<i64>,
    /// Whether it is shut out for good.
    #[serde(default, deserialize_with = "null_as_default")]
    pub banned: bool,
    /// Whether it is shut out for a while, after too many wrong passwords.
    #[serde(default, deserialize_with = "null_as_default")]
    pub locked: bool,
    /// Whether its company's directory has let it go.
    #[serde(default, deserialize_with = "null_as_default")]
    pub deprovisioned: bool,
    /// The company's directory that it belongs to.
    #[serde(default)]
    pub scim: Option<Scim>,
}

/// An address of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EmailAddress {
    /// `idn_…`.
    #[serde(default)]
    pub id: Option<String>,
    /// The address.
    pub email_address: String,
    /// How it was verified, if that was ever tried.
    #[serde(default)]
    pub verification: Option<Verification>,
}

/// How far the verification of an address has come.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verification {
    /// `verified`, `unverified`, `failed`, `expired`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: String,
}

/// The company's directory that a user belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Scim {
    /// Whether it is in use; Clerk leaves it out when it is not.
    #[serde(default, deserialize_with = "null_as_default")]
    pub directory_enabled: bool,
}

/// The primary address of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrimaryEmail<'a> {
    /// The address.
    pub address: &'a str,
    /// Whether it is known to be theirs.
    pub is_verified: bool,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Organization {
    /// `org_…`.
    pub id: ClerkOrganizationId,
    /// The name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// The name in addresses; an instance may do without.
    #[serde(default)]
    pub slug: Option<String>,
    /// The picture.
    #[serde(default)]
    pub image_url: Option<String>,
    /// The user who made it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// The most members; 0 is no limit.
    #[serde(default)]
    pub max_allowed_memberships: Option<i64>,
    /// The bag that the application writes and everyone reads.
    #[serde(default, deserialize_with = "bag")]
    pub public_metadata: Map<String, Value>,
    /// When it was made.
    #[serde(default, deserialize_with = "hint")]
    pub created_at: Option<i64>,
    /// When it was changed last: the version.
    #[serde(default, deserialize_with = "version")]
    pub updated_at: Option<i64>,
}

/// That a user is in an organization.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OrganizationMembership {
    /// `orgmem_…`.
    pub id: ClerkMembershipId,
    /// `org:admin` and the like; old ones lack the prefix.
    #[serde(default, deserialize_with = "null_as_default")]
    pub role: String,
    /// What the role allows.
    #[serde(default, deserialize_with = "null_as_default")]
    pub permissions: Vec<String>,
    /// The bag that the application writes and everyone reads.
    #[serde(default, deserialize_with = "bag")]
    pub public_metadata: Map<String, Value>,
    /// The organization, in full.
    pub organization: Organization,
    /// The user, in short.
    #[serde(default)]
    pub public_user_data: Option<PublicUserData>,
    /// When it was made.
    #[serde(default, deserialize_with = "hint")]
    pub created_at: Option<i64>,
    /// When it was changed last: the version.
    #[serde(default, deserialize_with = "version")]
    pub updated_at: Option<i64>,
}

/// What the other members see of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PublicUserData {
    /// `user_…`.
    pub user_id: ClerkUserId,
    /// The given name.
    #[serde(default)]
    pub first_name: Option<String>,
    /// The family name.
    #[serde(default)]
    pub last_name: Option<String>,
    /// The picture.
    #[serde(default)]
    pub image_url: Option<String>,
    /// What they sign in with, most often the address.
    #[serde(default)]
    pub identifier: Option<String>,
    /// The name to sign in with.
    #[serde(default)]
    pub username: Option<String>,
}

/// Some of a list.
/// Both fields must be there: a list that cannot be read is not an empty one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Page<T> {
    /// The objects, in the order of the list.
    #[serde(deserialize_with = "null_as_default")]
    pub data: Vec<T>,
    /// How many the whole list has.
    pub total_count: u64,
}

/// A membership in the list of all that there are: of its organization and its user, only which.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ListedMembership {
    /// `orgmem_…`.
    pub id: ClerkMembershipId,
    /// `org:admin` and the like; old ones lack the prefix.
    #[serde(default, deserialize_with = "null_as_default")]
    pub role: String,
    /// What the role allows.
    #[serde(default, deserialize_with = "null_as_default")]
    pub permissions: Vec<String>,
    /// The bag that the application writes and everyone reads.
    #[serde(default, deserialize_with = "bag")]
    pub public_metadata: Map<String, Value>,
    /// The organization.
    pub organization: OrganizationRef,
    /// The user.
    pub public_user_data: UserRef,
    /// When it was made.
    #[serde(default, deserialize_with = "hint")]
    pub created_at: Option<i64>,
    /// When it was changed last: the version.
    #[serde(default, deserialize_with = "version")]
    pub updated_at: Option<i64>,
}

/// Which organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OrganizationRef {
    /// `org_…`.
    pub id: ClerkOrganizationId,
}

/// Which user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserRef {
    /// `user_…`.
    pub user_id: ClerkUserId,
}

/// What is left of an object that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeletedObject {
    /// Its id; the schema does not promise one.
    #[serde(default)]
    pub id: Option<String>,
    /// `user`, `organization` and the like.
    #[serde(default)]
    pub object: Option<String>,
    /// The name that an organization had in addresses.
    #[serde(default)]
    pub slug: Option<String>,
    /// The id that the application had given to it.
    #[serde(default)]
    pub external_id: Option<String>,
    /// That it is deleted.
    #[serde(default, deserialize_with = "null_as_default")]
    pub deleted: bool,
}

/// An invitation to sign up.
/// Its link is left out: whoever has it can sign up in the other's name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Invitation {
    /// `inv_…`.
    pub id: String,
    /// Who is invited.
    pub email_address: String,
    /// `pending`, `accepted`, `revoked`, `expired`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: String,
    /// What the user's bag will hold.
    #[serde(default, deserialize_with = "bag")]
    pub public_metadata: Map<String, Value>,
    /// When it was made.
    #[serde(default, deserialize_with = "hint")]
    pub created_at: Option<i64>,
    /// When it ends.
    #[serde(default, deserialize_with = "hint")]
    pub expires_at: Option<i64>,
}

/// What to change in a user: `None` stays as it is, `Some(None)` is cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserPatch {
    /// The given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Option<String>>,
    /// The family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Option<String>>,
    /// The id that the application gives to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Option<String>>,
    /// The new password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
}

/// Whom to invite; what is `None` is left to Clerk.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NewInvitation {
    /// The address.
    pub email_address: String,
    /// What the user's bag will hold.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub public_metadata: Map<String, Value>,
    /// Where the link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct MetadataPatch<'a> {
    pub(super) public_metadata: &'a Map<String, Value>,
}

#[derive(Debug, Serialize)]
pub(super) struct RolePatch<'a> {
    pub(super) role: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct NewMembership<'a> {
    pub(super) user_id: &'a ClerkUserId,
    pub(super) role: &'a str,
}

#[derive(Debug, Deserialize)]
pub(super) struct TotalCount {
    pub(super) total_count: u64,
}

impl User {
    /// The address that [`User::primary_email_address_id`] names, never just the first one.
    pub fn primary_email(&self) -> Option<PrimaryEmail<'_>> {
        let primary_id = self.primary_email_address_id.as_deref()?;
        let email = self
            .email_addresses
            .iter()
            .find(|it| it.id.as_deref() == Some(primary_id))?;
        Some(PrimaryEmail {
            address: &email.email_address,
            is_verified: email.is_verified(),
        })
    }

    /// What the public metadata says of the role, whatever it is; `None` when it says nothing.
    pub fn role(&self) -> Option<&Value> {
        self.public_metadata
            .get("role")
            .filter(|role| !role.is_null())
    }

    /// Whether a company's directory has the say over this user.
    pub fn is_managed_by_directory(&self) -> bool {
        self.scim
            .as_ref()
            .is_some_and(|scim| scim.directory_enabled)
    }
}

impl Organization {
    /// One of which only the id is known.
    pub fn only(id: ClerkOrganizationId) -> Self {
        Self {
            id,
            name: String::new(),
            slug: None,
            image_url: None,
            created_by: None,
            max_allowed_memberships: None,
            public_metadata: Map::new(),
            created_at: None,
            updated_at: None,
        }
    }
}

impl PublicUserData {
    /// Of a user of whom only the id is known.
    pub fn only(user_id: ClerkUserId) -> Self {
        Self {
            user_id,
            first_name: None,
            last_name: None,
            image_url: None,
            identifier: None,
            username: None,
        }
    }
}

impl EmailAddress {
    /// Whether the address is known to be the user's.
    pub fn is_verified(&self) -> bool {
        self.verification
            .as_ref()
            .is_some_and(|it| it.status == "verified")
    }
}

/// `null` is read like a field that is missing.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    json: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or_default())
}

/// A bag of metadata; anything but an object is an empty one.
fn bag<'de, D: Deserializer<'de>>(json: D) -> Result<Map<String, Value>, D::Error> {
    match Value::deserialize(json)? {
        Value::Object(bag) => Ok(bag),
        _ => Ok(Map::new()),
    }
}

/// A time that nothing depends on.
fn hint<'de, D: Deserializer<'de>>(json: D) -> Result<Option<i64>, D::Error> {
    Ok(milliseconds(&Value::deserialize(json)?).unwrap_or_default())
}

/// A time that decides which of two versions is newer.
fn version<'de, D: Deserializer<'de>>(json: D) -> Result<Option<i64>, D::Error> {
    milliseconds(&Value::deserialize(json)?).map_err(de::Error::custom)
}

/// Reads a time in any shape that was seen: seconds or milliseconds, whole, broken or quoted.
pub(crate) fn milliseconds(value: &Value) -> Result<Option<i64>, &'static str> {
    let problem = "not a time";
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.clone(),
        Value::String(text) => text.trim().parse().map_err(|_| problem)?,
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err(problem),
    };
    let milliseconds = match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) if whole.unsigned_abs() < FIRST_MILLISECOND => whole * 1000,
        (Some(whole), _) => whole,
        (None, Some(broken)) => broken_milliseconds(broken),
        (None, None) => return Err(problem),
    };
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(_) => Ok(Some(milliseconds)),
        Err(_) => Err(problem),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "`as` saturates, and what is out of range is refused by the caller"
)]
fn broken_milliseconds(time: f64) -> i64 {
    let is_seconds = time.abs() < FIRST_MILLISECOND as f64;
    (if is_seconds { time * 1000.0 } else { time }).round() as i64
}
