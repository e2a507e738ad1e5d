//! The routes under `/_emulator/`: what a test or a developer does to the emulator.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::entities::User;
use crate::error::Error;
use crate::faults::Fault;
use crate::instance::{NewNames, Outage};
use crate::options::MemberEvents;
use crate::seed::Fill;
use crate::world::{Deliver, Seed, World};
use crate::{ids, seed};

type Answer = Result<Json<Value>, Refusal>;

/// So many users fit on a sign-in page.
const N_LISTED: usize = 50;

/// The control routes.
pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/state", get(state))
        .route("/seed", post(add_seed))
        .route("/fill", post(fill))
        .route("/reset", post(reset))
        .route("/requests", get(requests).delete(clear_requests))
        .route("/calls", get(calls))
        .route("/limits", post(set_limits))
        .route("/clock", post(move_clock))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/down", post(go_down))
        .route("/up", post(go_up))
        .route(
            "/endpoints",
            get(endpoints).post(add_endpoint).delete(remove_endpoints),
        )
        .route("/auto", post(set_auto))
        .route("/messages", get(messages))
        .route("/messages/{id}", delete(lose_message))
        .route("/messages/{id}/deliver", post(deliver_one))
        .route("/messages/{id}/replay", post(replay))
        .route("/deliver", post(deliver_due))
        .route("/member-events", post(set_member_events))
        .route("/strict-passwords", post(set_strict_passwords))
        .route("/tokens", post(create_token))
        .route("/users", get(users))
        .route("/users/{id}/role", post(set_role))
        .route("/users/{id}", axum::routing::patch(edit_user))
        .route("/invitations/{id}/accept", post(accept_invitation))
}

async fn state(State(world): State<Arc<World>>) -> Answer {
    let instance = world.lock();
    Ok(Json(json!({
        "now": instance.now(),
        "users": instance.store.users().collect::<Vec<_>>(),
        "sessions": instance.store.sessions.values().collect::<Vec<_>>(),
        "invitations": instance.store.invitations.values().collect::<Vec<_>>(),
        "organizations": instance.store.organizations.iter().collect::<Vec<_>>(),
        "memberships": instance.memberships(),
        "messages": instance.queue.messages(),
        "endpoints": instance.queue.endpoints(),
        "faults": instance.faults,
        "n_requests": instance.requests.all().len(),
    })))
}

async fn add_seed(State(world): State<Arc<World>>, Json(seed): Json<Seed>) -> Answer {
    Ok(Json(json!(world.seed(seed)?)))
}

async fn fill(State(world): State<Arc<World>>, Json(fill): Json<Fill>) -> Answer {
    seed::fill(&mut world.lock(), fill)?;
    done()
}

async fn reset(State(world): State<Arc<World>>) -> Answer {
    world.lock().reset();
    done()
}

async fn requests(State(world): State<Arc<World>>) -> Answer {
    Ok(Json(json!({ "requests": world.lock().requests.all() })))
}

async fn clear_requests(State(world): State<Arc<World>>) -> Answer {
    world.lock().requests.clear();
    done()
}

