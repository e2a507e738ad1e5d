//! `PATCH /api/admin/users/{userId}` and `PATCH /api/admin/users`: sets roles.

use ::http::Method;
use serde::{Deserialize, Serialize};
use shared::db::Role;
use shared::db::users::{ClerkSync, Shown, UnknownRole};
use shared::gate::Gate;
use shared::http::{Request, Response};
use shared::ids::UserRef;
use shared::{Error, Result, http, sync};

/// The most users whose role is set at once.
const MAX_USERS: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    role: String,
    expected_role: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Many {
    user_ids: Vec<String>,
    role: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneSet {
    success: bool,
    user: Shown,
    clerk_sync: ClerkSync,
}

#[derive(Serialize)]
struct ManySet {
    results: Vec<ResultOfOne>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultOfOne {
    user_id: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    clerk_sync: Option<ClerkSync>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Sets the role of one user, or of many.
pub async fn handle(gate: &Gate, request: Request) -> Result<Response> {
    let rest = http::route(&request, "update-role", "/api/admin/users")?;
    if rest.len() > 1 {
        return Err(Error::NO_SUCH_ROUTE);
    }
    if request.method != Method::PATCH {
        let allow = "GET, PATCH";
        return Err(Error::MethodNotAllowed { allow });
    }
    let admin = gate.admin(&request).await?;
    match rest.first() {
        Some(user_id) => set_one(gate, &admin, user_id, &request).await,
        None => set_many(gate, &admin, &request).await,
    }
}

async fn set_one(
    gate: &Gate,
    admin: &sync::Admin,
    user_id: &str,
    request: &Request,
) -> Result<Response> {
    let input: One = http::json(request)?;
    let user = parse_user(user_id)?;
    let role = parse_role(&input.role, "role")?;
    let expected = input
        .expected_role
        .as_deref()
        .map(|role| parse_role(role, "expectedRole"))
        .transpose()?;
    let (clerk, db) = (gate.clerk()?, gate.db()?);
    let set = sync::set_role(clerk, db, admin, &user, role, expected, request.deadline).await?;
    let sync::RoleSet { user, clerk_sync } = set;
    http::ok(&OneSet {
        success: true,
        user,
        clerk_sync,
    })
}

async fn set_many(gate: &Gate, admin: &sync::Admin, request: &Request) -> Result<Response> {
    let input: Many = http::json(request)?;
    let role = parse_role(&input.role, "role")?;
    if input.user_ids.is_empty() || input.user_ids.len() > MAX_USERS {
        let message = format!("userIds takes 1 to {MAX_USERS} ids.");
        return Err(Error::unprocessable("invalid_body", message, "userIds"));
    }
    let (clerk, db) = (gate.clerk()?, gate.db()?);
    // An id that cannot be one is refused alone, not with all the others.
    let parsed: Vec<Option<UserRef>> = input.user_ids.iter().map(|id| id.parse().ok()).collect();
    let users: Vec<UserRef> = parsed.iter().flatten().cloned().collect();
    let set = sync::set_roles(clerk, db, admin, &users, role, request.deadline).await?;
    let mut set = set.into_iter();
    let result = |(user_id, parsed): (String, Option<UserRef>)| {
        let result = parsed
            .and_then(|_| set.next())
            .unwrap_or_else(|| Err(Error::invalid_user_id()));
        result_of_one(user_id, result)
    };
    http::ok(&ManySet {
        results: input.user_ids.into_iter().zip(parsed).map(result).collect(),
    })
}

fn result_of_one(user_id: String, result: sync::RoleResult) -> ResultOfOne {
    match result {
        Ok(clerk_sync) => ResultOfOne {
            user_id,
            ok: true,
            clerk_sync: Some(clerk_sync),
            code: None,
            error: None,
        },
        Err(error) => ResultOfOne {
            user_id,
            ok: false,
            clerk_sync: None,
            code: Some(error.status_and_code().1),
            error: Some(error.to_string()),
        },
    }
}

fn parse_user(text: &str) -> Result<UserRef> {
    text.parse().map_err(|_| Error::invalid_user_id())
}

fn parse_role(text: &str, field: &str) -> Result<Role> {
    text.parse().map_err(|error: UnknownRole| {
        Error::unprocessable("invalid_role", error.to_string(), field)
    })
}
