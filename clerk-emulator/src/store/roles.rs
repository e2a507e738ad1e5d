//! The roles of members: Clerk's two, and those that the instance adds.

use crate::entities::{Permission, Role};
use crate::error::Error;
use crate::ids;

/// What whoever creates an organization becomes.
pub(crate) const ADMIN: &str = "org:admin";

/// What everybody else becomes.
pub(crate) const MEMBER: &str = "org:member";

/// Without a member who may do this, an organization misses one with elevated permissions.
const ELEVATED: &str = "org:sys_memberships:manage";

/// Clerk's own permissions, each with its name and whether an ordinary member has it.
const SYSTEM_PERMISSIONS: [(&str, &str, bool); 8] = [
    ("org:sys_profile:manage", "Manage profile", false),
    ("org:sys_profile:delete", "Delete profile", false),
    ("org:sys_memberships:read", "Read members", true),
    (ELEVATED, "Manage members", false),
    ("org:sys_domains:read", "Read domains", false),
    ("org:sys_domains:manage", "Manage domains", false),
    ("org:sys_billing:read", "Read billing", true),
    ("org:sys_billing:manage", "Manage billing", false),
];

/// The roles of an instance, oldest first.
#[derive(Debug)]
pub(crate) struct Roles(Vec<Role>);

impl Default for Roles {
    fn default() -> Self {
        let permissions: Vec<(Permission, bool)> = SYSTEM_PERMISSIONS
            .into_iter()
            .map(|(key, name, is_for_all)| (system_permission(key, name), is_for_all))
            .collect();
        let all = permissions.iter().map(|(permission, _)| permission.clone());
        let for_all = permissions.iter().filter(|(_, is_for_all)| *is_for_all);
        let mut admin = role(ADMIN, "Admin", all.collect(), 0);
        admin.is_creator_eligible = true;
        let few = for_all.map(|(permission, _)| permission.clone()).collect();
        Self(vec![admin, role(MEMBER, "Member", few, 0)])
    }
}

impl Roles {
    pub(crate) fn all(&self) -> &[Role] {
        &self.0
    }

    /// The role with this key.
    pub(crate) fn get(&self, key: &str) -> Result<&Role, Error> {
        let role = self.0.iter().find(|role| role.key == key);
        role.ok_or_else(Error::unknown_role)
    }

    /// Adds a role that allows nothing.
    pub(crate) fn add(&mut self, key: &str, name: &str, now: i64) -> Result<&Role, Error> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let word = key.strip_prefix("org:").unwrap_or_default();
        if word.is_empty() || !word.chars().all(is_plain) {
            return Err(Error::wrong_format(
                "key",
                "org: and lowercase letters, digits or underscores",
            ));
        }
        if self.get(key).is_ok() {
            return Err(Error::taken("key"));
        }
        self.0.push(role(key, name, Vec::new(), now));
        self.get(key)
    }

    /// Can a member with this role manage the others?
    pub(crate) fn is_elevated(&self, key: &str) -> bool {
        let allows = |role: &Role| role.permissions.iter().any(|one| one.key == ELEVATED);
        self.get(key).is_ok_and(allows)
    }
}

fn role(key: &str, name: &str, permissions: Vec<Permission>, now: i64) -> Role {
    Role {
        object: "role",
        id: ids::new("role"),
        name: name.to_owned(),
        key: key.to_owned(),
        description: None,
        is_creator_eligible: false,
        permissions,
        created_at: now,
        updated_at: now,
    }
}

fn system_permission(key: &'static str, name: &'static str) -> Permission {
    Permission {
        object: "permission",
        id: ids::new("perm"),
        name,
        key,
        description: "",
        kind: "system",
        created_at: 0,
        updated_at: 0,
    }
}
