//! Organizations, their metadata, and the roles of their members.

use serde_json::Value;

use super::{Answer, Call, Page, ok};
use crate::entities::{Counts, Organization, OrganizationView};
use crate::error::Error;
use crate::instance::Instance;
use crate::metadata::{self, ORGANIZATION_BAGS};
use crate::params::{Params, Query};
use crate::seed::NewOrganization;
use crate::store::Store;
use crate::store::listing::organizations as listing;

/// What an update may name.
pub(crate) const UPDATABLE: [&str; 5] = [
    "name",
    "slug",
    "max_allowed_memberships",
    "admin_delete_enabled",
    "created_at",
];

/// What a creation may name.
const CREATABLE: [&str; 7] = [
    "name",
    "slug",
    "created_by",
    "max_allowed_memberships",
    "public_metadata",
    "private_metadata",
    "created_at",
];

pub(super) fn list(instance: &Instance, call: &Call) -> Answer {
    let found = listing::organizations(&instance.store, &call.query)?;
    let views = found
        .items
        .into_iter()
        .map(|organization| view(&instance.store, organization, &call.query))
        .collect::<Result<Vec<_>, _>>()?;
    ok(&Page {
        data: views,
        total_count: found.total,
    })
}

pub(super) fn create(instance: &mut Instance, call: &Call) -> Answer {
    let params = call.params()?;
    params.only(&CREATABLE)?;
    let new = NewOrganization {
        name: params.required_string("name")?,
        slug: params.text("slug")?.value(),
        created_by: params.text("created_by")?.value(),
        max_allowed_memberships: max_allowed_memberships(&params)?,
        public_metadata: bag(&params, "public_metadata")?,
        private_metadata: bag(&params, "private_metadata")?,
        created_at: params.time("created_at")?.value(),
        ..NewOrganization::default()
    };
    ok(&new.create(instance)?)
}

/// By id or by slug.
pub(super) fn read(instance: &Instance, call: &Call, id_or_slug: &str) -> Answer {
    let organization = instance.store.organizations.find(id_or_slug)?;
    ok(&view(&instance.store, organization, &call.query)?)
}

pub(super) fn update(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    let mut allowed = UPDATABLE.to_vec();
    if call.takes_metadata_in_update {
        allowed.extend(ORGANIZATION_BAGS);
    }
    params.only(&allowed)?;
    let organization = instance.update_organization(id, |organization| {
        apply(organization, &params)?;
        metadata::replace_sent(organization.bags_mut(), &params)
    })?;
    ok(&organization)
}

pub(super) fn delete(instance: &mut Instance, id: &str) -> Answer {
    ok(&instance.delete_organization(id)?)
}

pub(super) fn merge_metadata(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    params.only(&ORGANIZATION_BAGS)?;
    ok(&instance.update_organization(id, |organization| {
        metadata::merge_sent(organization.bags_mut(), &params)
    })?)
}

pub(super) fn replace_metadata(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let params = call.params()?;
    params.only(&ORGANIZATION_BAGS)?;
    ok(&instance.update_organization(id, |organization| {
        metadata::replace_sent(organization.bags_mut(), &params)
    })?)
}

pub(super) fn roles(instance: &Instance, call: &Call) -> Answer {
    let found = listing::roles(&instance.store, &call.query)?;
    ok(&Page {
        data: found.items,
        total_count: found.total,
    })
}

/// Writes over an organization what an update may name.
pub(crate) fn apply(organization: &mut Organization, params: &Params) -> Result<(), Error> {
    if let Some(name) = params.text("name")?.value() {
        organization.name = require_name(name)?;
    }
    if let Some(slug) = params.text("slug")?.value() {
        organization.slug = require_slug(slug)?;
    }
    if let Some(at_most) = max_allowed_memberships(params)? {
        organization.max_allowed_memberships = at_most;
    }
    if let Some(is_enabled) = params.bool("admin_delete_enabled")?.value() {
        organization.admin_delete_enabled = is_enabled;
    }
    if let Some(created_at) = params.time("created_at")?.value() {
        organization.created_at = created_at;
    }
    Ok(())
}

/// Refuses a name that is too long.
pub(crate) fn require_name(name: String) -> Result<String, Error> {
    const AT_MOST: usize = 256;
    if name.chars().count() > AT_MOST {
        return Err(Error::too_long("name", AT_MOST));
    }
    Ok(name)
}

/// Refuses a slug of anything but lower-case letters, digits and dashes.
pub(crate) fn require_slug(slug: String) -> Result<String, Error> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !slug.chars().all(is_plain) {
        let expected = "lowercase letters, digits and dashes";
        return Err(Error::wrong_format("slug", expected));
    }
    Ok(slug)
}

fn max_allowed_memberships(params: &Params) -> Result<Option<usize>, Error> {
    const NAME: &str = "max_allowed_memberships";
    let refused = |_| Error::wrong_value(NAME, "It must not be negative.");
    let at_most = params.int(NAME)?.value();
    at_most
        .map(|at_most| usize::try_from(at_most).map_err(refused))
        .transpose()
}

/// A bag of something to be created; `null` counts as not sent.
pub(super) fn bag(params: &Params, name: &str) -> Result<Option<Value>, Error> {
    let bag = params.raw(name).filter(|bag| !bag.is_null());
    if let Some(bag) = bag {
        metadata::require_bag(name, bag)?;
    }
    Ok(bag.cloned())
}

/// The organization with what the caller wants counted.
fn view<'a>(
    store: &Store,
    organization: &'a Organization,
    query: &Query,
) -> Result<OrganizationView<'a>, Error> {
    let all = store.organizations.counts(&organization.id);
    let mut counts = Counts::default();
    if query.bool("include_members_count")? == Some(true) {
        counts.members_count = all.members_count;
    }
    if query.bool("include_missing_member_with_elevated_permissions")? == Some(true) {
        counts.missing_member_with_elevated_permissions =
            all.missing_member_with_elevated_permissions;
    }
    Ok(OrganizationView {
        organization,
        counts,
    })
}