/// How many calls there were since the requests were last cleared, and how they were answered.
async fn calls(State(world): State<Arc<World>>) -> Answer {
    Ok(Json(json!(world.lock().requests.calls())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLimits {
    /// How many calls the instance takes in ten seconds; `null` for any number.
    instance: Option<u32>,
}

async fn set_limits(
    State(world): State<Arc<World>>,
    Json(SetLimits { instance }): Json<SetLimits>,
) -> Answer {
    world.lock().limit = instance;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveClock {
    #[serde(default)]
    advance_ms: u64,
    /// Stop the clock at this time.
    set_ms: Option<i64>,
    /// Let the clock run again.
    #[serde(default)]
    resume: bool,
}

async fn move_clock(State(world): State<Arc<World>>, Json(change): Json<MoveClock>) -> Answer {
    let mut instance = world.lock();
    if let Some(ms) = change.set_ms {
        instance.clock.set(ms);
    }
    if change.resume {
        instance.clock.resume();
    }
    instance
        .clock
        .advance(Duration::from_millis(change.advance_ms));
    Ok(Json(json!({ "now": instance.now() })))
}

async fn faults(State(world): State<Arc<World>>) -> Answer {
    Ok(Json(json!({ "faults": world.lock().faults })))
}

async fn add_fault(State(world): State<Arc<World>>, Json(fault): Json<Fault>) -> Answer {
    world.lock().faults.push(fault);
    done()
}

async fn clear_faults(State(world): State<Arc<World>>) -> Answer {
    world.lock().faults.clear();
    done()
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct GoDown {
    /// Close connections instead of answering 503.
    #[serde(default)]
    unreachable: bool,
}

async fn go_down(State(world): State<Arc<World>>, how: Option<Json<GoDown>>) -> Answer {
    let outage = match how {
        Some(Json(GoDown { unreachable: true })) => Outage::Unreachable,
        _ => Outage::Refusing,
    };
    world.lock().outage = Some(outage);
    done()
}

async fn go_up(State(world): State<Arc<World>>) -> Answer {
    world.lock().outage = None;
    done()
}

async fn endpoints(State(world): State<Arc<World>>) -> Answer {
    Ok(Json(json!({ "endpoints": world.lock().queue.endpoints() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    url: String,
    secret: Option<String>,
}

async fn add_endpoint(State(world): State<Arc<World>>, Json(new): Json<NewEndpoint>) -> Answer {
    let secret = new
        .secret
        .unwrap_or_else(|| format!("whsec_{}", ids::letters(32)));
    let endpoint = world.lock().queue.add_endpoint(&new.url, &secret);
    Ok(Json(json!(endpoint)))
}

async fn remove_endpoints(State(world): State<Arc<World>>) -> Answer {
    world.lock().queue.remove_endpoints();
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetAuto {
    on: bool,
}

async fn set_auto(State(world): State<Arc<World>>, Json(auto): Json<SetAuto>) -> Answer {
    world.set_auto(auto.on);
    done()
}

async fn messages(State(world): State<Arc<World>>) -> Answer {
    Ok(Json(json!({ "messages": world.lock().queue.messages() })))
}

async fn lose_message(State(world): State<Arc<World>>, Path(id): Path<String>) -> Answer {
    if !world.lock().queue.remove(&id) {
        return Err(Refusal(Error::not_found("message", &id)));
    }
    done()
}

async fn deliver_one(State(world): State<Arc<World>>, Path(id): Path<String>) -> Answer {
    Ok(Json(json!({ "attempts": world.deliver_one(&id).await })))
}

async fn replay(State(world): State<Arc<World>>, Path(id): Path<String>) -> Answer {
    let mut instance = world.lock();
    let now = instance.now();
    if !instance.queue.replay(&id, now) {
        return Err(Refusal(Error::not_found("message", &id)));
    }
    done()
}

async fn deliver_due(State(world): State<Arc<World>>, deliver: Option<Json<Deliver>>) -> Answer {
    let Json(deliver) = deliver.unwrap_or_default();
    Ok(Json(
        json!({ "attempts": world.deliver_due(&deliver).await }),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetMemberEvents {
    when: MemberEvents,
}

async fn set_member_events(
    State(world): State<Arc<World>>,
    Json(SetMemberEvents { when }): Json<SetMemberEvents>,
) -> Answer {
    world.lock().member_events = when;
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    user_id: String,
    /// The active organization.
    organization_id: Option<String>,
    azp: Option<String>,
    expires_in_seconds: Option<i64>,
    #[serde(default)]
    claims: Value,
}

async fn create_token(State(world): State<Arc<World>>, Json(new): Json<NewToken>) -> Answer {
    let mut instance = world.lock();
    let session = instance.session_for(&new.user_id)?;
    let azp = new.azp.as_deref().or(instance.azp.as_deref());
    let seconds = new.expires_in_seconds.unwrap_or(60);
    let jwt = match &new.organization_id {
        None => instance.session_token(&session, azp, seconds, &new.claims),
        Some(id) => instance.session_token_in(id, &session, azp, seconds, &new.claims)?,
    };
    Ok(Json(json!({ "jwt": jwt, "session_id": session.id })))
}

/// Whom a sign-in page lists: the oldest users.
async fn users(State(world): State<Arc<World>>) -> Answer {
    let instance = world.lock();
    let users = instance.store.users().take(N_LISTED).map(who);
    Ok(Json(json!({ "users": users.collect::<Vec<_>>() })))
}

fn who(user: &User) -> Value {
    let names = [user.first_name.as_deref(), user.last_name.as_deref()];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    json!({
        "id": user.id,
        "name": Some(name).filter(|name| !name.is_empty()),
        "email": user.primary_email_address(),
        "role": user.public_metadata.get("role"),
        "image_url": user.image_url,
        "banned": user.banned,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRole {
    role: Option<String>,
}

async fn set_role(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Json(SetRole { role }): Json<SetRole>,
) -> Answer {
    let patch = json!({ "public_metadata": { "role": role } });
    Ok(Json(json!(seed::edit(&mut world.lock(), &id, patch)?)))
}

async fn edit_user(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Json(patch): Json<Value>,
) -> Answer {
    Ok(Json(json!(seed::edit(&mut world.lock(), &id, patch)?)))
}

async fn accept_invitation(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    names: Option<Json<NewNames>>,
) -> Answer {
    let Json(names) = names.unwrap_or_default();
    Ok(Json(json!(world.lock().accept_invitation(&id, names)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetStrictPasswords {
    on: bool,
}

async fn set_strict_passwords(
    State(world): State<Arc<World>>,
    Json(SetStrictPasswords { on }): Json<SetStrictPasswords>,
) -> Answer {
    world.lock().passwords.is_strict = on;
    done()
}

#[expect(clippy::unnecessary_wraps, reason = "it ends handlers that can refuse")]
fn done() -> Answer {
    Ok(Json(json!({ "ok": true })))
}

/// A refusal in the envelope of the Backend API.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status: StatusCode = self.0.status;
        (status, Json(self.0.envelope(&ids::trace()))).into_response()
    }
}
