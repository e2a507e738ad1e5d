//! Organizations written by hand.

use serde::Deserialize;
use serde_json::Value;

use crate::entities::{Membership, Organization};
use crate::error::Error;
use crate::instance::{Instance, NewMember};
use crate::metadata::{self, ORGANIZATION_BAGS};
use crate::params::Params;
use crate::routes::organizations::{UPDATABLE, apply, require_name, require_slug};
use crate::{ids, params};

/// An organization to be; everything but the name is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewOrganization {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    /// Made from the name unless it is given.
    pub(crate) slug: Option<String>,
    /// The id or the e-mail address of a user, who becomes its admin.
    pub(crate) created_by: Option<String>,
    pub(crate) max_allowed_memberships: Option<usize>,
    pub(crate) public_metadata: Option<Value>,
    pub(crate) private_metadata: Option<Value>,
    pub(crate) created_at: Option<i64>,
    /// Who else belongs to it.
    pub(crate) members: Vec<Member>,
}

/// Somebody who belongs to an organization to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// An id or an e-mail address.
    user: String,
    role: String,
}

impl NewOrganization {
    /// Reads an organization to be.
    pub(crate) fn parse(value: Value) -> Result<Self, Error> {
        super::parse(value)
    }

    /// Adds the organization to the instance, then its members.
    pub(crate) fn create(self, instance: &mut Instance) -> Result<Organization, Error> {
        let now = instance.now();
        let name = require_name(self.name)?;
        if name.is_empty() {
            return Err(Error::missing("name"));
        }
        let slug = match self.slug {
            Some(slug) => require_slug(slug)?,
            None => free_slug(instance, &name),
        };
        let id = self.id.unwrap_or_else(|| ids::new("org"));
        if instance.store.organizations.get(&id).is_ok() {
            return Err(Error::taken("id"));
        }
        let mut organization = Organization::new(id, name, slug, now);
        organization.created_at = self.created_at.unwrap_or(now);
        organization.created_by = self.created_by.map(|creator| user_id(instance, &creator));
        organization.max_allowed_memberships = self.max_allowed_memberships.unwrap_or(0);
        for (sent, (name, target)) in [self.public_metadata, self.private_metadata]
            .into_iter()
            .zip(organization.bags_mut())
        {
            if let Some(bag) = sent {
                metadata::require_bag(name, &bag)?;
                *target = bag;
            }
        }
        let organization = instance.create_organization(organization)?;
        for member in self.members {
            let user_id = user_id(instance, &member.user);
            instance.add_member(&organization.id, NewMember::new(&user_id, &member.role))?;
        }
        Ok(organization)
    }
}

/// The id of the user who is meant by an id or an e-mail address.
fn user_id(instance: &Instance, id_or_email: &str) -> String {
    let owner = params::parse_email("user", id_or_email)
        .ok()
        .and_then(|email| instance.store.owner_of_email(&email));
    owner.map_or_else(|| id_or_email.to_owned(), |user| user.id.clone())
}

/// A slug like the name that no organization has.
fn free_slug(instance: &Instance, name: &str) -> String {
    let words = name.to_lowercase();
    let words = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() || instance.store.organizations.has_slug(&slug) {
        let suffix = ids::letters(10).to_lowercase();
        return format!("{slug}-{suffix}").trim_matches('-').to_owned();
    }
    slug
}

/// What somebody changes in the dashboard: fields of an update, plus bags to merge.
pub(crate) fn edit_organization(
    instance: &mut Instance,
    id: &str,
    patch: Value,
) -> Result<Organization, Error> {
    let params = super::fields(patch)?;
    let mut allowed = UPDATABLE.to_vec();
    allowed.extend(ORGANIZATION_BAGS);
    params.only(&allowed)?;
    instance.update_organization(id, |organization| {
        apply(organization, &params)?;
        metadata::merge_sent(organization.bags_mut(), &params)
    })
}

/// Merges the bags of a membership.
pub(crate) fn edit_member(
    instance: &mut Instance,
    id: &str,
    user_id: &str,
    patch: Value,
) -> Result<Membership, Error> {
    let params: Params = super::fields(patch)?;
    params.only(&ORGANIZATION_BAGS)?;
    instance.update_membership(id, user_id, |membership| {
        metadata::merge_sent(membership.bags_mut(), &params)
    })
}
