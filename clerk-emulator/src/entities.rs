//! Clerk's objects, with exactly the fields that go over the wire.

mod organizations;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use organizations::{
    Counts, Membership, MembershipView, Organization, OrganizationView, Permission, PublicUserData,
    Role,
};

/// A metadata bag.
pub(crate) type Bag = Map<String, Value>;

/// A user. Times are Unix milliseconds.
#[derive(Debug, Clone, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the shape is Clerk's, not ours"
)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) username: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) image_url: String,
    pub(crate) has_image: bool,
    pub(crate) primary_email_address_id: Option<String>,
    pub(crate) primary_phone_number_id: Option<String>,
    pub(crate) primary_web3_wallet_id: Option<String>,
    pub(crate) password_enabled: bool,
    pub(crate) two_factor_enabled: bool,
    pub(crate) totp_enabled: bool,
    pub(crate) backup_code_enabled: bool,
    pub(crate) email_addresses: Vec<EmailAddress>,
    pub(crate) phone_numbers: [(); 0],
    pub(crate) web3_wallets: [(); 0],
    pub(crate) passkeys: [(); 0],
    pub(crate) external_accounts: [(); 0],
    pub(crate) saml_accounts: [(); 0],
    pub(crate) enterprise_accounts: [(); 0],
    pub(crate) password_last_updated_at: Option<i64>,
    pub(crate) public_metadata: Value,
    pub(crate) private_metadata: Value,
    pub(crate) unsafe_metadata: Value,
    pub(crate) external_id: Option<String>,
    pub(crate) last_sign_in_at: Option<i64>,
    pub(crate) banned: bool,
    pub(crate) locked: bool,
    pub(crate) deprovisioned: bool,
    pub(crate) lockout_expires_in_seconds: Option<i64>,
    pub(crate) verification_attempts_remaining: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) delete_self_enabled: bool,
    pub(crate) bypass_client_trust: bool,
    pub(crate) create_organization_enabled: bool,
    pub(crate) create_organizations_limit: Option<i64>,
    pub(crate) last_active_at: Option<i64>,
    pub(crate) mfa_enabled_at: Option<i64>,
    pub(crate) mfa_disabled_at: Option<i64>,
    pub(crate) legal_accepted_at: Option<i64>,
    pub(crate) profile_image_url: String,
    #[serde(skip)]
    pub(crate) scim: Option<Scim>,
}

/// A user as a webhook shows it: only there the directory is told.
#[derive(Debug, Serialize)]
pub(crate) struct UserView<'a> {
    #[serde(flatten)]
    user: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    scim: Option<&'a Scim>,
}

impl<'a> UserView<'a> {
    pub(crate) fn of(user: &'a User) -> Self {
        let scim = user.scim.as_ref();
        Self { user, scim }
    }
}

/// The company's directory that a user comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scim {
    pub(crate) directory_id: String,
    /// Left out while the directory is not in use.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) directory_enabled: bool,
    #[serde(default)]
    pub(crate) external_id: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl User {
    /// A user with nothing but an id and a time of creation.
    pub(crate) fn new(id: String, now: i64) -> Self {
        const IMAGE: &str = "https://img.clerk.com/default-avatar";
        Self {
            id,
            object: "user",
            username: None,
            first_name: None,
            last_name: None,
            locale: None,
            image_url: IMAGE.to_owned(),
            has_image: false,
            primary_email_address_id: None,
            primary_phone_number_id: None,
            primary_web3_wallet_id: None,
            password_enabled: false,
            two_factor_enabled: false,
            totp_enabled: false,
            backup_code_enabled: false,
            email_addresses: Vec::new(),
            phone_numbers: [],
            web3_wallets: [],
            passkeys: [],
            external_accounts: [],
            saml_accounts: [],
            enterprise_accounts: [],
            password_last_updated_at: None,
            public_metadata: Value::Object(Bag::new()),
            private_metadata: Value::Object(Bag::new()),
            unsafe_metadata: Value::Object(Bag::new()),
            external_id: None,
            last_sign_in_at: None,
            banned: false,
            locked: false,
            deprovisioned: false,
            lockout_expires_in_seconds: None,
            verification_attempts_remaining: Some(100),
            created_at: now,
            updated_at: now,
            delete_self_enabled: true,
            bypass_client_trust: false,
            create_organization_enabled: true,
            create_organizations_limit: None,
            last_active_at: None,
            mfa_enabled_at: None,
            mfa_disabled_at: None,
            legal_accepted_at: None,
            profile_image_url: IMAGE.to_owned(),
            scim: None,
        }
    }

    /// Does a directory that is in use have the say over the user?
    pub(crate) fn is_managed_by_directory(&self) -> bool {
        self.scim
            .as_ref()
            .is_some_and(|scim| scim.directory_enabled)
    }

    /// The primary e-mail address, as text.
    pub(crate) fn primary_email_address(&self) -> Option<&str> {
        let id = self.primary_email_address_id.as_deref()?;
        self.email_addresses
            .iter()
            .find(|address| address.id == id)
            .map(|address| address.email_address.as_str())
    }

    /// The metadata bags, by their names on the wire.
    pub(crate) fn bags_mut(&mut self) -> [(&'static str, &mut Value); 3] {
        [
            ("public_metadata", &mut self.public_metadata),
            ("private_metadata", &mut self.private_metadata),
            ("unsafe_metadata", &mut self.unsafe_metadata),
        ]
    }
}

/// An e-mail address of a user.
#[expect(clippy::struct_field_names, reason = "the shape is Clerk's, not ours")]
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EmailAddress {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) email_address: String,
    pub(crate) reserved: bool,
    pub(crate) verification: Option<Verification>,
    pub(crate) linked_to: Vec<Link>,
    pub(crate) matches_sso_connection: bool,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl EmailAddress {
    /// Is the address proven, or kept for its user: nobody else can have it.
    pub(crate) fn is_claimed(&self) -> bool {
        self.reserved || self.verification.is_some()
    }
}

/// How an e-mail address was proven.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verification {
    pub(crate) object: &'static str,
    pub(crate) status: &'static str,
    pub(crate) strategy: &'static str,
    pub(crate) attempts: Option<i64>,
    pub(crate) expire_at: Option<i64>,
}

impl Verification {
    /// Somebody with the secret key, or the dashboard, said so.
    pub(crate) fn admin() -> Self {
        Self {
            object: "verification_admin",
            status: "verified",
            strategy: "admin",
            attempts: None,
            expire_at: None,
        }
    }

    /// The user followed the link of an invitation.
    pub(crate) fn ticket() -> Self {
        Self {
            object: "verification_ticket",
            strategy: "ticket",
            ..Self::admin()
        }
    }
}

/// The connected account that an e-mail address came with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Link {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) id: String,
}

/// A session of a user.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Session {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) actor: Option<Value>,
    pub(crate) status: &'static str,
    pub(crate) last_active_organization_id: Option<String>,
    pub(crate) last_active_at: i64,
    pub(crate) expire_at: i64,
    pub(crate) abandon_at: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// An application invitation.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Invitation {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) email_address: String,
    pub(crate) public_metadata: Value,
    pub(crate) revoked: bool,
    pub(crate) status: &'static str,
    pub(crate) url: String,
    pub(crate) expires_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What is left of something deleted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeletedObject {
    pub(crate) object: &'static str,
    pub(crate) id: String,
    pub(crate) deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
}

impl DeletedObject {
    pub(crate) fn new(object: &'static str, id: &str) -> Self {
        Self {
            object,
            id: id.to_owned(),
            deleted: true,
            slug: None,
            external_id: None,
        }
    }
}
