//! One Clerk instance: its objects, its clock, and the webhook that each write makes.

mod organizations;

pub(crate) use organizations::NewMember;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::entities::{
    DeletedObject, EmailAddress, Invitation, Session, User, UserView, Verification,
};
use crate::error::Error;
use crate::faults::Fault;
use crate::hooks::Hooks;
use crate::limits::Limits;
use crate::metadata;
use crate::options::MemberEvents;
use crate::passwords;
use crate::requests::Log;
use crate::store::Store;
use crate::tokens::{self, LazyKey, Subject, TokenVersion};
use crate::webhooks::queue::Queue;
use crate::{ids, json};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Everything that changes while the emulator runs.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) issuer: String,
    pub(crate) azp: Option<String>,
    pub(crate) token_version: TokenVersion,
    pub(crate) member_events: MemberEvents,
    pub(crate) passwords: passwords::Policy,
    pub(crate) key: Arc<LazyKey>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) limits: Limits,
    /// How many calls it takes in ten seconds.
    pub(crate) limit: Option<u32>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) hooks: Hooks,
    pub(crate) outage: Option<Outage>,
    pub(crate) requests: Log,
    /// Writes make no webhooks while this is set.
    pub(crate) is_silent: bool,
    /// The last session made for each user by `session_for`.
    sessions_by_user: HashMap<String, String>,
}

/// How the instance is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It answers 503.
    Refusing,
    /// It closes connections without an answer.
    Unreachable,
}

/// What somebody says of themselves when they sign up.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewNames {
    first_name: Option<String>,
    last_name: Option<String>,
    username: Option<String>,
}

