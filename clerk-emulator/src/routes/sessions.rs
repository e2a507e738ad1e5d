//! Sessions and the tokens made for them.

use serde_json::{Value, json};

use super::{Answer, Call, list as list_answer, ok};
use crate::entities::Session;
use crate::error::Error;
use crate::instance::Instance;

const LIFETIME_SECONDS: i64 = 60;

pub(super) fn list(instance: &Instance, call: &Call) -> Answer {
    let is_wanted =
        |name: &str, value: &str| call.query.first(name).is_none_or(|wanted| wanted == value);
    let mut sessions: Vec<&Session> = instance
        .store
        .sessions
        .values()
        .filter(|session| {
            is_wanted("user_id", &session.user_id)
                && is_wanted("client_id", &session.client_id)
                && is_wanted("status", session.status)
        })
        .collect();
    sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
    list_answer(call, &sessions)
}

pub(super) fn create(instance: &mut Instance, call: &Call) -> Answer {
    let user_id = call.params()?.required_string("user_id")?;
    ok(&instance.create_session(&user_id)?)
}

pub(super) fn read(instance: &mut Instance, id: &str) -> Answer {
    ok(instance.store.session_mut(id)?)
}

pub(super) fn revoke(instance: &mut Instance, id: &str) -> Answer {
    let now = instance.now();
    let session = instance.store.session_mut(id)?;
    session.status = "revoked";
    session.updated_at = session.updated_at.max(now);
    ok(session)
}

pub(super) fn create_token(instance: &mut Instance, call: &Call, id: &str) -> Answer {
    let seconds = call.params()?.int("expires_in_seconds")?.value();
    let seconds = seconds.unwrap_or(LIFETIME_SECONDS);
    if !(30..=315_360_000).contains(&seconds) {
        return Err(Error::wrong_value(
            "expires_in_seconds",
            "It must be between 30 and 315360000.",
        ));
    }
    let session = instance.store.session_mut(id)?.clone();
    if session.status != "active" {
        return Err(Error::not_found("session", id));
    }
    // No browser took part, so there is no origin and no `azp`.
    let jwt = instance.session_token(&session, None, seconds, &Value::Null);
    ok(&json!({ "object": "token", "jwt": jwt }))
}
