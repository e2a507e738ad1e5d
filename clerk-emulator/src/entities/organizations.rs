//! Organizations, memberships and roles, as they are kept and as they go over the wire.

use serde::Serialize;
use serde_json::Value;

use super::{Bag, User};

const IMAGE: &str = "https://img.clerk.com/default-organization";

/// An organization. Times are Unix milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Organization {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) image_url: &'static str,
    pub(crate) has_image: bool,
    /// No limit while this is 0.
    pub(crate) max_allowed_memberships: usize,
    pub(crate) admin_delete_enabled: bool,
    pub(crate) public_metadata: Value,
    pub(crate) private_metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl Organization {
    /// An organization without metadata, without a limit and without a creator.
    pub(crate) fn new(id: String, name: String, slug: String, now: i64) -> Self {
        Self {
            object: "organization",
            id,
            name,
            slug,
            image_url: IMAGE,
            has_image: false,
            max_allowed_memberships: 0,
            admin_delete_enabled: true,
            public_metadata: Value::Object(Bag::new()),
            private_metadata: Value::Object(Bag::new()),
            created_by: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// The metadata bags, by their names on the wire.
    pub(crate) fn bags_mut(&mut self) -> [(&'static str, &mut Value); 2] {
        [
            ("public_metadata", &mut self.public_metadata),
            ("private_metadata", &mut self.private_metadata),
        ]
    }
}

/// What is counted for an organization; an answer has only what the caller asked for.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) members_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing_member_with_elevated_permissions: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pending_invitations_count: Option<usize>,
}

/// An organization as it goes over the wire.
#[derive(Debug, Serialize)]
pub(crate) struct OrganizationView<'a> {
    #[serde(flatten)]
    pub(crate) organization: &'a Organization,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// A user's membership in an organization. Times are Unix milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) id: String,
    pub(crate) organization_id: String,
    pub(crate) user_id: String,
    pub(crate) role: String,
    pub(crate) public_metadata: Value,
    pub(crate) private_metadata: Value,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl Membership {
    /// The metadata bags, by their names on the wire.
    pub(crate) fn bags_mut(&mut self) -> [(&'static str, &mut Value); 2] {
        [
            ("public_metadata", &mut self.public_metadata),
            ("private_metadata", &mut self.private_metadata),
        ]
    }
}

/// A membership as it goes over the wire, with its organization and its user as they are now.
#[derive(Debug, Serialize)]
pub(crate) struct MembershipView<'a> {
    pub(crate) object: &'static str,
    pub(crate) id: &'a str,
    pub(crate) role: &'a str,
    pub(crate) role_name: &'a str,
    pub(crate) permissions: Vec<&'a str>,
    pub(crate) public_metadata: &'a Value,
    pub(crate) private_metadata: &'a Value,
    pub(crate) organization: OrganizationView<'a>,
    pub(crate) public_user_data: PublicUserData<'a>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What a membership says of its user.
#[derive(Debug, Serialize)]
pub(crate) struct PublicUserData<'a> {
    user_id: &'a str,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    profile_image_url: &'a str,
    image_url: &'a str,
    has_image: bool,
    identifier: Option<&'a str>,
    username: Option<&'a str>,
    banned: bool,
    deprovisioned: bool,
}

impl<'a> PublicUserData<'a> {
    pub(crate) fn of(user: &'a User) -> Self {
        let username = user.username.as_deref();
        Self {
            user_id: &user.id,
            first_name: user.first_name.as_deref(),
            last_name: user.last_name.as_deref(),
            profile_image_url: &user.profile_image_url,
            image_url: &user.image_url,
            has_image: user.has_image,
            identifier: user.primary_email_address().or(username),
            username,
            banned: user.banned,
            deprovisioned: user.deprovisioned,
        }
    }
}

/// A role that members of organizations can have.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Role {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) description: Option<String>,
    pub(crate) is_creator_eligible: bool,
    pub(crate) permissions: Vec<Permission>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What a role allows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Permission {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    pub(crate) description: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}