/// The envelope of a webhook.
#[derive(Serialize)]
struct Event<'a, T> {
    data: T,
    #[serde(rename = "event_attributes")]
    attributes: Value,
    #[serde(rename = "instance_id")]
    instance: &'a str,
    object: &'static str,
    timestamp: i64,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl Instance {
    pub(crate) fn new(
        id: String,
        issuer: String,
        azp: Option<String>,
        token_version: TokenVersion,
        key: Arc<LazyKey>,
    ) -> Self {
        Self {
            id,
            issuer,
            azp,
            token_version,
            member_events: MemberEvents::default(),
            passwords: passwords::Policy::default(),
            key,
            clock: Clock::default(),
            store: Store::default(),
            queue: Queue::default(),
            limits: Limits::default(),
            limit: None,
            faults: Vec::new(),
            hooks: Hooks::default(),
            outage: None,
            requests: Log::default(),
            is_silent: false,
            sessions_by_user: HashMap::new(),
        }
    }

    /// Forgets everything but the settings, the endpoints and the time.
    pub(crate) fn reset(&mut self) {
        self.store = Store::default();
        self.queue.clear();
        self.limits = Limits::default();
        self.faults.clear();
        self.hooks.clear();
        self.outage = None;
        self.requests = Log::default();
        self.sessions_by_user.clear();
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Adds a user.
    pub(crate) fn create_user(&mut self, user: User) -> Result<User, Error> {
        let user = self.store.put(user)?;
        self.emit("user.created", &UserView::of(&user));
        Ok(user)
    }

    /// Changes a user; every write moves `updated_at`, and never backwards.
    pub(crate) fn update_user(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut User) -> Result<(), Error>,
    ) -> Result<User, Error> {
        let mut user = self.store.user(id)?.clone();
        change(&mut user)?;
        user.updated_at = user.updated_at.max(self.now());
        let user = self.store.put(user)?;
        self.emit("user.updated", &UserView::of(&user));
        Ok(user)
    }

    /// Deletes a user with all sessions and memberships.
    pub(crate) fn delete_user(&mut self, id: &str) -> Result<DeletedObject, Error> {
        self.store.user(id)?;
        let members: Vec<_> = self
            .store
            .organizations
            .of_user(id)
            .iter()
            .cloned()
            .collect();
        let members = self.remove_memberships(&members);
        let external_id = self.store.remove(id).and_then(|user| user.external_id);
        self.store
            .sessions
            .retain(|_, session| session.user_id != id);
        self.sessions_by_user.remove(id);
        let deleted = DeletedObject {
            external_id,
            ..DeletedObject::new("user", id)
        };
        self.emit_among(members, "user.deleted", &deleted);
        Ok(deleted)
    }

    /// Ends every session of a user.
    pub(crate) fn revoke_sessions(&mut self, user_id: &str) {
        let now = self.now();
        self.sessions_by_user.remove(user_id);
        for session in self.store.sessions.values_mut() {
            if session.user_id == user_id && session.status == "active" {
                session.status = "revoked";
                session.updated_at = now;
            }
        }
    }

    /// Signs a user in.
    pub(crate) fn create_session(&mut self, user_id: &str) -> Result<Session, Error> {
        let now = self.now();
        let mut user = self.store.user(user_id)?.clone();
        // A sign-in is no write: neither `updated_at` nor a webhook shows it.
        user.last_sign_in_at = Some(now);
        user.last_active_at = Some(now - now.rem_euclid(DAY_MS));
        self.store.put(user)?;
        let session = Session {
            object: "session",
            id: ids::new("sess"),
            user_id: user_id.to_owned(),
            client_id: ids::new("client"),
            actor: None,
            status: "active",
            last_active_organization_id: None,
            last_active_at: now,
            expire_at: now + 7 * DAY_MS,
            abandon_at: now + 30 * DAY_MS,
            created_at: now,
            updated_at: now,
        };
        self.store
            .sessions
            .insert(session.id.clone(), session.clone());
        Ok(session)
    }

    /// The active session of a user, or a new one.
    pub(crate) fn session_for(&mut self, user_id: &str) -> Result<Session, Error> {
        let known = self
            .sessions_by_user
            .get(user_id)
            .and_then(|id| self.store.sessions.get(id))
            .filter(|session| session.status == "active");
        if let Some(session) = known {
            return Ok(session.clone());
        }
        let session = self.create_session(user_id)?;
        self.sessions_by_user
            .insert(user_id.to_owned(), session.id.clone());
        Ok(session)
    }

    /// A session token; `overrides` are merged into its claims.
    pub(crate) fn session_token(
        &self,
        session: &Session,
        azp: Option<&str>,
        lifetime_seconds: i64,
        overrides: &Value,
    ) -> String {
        self.sign(
            self.session_claims(session, azp, lifetime_seconds),
            overrides,
        )
    }

    /// A session token while this organization is the active one.
    pub(crate) fn session_token_in(
        &self,
        organization_id: &str,
        session: &Session,
        azp: Option<&str>,
        lifetime_seconds: i64,
        overrides: &Value,
    ) -> Result<String, Error> {
        let mut claims = self.session_claims(session, azp, lifetime_seconds);
        let more = self.organization_claims(&session.user_id, organization_id)?;
        metadata::merge(&mut claims, &more);
        Ok(self.sign(claims, overrides))
    }

    fn sign(&self, mut claims: Value, overrides: &Value) -> String {
        if overrides.is_object() {
            metadata::merge(&mut claims, overrides);
        }
        self.key.get().sign(&tokens::header(&self.id), &claims)
    }

    /// The claims of a session token made now.
    pub(crate) fn session_claims(
        &self,
        session: &Session,
        azp: Option<&str>,
        lifetime_seconds: i64,
    ) -> Value {
        let subject = Subject {
            issuer: &self.issuer,
            user_id: &session.user_id,
            session_id: &session.id,
            session_created_at: session.created_at,
            azp,
            lifetime_seconds,
        };
        tokens::claims(self.token_version, &subject, self.now())
    }

    /// The claims of a session token of somebody who is not, or no longer, a user.
    pub(crate) fn claims_of_stranger(&self, user_id: &str) -> Value {
        let subject = Subject {
            issuer: &self.issuer,
            user_id,
            session_id: &ids::new("sess"),
            session_created_at: self.now(),
            azp: self.azp.as_deref(),
            lifetime_seconds: 60,
        };
        tokens::claims(self.token_version, &subject, self.now())
    }

    /// Invites an e-mail address.
    pub(crate) fn create_invitation(
        &mut self,
        email_address: String,
        public_metadata: Value,
        lifetime_days: i64,
    ) -> Invitation {
        let now = self.now();
        let invitation = Invitation {
            object: "invitation",
            id: ids::new("inv"),
            email_address,
            public_metadata,
            revoked: false,
            status: "pending",
            url: format!(
                "{}/v1/tickets/accept?ticket={}",
                self.issuer,
                ids::letters(40)
            ),
            expires_at: Some(now + lifetime_days * DAY_MS),
            created_at: now,
            updated_at: now,
        };
        self.store
            .invitations
            .insert(invitation.id.clone(), invitation.clone());
        invitation
    }

    /// Marks the invitations whose time has run out.
    pub(crate) fn expire_invitations(&mut self) {
        let now = self.now();
        for invitation in self.store.invitations.values_mut() {
            if invitation.status == "pending" && invitation.expires_at.is_some_and(|at| at <= now) {
                invitation.status = "expired";
            }
        }
    }

    /// Somebody follows the link of an invitation and signs in, or up with these names.
    pub(crate) fn accept_invitation(&mut self, id: &str, names: NewNames) -> Result<User, Error> {
        self.expire_invitations();
        let invitation = self.store.invitation_mut(id)?.clone();
        if invitation.status != "pending" {
            return Err(Error::bad_request(
                &format!("invitation_already_{}", invitation.status),
                "The invitation is no longer open.",
            ));
        }
        let owner = self.store.owner_of_email(&invitation.email_address);
        let user = match owner.map(|user| user.id.clone()) {
            Some(id) => self.update_user(&id, |user| {
                metadata::merge(&mut user.public_metadata, &invitation.public_metadata);
                Ok(())
            }),
            None => self.sign_up(invitation, names),
        }?;
        let now = self.now();
        let invitation = self.store.invitation_mut(id)?;
        invitation.status = "accepted";
        invitation.updated_at = now;
        Ok(user)
    }

    fn sign_up(&mut self, invitation: Invitation, names: NewNames) -> Result<User, Error> {
        let now = self.now();
        let mut user = User::new(ids::new("user"), now);
        user.first_name = names.first_name;
        user.last_name = names.last_name;
        user.username = names.username;
        user.public_metadata = invitation.public_metadata;
        let address = email_address(invitation.email_address, Some(Verification::ticket()), now);
        user.primary_email_address_id = Some(address.id.clone());
        user.email_addresses.push(address);
        self.create_user(user)
    }

    fn emit(&mut self, event_type: &str, data: &impl Serialize) {
        if self.is_silent {
            return;
        }
        let now = self.now();
        let body = json::encode(&Event {
            data,
            attributes: json!({ "http_request": { "client_ip": "", "user_agent": "" } }),
            instance: &self.id,
            object: "event",
            timestamp: now,
            kind: event_type,
        });
        self.queue.push(event_type, body, now);
    }
}

/// A fresh e-mail address.
pub(crate) fn email_address(
    email_address: String,
    verification: Option<Verification>,
    now: i64,
) -> EmailAddress {
    EmailAddress {
        id: ids::new("idn"),
        object: "email_address",
        email_address,
        reserved: false,
        verification,
        linked_to: Vec::new(),
        matches_sso_connection: false,
        created_at: now,
        updated_at: now,
    }
}
