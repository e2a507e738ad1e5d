//! The handle on a running emulator.

mod hooks;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, mem};

use axum::Router;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::clock::real_ms;
use crate::connection::{CuttableListener, Scissors};
use crate::error::Error;
use crate::faults::Fault;
use crate::instance::{Instance, NewMember, Outage};
use crate::options::{MemberEvents, Options};
use crate::requests::{Calls, Request};
use crate::seed::{self, Fill, NewOrganization, NewUser};
use crate::tokens::{self, Key, KeyError, LazyKey};
use crate::webhooks::{self, Attempt, Message};
use crate::world::{Deliver, Seed, World, deliver_in_background};
use crate::{api, control};

/// A running emulator; it stops when the last clone of this handle is gone.
///
/// The methods that stand for a person at the dashboard panic on input that the dashboard
/// would refuse, because a test that goes on after that proves nothing.
#[derive(Debug, Clone)]
pub struct Emulator {
    world: Arc<World>,
    key: Arc<LazyKey>,
    _running: Arc<Running>,
}

/// The tasks of an emulator.
pub(crate) struct Running {
    background: AbortHandle,
    /// The server ends when this is dropped.
    _server: oneshot::Sender<()>,
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It may only be reached from this machine.
    #[error("the emulator listens on loopback addresses only")]
    NotLoopback,
    /// The address is not free.
    #[error("the address could not be listened on")]
    Listen(#[from] io::Error),
    /// The signing key could not be read.
    #[error("the signing key could not be read")]
    Key(#[from] KeyError),
    /// The client that delivers webhooks could not be made.
    #[error("the webhook client could not be made")]
    Client(#[from] reqwest::Error),
}

/// A seed that the instance refuses.
#[derive(Debug, thiserror::Error)]
#[error("the seed is refused: {0}")]
pub struct SeedError(String);

impl Emulator {
    /// Starts an emulator.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if !options.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback);
        }
        let listener = TcpListener::bind(options.listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = Arc::new(match &options.private_key_pem {
            Some(pem) => LazyKey::from_key(Key::from_pem(pem)?),
            None => LazyKey::default(),
        });
        let mut instance = Instance::new(
            options.instance_id.clone(),
            options.issuer.clone().unwrap_or_else(|| url.clone()),
            options.azp.clone(),
            options.token_version,
            Arc::clone(&key),
        );
        instance.member_events = options.member_events;
        instance.limit = options.instance_limit;
        if let Some(webhook_url) = &options.webhook_url {
            instance
                .queue
                .add_endpoint(webhook_url, &options.webhook_secret);
        }
        let world = Arc::new(World::new(url, &options, instance)?);

        let app = Router::new()
            .nest("/_emulator", control::router())
            .fallback(api::serve)
            .with_state(Arc::clone(&world))
            .into_make_service_with_connect_info::<Scissors>();
        let (sender, receiver) = oneshot::channel::<()>();
        let server = axum::serve(CuttableListener(listener), app)
            // The sender says nothing; it only goes away.
            .with_graceful_shutdown(async { drop(receiver.await) });
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the emulator's server ended");
            }
        });
        let background = tokio::spawn(deliver_in_background(Arc::clone(&world))).abort_handle();
        let running = Arc::new(Running {
            background,
            _server: sender,
        });
        world.running.get_or_init(|| Arc::downgrade(&running));
        Ok(Self {
            world,
            key,
            _running: running,
        })
    }

    /// One more handle, unless the last one is gone.
    pub(crate) fn of(world: &Arc<World>) -> Option<Self> {
        let running = world.running.get()?.upgrade()?;
        let key = Arc::clone(&world.lock().key);
        Some(Self {
            world: Arc::clone(world),
            key,
            _running: running,
        })
    }

    /// Where it listens, such as `http://127.0.0.1:4810`.
    pub fn url(&self) -> &str {
        &self.world.url
    }

    /// The key for the Backend API.
    pub fn secret_key(&self) -> &str {
        &self.world.secret_key
    }

    /// The signing secret of the default endpoint.
    pub fn webhook_secret(&self) -> &str {
        &self.world.webhook_secret
    }

    /// The id of the instance, which is also the `kid` of its tokens.
    pub fn instance_id(&self) -> &str {
        &self.world.instance_id
    }

    /// The `iss` of its tokens.
    pub fn issuer(&self) -> String {
        self.world.lock().issuer.clone()
    }

    /// The public key of its tokens, as PEM.
    pub fn jwt_key(&self) -> &str {
        self.key.get().public_pem()
    }

    /// The private key of its tokens, as PEM, to give to the next emulator.
    pub fn private_key_pem(&self) -> Result<String, KeyError> {
        self.key.get().private_pem()
    }

    // Users, as a person at the dashboard changes them.

    /// Adds a user, with a `user.created`.
    #[track_caller]
    pub fn create_user(&self, user: Value) -> Value {
        let mut instance = self.world.lock();
        let created = NewUser::parse(user).and_then(|user| user.create(&mut instance));
        wire(created)
    }

    /// Adds users without a webhook, as if they had been there before the endpoint.
    #[track_caller]
    pub fn seed_silently(&self, users: Vec<Value>) -> Vec<Value> {
        match self.world.seed(Seed::silent(users)) {
            Ok(seeded) => seeded.users.iter().map(|user| json!(user)).collect(),
            Err(error) => refused(&error),
        }
    }

    /// Adds the users and organizations of a seed,
    /// `{"users"?: [..], "organizations"?: [..], "silent"?: bool}`.
    pub fn seed(&self, seed: Value) -> Result<(), SeedError> {
        let seed = serde_json::from_value(seed).map_err(|error| SeedError(error.to_string()))?;
        match self.world.seed(seed) {
            Ok(_) => Ok(()),
            Err(error) => Err(SeedError(error.long_message)),
        }
    }

    /// Adds many objects without a webhook, as if the instance had been used for years.
    pub fn fill(&self, fill: Fill) -> Result<(), SeedError> {
        let filled = seed::fill(&mut self.world.lock(), fill);
        filled.map_err(|error| SeedError(error.long_message))
    }

    /// Adds people to develop with: six with webhooks, three of them in an organization, and a
    /// crowd with organizations of its own without a webhook, as if it had been there before.
    pub fn seed_demo(&self) -> Result<(), SeedError> {
        self.seed(seed::demo(self.now_ms()))?;
        let added = seed::add_crowd(&mut self.world.lock());
        added.map_err(|error| SeedError(error.long_message))
    }

    /// Changes fields of a user and merges metadata, with a `user.updated`.
    #[track_caller]
    pub fn update_user(&self, id: &str, patch: Value) -> Value {
        wire(seed::edit(&mut self.world.lock(), id, patch))
    }

    /// Sets `public_metadata.role`, with a `user.updated`.
    #[track_caller]
    pub fn set_role(&self, id: &str, role: &str) -> Value {
        self.update_user(id, json!({ "public_metadata": { "role": role } }))
    }

    /// Deletes a user, with a `user.deleted`.
    #[track_caller]
    pub fn delete_user(&self, id: &str) {
        if let Err(error) = self.world.lock().delete_user(id) {
            refused(&error)
        }
    }

    /// The user as the Backend API shows it.
    pub fn user(&self, id: &str) -> Option<Value> {
        let instance = self.world.lock();
        instance.store.user(id).ok().map(|user| json!(user))
    }

    /// All users, oldest first.
    pub fn users(&self) -> Vec<Value> {
        let instance = self.world.lock();
        instance.store.users().map(|user| json!(user)).collect()
    }

    /// The ids of all users, oldest first.
    pub fn user_ids(&self) -> Vec<String> {
        let instance = self.world.lock();
        instance.store.users().map(|user| user.id.clone()).collect()
    }

    /// Asks that a password has every kind of character, as an instance can be set to.
    pub fn strict_passwords(&self, is_on: bool) {
        self.world.lock().passwords.is_strict = is_on;
    }

    /// Somebody follows the link of an invitation; returns the user.
    #[track_caller]
    pub fn accept_invitation(&self, id: &str) -> Value {
        self.accept_invitation_with(id, json!({}))
    }

    /// Somebody follows the link of an invitation and signs up with `first_name`, `last_name` or
    /// `username`; who is a user already keeps their names. Returns the user.
    #[track_caller]
    pub fn accept_invitation_with(&self, id: &str, names: Value) -> Value {
        let names = seed::parse(names);
        wire(names.and_then(|names| self.world.lock().accept_invitation(id, names)))
    }

    // Organizations and their members.

    /// Adds an organization, with an `organization.created`; whoever is named in `created_by`
    /// becomes its admin, with an `organizationMembership.created`.
    #[track_caller]
    pub fn create_organization(&self, organization: Value) -> Value {
        let mut instance = self.world.lock();
        let created =
            NewOrganization::parse(organization).and_then(|new| new.create(&mut instance));
        wire(created)
    }

    /// Changes fields of an organization and merges metadata, with an `organization.updated`.
    #[track_caller]
    pub fn update_organization(&self, id: &str, patch: Value) -> Value {
        wire(seed::edit_organization(&mut self.world.lock(), id, patch))
    }

    /// Deletes an organization and all memberships, with an `organization.deleted`.
    #[track_caller]
    pub fn delete_organization(&self, id: &str) {
        if let Err(error) = self.world.lock().delete_organization(id) {
            refused(&error)
        }
    }

    /// The organization as the Backend API shows it.
    pub fn organization(&self, id: &str) -> Option<Value> {
        let instance = self.world.lock();
        let organization = instance.store.organizations.get(id).ok();
        organization.map(|organization| json!(organization))
    }

    /// All organizations, oldest first.
    pub fn organizations(&self) -> Vec<Value> {
        let instance = self.world.lock();
        let all = instance.store.organizations.iter();
        all.map(|organization| json!(organization)).collect()
    }

    /// The ids of all organizations, oldest first.
    pub fn organization_ids(&self) -> Vec<String> {
        let instance = self.world.lock();
        let all = instance.store.organizations.iter();
        all.map(|organization| organization.id.clone()).collect()
    }

    /// Makes a user a member, with an `organizationMembership.created`.
    #[track_caller]
    pub fn add_member(&self, organization_id: &str, user_id: &str, role: &str) -> Value {
        let mut instance = self.world.lock();
        let added = instance.add_member(organization_id, NewMember::new(user_id, role));
        wire(added.and_then(|membership| instance.show(&membership)))
    }

    /// Adds new users as members without a webhook; returns the ids of the users.
    #[track_caller]
    pub fn seed_silently_members(
        &self,
        organization_id: &str,
        n: usize,
        role: &str,
    ) -> Vec<String> {
        let added = self
            .world
            .lock()
            .add_silent_members(organization_id, n, role);
        match added {
            Ok(user_ids) => user_ids,
            Err(error) => refused(&error),
        }
    }

    /// Gives a member another role, with an `organizationMembership.updated`.
    #[track_caller]
    pub fn set_member_role(&self, organization_id: &str, user_id: &str, role: &str) -> Value {
        let mut instance = self.world.lock();
        let updated = instance.update_membership(organization_id, user_id, |membership| {
            role.clone_into(&mut membership.role);
            Ok(())
        });
        wire(updated.and_then(|membership| instance.show(&membership)))
    }

    /// Merges metadata of a membership, with an `organizationMembership.updated`.
    #[track_caller]
    pub fn update_member(&self, organization_id: &str, user_id: &str, patch: Value) -> Value {
        let mut instance = self.world.lock();
        let updated = seed::edit_member(&mut instance, organization_id, user_id, patch);
        wire(updated.and_then(|membership| instance.show(&membership)))
    }

    /// Ends a membership, with an `organizationMembership.deleted`; returns it as it was.
    #[track_caller]
    pub fn remove_member(&self, organization_id: &str, user_id: &str) -> Value {
        let mut instance = self.world.lock();
        let removed = instance.remove_member(organization_id, user_id);
        wire(removed.and_then(|membership| instance.show(&membership)))
    }

    /// The membership of a user in an organization as the Backend API shows it.
    pub fn membership(&self, organization_id: &str, user_id: &str) -> Option<Value> {
        let instance = self.world.lock();
        let found = instance
            .store
            .organizations
            .membership(organization_id, user_id);
        instance.show(found.ok()?).ok()
    }

    /// All memberships of the instance, oldest first.
    pub fn memberships(&self) -> Vec<Value> {
        let instance = self.world.lock();
        let all = instance.memberships();
        all.iter().map(|membership| json!(membership)).collect()
    }

    /// The ids of the organization and of the user of each membership, oldest first.
    pub fn member_ids(&self) -> Vec<(String, String)> {
        let instance = self.world.lock();
        let all = instance.store.organizations.all().iter();
        all.map(|one| (one.organization_id.clone(), one.user_id.clone()))
            .collect()
    }

    /// Adds a role that members can have, such as `org:teacher`; it makes no webhook.
    #[track_caller]
    pub fn add_member_role(&self, key: &str, name: &str) -> Value {
        let mut instance = self.world.lock();
        let now = instance.now();
        wire(instance.store.organizations.roles.add(key, name, now))
    }

    /// Says whether memberships that end with their user or organization make webhooks.
    pub fn member_events(&self, when: MemberEvents) {
        self.world.lock().member_events = when;
    }

    /// Does something without webhooks, as if the endpoint had missed them.
    ///
    /// Calls of the Backend API in the meantime make none either.
    pub fn silently<T>(&self, work: impl FnOnce(&Self) -> T) -> T {
        let was_silent = mem::replace(&mut self.world.lock().is_silent, true);
        let done = work(self);
        self.world.lock().is_silent = was_silent;
        done
    }

    // Tokens.

    /// A session token, as the user's browser would send it now.
    #[track_caller]
    pub fn session_token(&self, user_id: &str) -> String {
        self.session_token_with(user_id, Value::Null)
    }

    /// A session token with claims merged into it; `null` takes a claim out.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers write the claims in place"
    )]
    pub fn session_token_with(&self, user_id: &str, claims: Value) -> String {
        let mut instance = self.world.lock();
        match instance.session_for(user_id) {
            Ok(session) => instance.session_token(&session, instance.azp.as_deref(), 60, &claims),
            Err(error) => refused(&error),
        }
    }

    /// A session token while this organization is the user's active one.
    #[track_caller]
    pub fn session_token_in(&self, user_id: &str, organization_id: &str) -> String {
        let mut instance = self.world.lock();
        let azp = instance.azp.clone();
        let token = instance.session_for(user_id).and_then(|session| {
            let azp = azp.as_deref();
            instance.session_token_in(organization_id, &session, azp, 60, &Value::Null)
        });
        match token {
            Ok(token) => token,
            Err(error) => refused(&error),
        }
    }

    /// The header of a good session token, to be spoilt and given to `sign_jwt`.
    pub fn token_header(&self) -> Value {
        tokens::header(self.instance_id())
    }

    /// The claims of a good session token, to be spoilt and given to `sign_jwt`.
    ///
    /// The user need not exist, or no longer.
    pub fn token_claims(&self, user_id: &str) -> Value {
        let mut instance = self.world.lock();
        match instance.session_for(user_id) {
            Ok(session) => instance.session_claims(&session, instance.azp.as_deref(), 60),
            Err(_) => instance.claims_of_stranger(user_id),
        }
    }

    /// Signs anything with the key of the instance, in the way that `alg` asks for.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers write the claims in place"
    )]
    pub fn sign_jwt(&self, header: Value, claims: Value) -> String {
        self.key.get().sign(&header, &claims)
    }

    // Webhooks.

    /// All messages, in the order in which they were made.
    pub fn messages(&self) -> Vec<Message> {
        self.world.lock().queue.messages()
    }

    /// Takes out the messages that no endpoint has taken, in order.
    pub fn take_messages(&self) -> Vec<Message> {
        self.world.lock().queue.take_pending()
    }

    /// The headers for a delivery of this message now, for the default endpoint.
    pub fn sign(&self, message: &Message) -> Vec<(String, String)> {
        message.signed(self.webhook_secret())
    }

    /// The headers for any body at any time, for the default endpoint.
    pub fn sign_body(
        &self,
        svix_id: &str,
        timestamp_seconds: i64,
        body: &[u8],
    ) -> Vec<(String, String)> {
        webhooks::sign(self.webhook_secret(), svix_id, timestamp_seconds, body)
    }

    /// Adds an endpoint; it gets the messages made from now on. Returns its id.
    pub fn add_endpoint(&self, url: &str, secret: &str) -> String {
        self.world.lock().queue.add_endpoint(url, secret).id
    }

    /// Delivers without being asked to, or only when asked.
    pub fn auto_deliver(&self, is_on: bool) {
        self.world.set_auto(is_on);
    }

    /// Makes the attempts that are due, in order, and says what came of them.
    pub async fn deliver_due(&self) -> Vec<Attempt> {
        self.world.deliver_due(&Deliver::default()).await
    }

    /// Makes the attempts that are due, in another order, repeatedly, or with losses.
    pub async fn deliver_due_with(&self, deliver: &Deliver) -> Vec<Attempt> {
        self.world.deliver_due(deliver).await
    }

    /// Makes one attempt for this message at every endpoint, due or not.
    pub async fn deliver(&self, message_id: &str) -> Vec<Attempt> {
        self.world.deliver_one(message_id).await
    }

    /// Makes a message due again, as the dashboard's replay does.
    pub fn replay(&self, message_id: &str) {
        let mut instance = self.world.lock();
        let now = instance.now();
        instance.queue.replay(message_id, now);
    }

    /// Loses a message for good.
    pub fn lose(&self, message_id: &str) {
        self.world.lock().queue.remove(message_id);
    }

    // Faults.

    /// Orders a fault.
    pub fn fault(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Takes back all faults.
    pub fn clear_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// Answers 503 to everything.
    pub fn down(&self) {
        self.world.lock().outage = Some(Outage::Refusing);
    }

    /// Closes every connection without an answer.
    pub fn unreachable(&self) {
        self.world.lock().outage = Some(Outage::Unreachable);
    }

    /// Ends `down` and `unreachable`.
    pub fn up(&self) {
        self.world.lock().outage = None;
    }

    /// Takes so many calls in ten seconds from now on, or any number.
    pub fn limit_instance(&self, at_most: Option<u32>) {
        self.world.lock().limit = at_most;
    }

    /// The calls of the Backend API so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.world.lock().requests.all().iter().cloned().collect()
    }

    /// How many calls there were since they were last forgotten, and how they were answered.
    pub fn calls(&self) -> Calls {
        self.world.lock().requests.calls().clone()
    }

    /// Forgets the calls so far.
    pub fn clear_requests(&self) {
        self.world.lock().requests.clear();
    }

    /// Forgets everything but the settings, the endpoints and the time.
    pub fn reset(&self) {
        self.world.lock().reset();
    }

    // Time.

    /// The emulator's time in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.world.lock().now()
    }

    /// Moves the time forward.
    pub fn advance(&self, duration: Duration) {
        self.world.lock().clock.advance(duration);
    }

    /// Stops the clock where it is, so that writes share a millisecond.
    pub fn freeze_clock(&self) {
        let mut instance = self.world.lock();
        let now = instance.now();
        instance.clock.set(now);
    }

    /// Stops the clock at this time.
    pub fn set_clock(&self, ms: i64) {
        self.world.lock().clock.set(ms);
    }

    /// Lets the clock run on from where it stands.
    pub fn resume_clock(&self) {
        self.world.lock().clock.resume();
    }

    /// The wall clock in Unix milliseconds, which nothing moves.
    pub fn real_ms() -> i64 {
        real_ms()
    }
}

#[track_caller]
fn wire<T: Serialize>(object: Result<T, Error>) -> Value {
    match object {
        Ok(object) => json!(object),
        Err(error) => refused(&error),
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a test with an impossible setup must stop")]
fn refused(error: &Error) -> ! {
    panic!(
        "the emulator refuses: {} ({})",
        error.long_message, error.code
    )
}

impl Drop for Running {
    fn drop(&mut self) {
        self.background.abort();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}
