//! Application invitations.

use serde_json::{Map, Value};

use super::{Answer, Call, list as list_answer, not_an_object, ok};
use crate::entities::Invitation;
use crate::error::Error;
use crate::instance::Instance;
use crate::metadata;
use crate::params::{Field, Params};

pub(super) fn list(instance: &mut Instance, call: &Call) -> Answer {
    instance.expire_invitations();
    let status = call.query.first("status");
    let query = call.query.first("query").unwrap_or_default().to_lowercase();
    let mut invitations: Vec<&Invitation> = instance
        .store
        .invitations
        .values()
        .filter(|invitation| match status {
            Some(status) => invitation.status == status,
            None => !invitation.revoked,
        })
        .filter(|invitation| {
            invitation.email_address.contains(&query)
                || invitation.id.to_lowercase().contains(&query)
        })
        .collect();
    let order_by = call.query.first("order_by").unwrap_or("-created_at");
    match order_by.trim_start_matches(['+', '-', ' ']) {
        "created_at" => invitations.sort_by_key(|invitation| invitation.created_at),
        "email_address" => invitations.sort_by(|a, b| a.email_address.cmp(&b.email_address)),
        "expires_at" => invitations.sort_by_key(|invitation| invitation.expires_at),
        _ => {
            return Err(Error::wrong_value(
                "order_by",
                "It must be one of created_at, email_address, expires_at.",
            ));
        }
    }
    if order_by.starts_with('-') {
        invitations.reverse();
    }
    list_answer(call, &invitations)
}

pub(super) fn create(instance: &mut Instance, call: &Call) -> Answer {
    let draft = Draft::parse(&call.params()?)?;
    draft.require_open(instance, draft.ignores_existing)?;
    ok(&draft.send(instance))
}

pub(super) fn create_many(instance: &mut Instance, call: &Call) -> Answer {
    let Value::Array(items) = &call.body else {
        return Err(not_an_object());
    };
    if items.is_empty() || items.len() > 10 {
        return Err(Error::bad_request(
            "request_body_invalid",
            "Between 1 and 10 invitations can be made at once.",
        ));
    }
    let mut drafts = Vec::new();
    for item in items {
        let fields: &Map<String, Value> = item.as_object().ok_or_else(not_an_object)?;
        let draft = Draft::parse(&Params::new(fields.clone()))?;
        draft.require_open(instance, false)?;
        drafts.push(draft);
    }
    let sent: Vec<Invitation> = drafts
        .into_iter()
        .map(|draft| draft.send(instance))
        .collect();
    ok(&sent)
}

pub(super) fn revoke(instance: &mut Instance, id: &str) -> Answer {
    instance.expire_invitations();
    let now = instance.now();
    let invitation = instance.store.invitation_mut(id)?;
    match invitation.status {
        "accepted" => {
            return Err(Error::bad_request(
                "invitation_already_accepted",
                "The invitation has already been accepted.",
            ));
        }
        "revoked" => {
            return Err(Error::bad_request(
                "invitation_already_revoked",
                "The invitation has already been revoked.",
            ));
        }
        _ => {}
    }
    invitation.status = "revoked";
    invitation.revoked = true;
    invitation.updated_at = now;
    ok(invitation)
}

/// An invitation that has not been sent.
struct Draft {
    email_address: String,
    public_metadata: Value,
    ignores_existing: bool,
    lifetime_days: i64,
}

impl Draft {
    fn parse(params: &Params) -> Result<Self, Error> {
        params.only(&[
            "email_address",
            "public_metadata",
            "redirect_url",
            "notify",
            "ignore_existing",
            "expires_in_days",
            "template_slug",
        ])?;
        let public_metadata = match params.raw("public_metadata") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(bag) => bag.clone(),
        };
        metadata::require_bag("public_metadata", &public_metadata)?;
        let lifetime_days = params.int("expires_in_days")?.value().unwrap_or(30);
        if !(1..=365).contains(&lifetime_days) {
            return Err(Error::wrong_value(
                "expires_in_days",
                "It must be between 1 and 365.",
            ));
        }
        Ok(Self {
            email_address: params.email("email_address")?,
            public_metadata,
            ignores_existing: params.bool("ignore_existing")? == Field::Is(true),
            lifetime_days,
        })
    }

    /// Refuses an address that belongs to a user or is already invited.
    fn require_open(&self, instance: &mut Instance, ignores_users: bool) -> Result<(), Error> {
        instance.expire_invitations();
        if !ignores_users && instance.store.owner_of_email(&self.email_address).is_some() {
            return Err(Error::taken("email_address"));
        }
        let is_invited = instance.store.invitations.values().any(|invitation| {
            invitation.status == "pending" && invitation.email_address == self.email_address
        });
        if is_invited && !self.ignores_existing {
            return Err(Error::bad_request(
                "duplicate_record",
                "duplicate invitation",
            ));
        }
        Ok(())
    }

    fn send(self, instance: &mut Instance) -> Invitation {
        instance.create_invitation(self.email_address, self.public_metadata, self.lifetime_days)
    }
}
