//! `POST /api/update-clerk-user`: writes the names and the public metadata of one user to Clerk, so
//! that the secret key never leaves the server.

use ::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::db::profile_edits::Columns;
use shared::gate::Gate;
use shared::http::{Request, Response};
use shared::ids::{ClerkUserId, UserRef};
use shared::profile::{self, Invalid, three_valued};
use shared::sync::{DatabaseSync, EditedInClerk, ProfileEdit};
use shared::{Error, Result, http, sync};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    clerk_id: String,
    updates: Updates,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "left out, null, and a value are three things"
)]
struct Updates {
    #[serde(default, with = "three_valued")]
    first_name: Option<Option<String>>,
    #[serde(default, with = "three_valued")]
    last_name: Option<Option<String>>,
    public_metadata: Option<Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    success: bool,
    user: UpdatedUser,
    database_sync: DatabaseSync,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UpdatedUser {
    id: ClerkUserId,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// Updates one user in Clerk: anybody, for an admin; for everybody else their own names.
pub async fn handle(gate: &Gate, request: Request) -> Result<Response> {
    let rest = http::route(&request, "update-clerk-user", "/api/update-clerk-user")?;
    if !rest.is_empty() {
        return Err(Error::NO_SUCH_ROUTE);
    }
    if request.method != Method::POST {
        return Err(Error::MethodNotAllowed { allow: "POST" });
    }
    let clerk = gate.clerk()?;
    let caller = gate.caller(&request).await?;
    let (clerk_id, edit) = parse(&request)?;
    let editor = sync::require_editor(caller, &UserRef::Clerk(clerk_id.clone()))?;
    let edited = sync::edit_in_clerk(
        clerk,
        gate.db()?,
        &editor,
        &clerk_id,
        &edit,
        request.deadline,
    );
    let EditedInClerk {
        user,
        database_sync,
    } = edited.await?;
    let body = Updated {
        success: true,
        user: UpdatedUser {
            id: user.id,
            first_name: user.first_name,
            last_name: user.last_name,
        },
        database_sync,
    };
    match database_sync {
        DatabaseSync::Synced => http::ok(&body),
        DatabaseSync::Pending => http::accepted(&body),
    }
}

fn parse(request: &Request) -> Result<(ClerkUserId, ProfileEdit)> {
    let Input { clerk_id, updates } = http::json(request).map_err(in_our_words)?;
    let Ok(clerk_id) = clerk_id.parse() else {
        return Err(invalid(
            "clerkId",
            "clerkId is not a Clerk user id (user_…).",
        ));
    };
    let columns = columns(updates).map_err(refused)?;
    if columns == Columns::default() {
        return Err(invalid(
            "updates",
            "updates takes firstName, lastName and publicMetadata, at least one of them.",
        ));
    }
    let edit = ProfileEdit {
        columns,
        password: None,
    };
    Ok((clerk_id, edit))
}

fn columns(updates: Updates) -> Result<Columns, Invalid> {
    let name = |field, name: Option<Option<String>>| {
        let parse = |name: Option<String>| profile::name(field, name.as_deref());
        name.map(parse).transpose()
    };
    if let Some(bag) = &updates.public_metadata {
        profile::public_metadata("updates.publicMetadata", bag)?;
    }
    Ok(Columns {
        first_name: name("updates.firstName", updates.first_name)?,
        last_name: name("updates.lastName", updates.last_name)?,
        public_metadata: updates.public_metadata,
        ..Columns::default()
    })
}

/// A body that cannot be read is update data that is not valid.
fn in_our_words(error: Error) -> Error {
    match error {
        Error::Unprocessable {
            message, fields, ..
        } => Error::InvalidUpdate {
            detail: message,
            fields,
        },
        error => error,
    }
}

fn refused(problem: Invalid) -> Error {
    if problem.code == "role_not_allowed" {
        return Error::unprocessable(problem.code, problem.message, problem.field);
    }
    invalid(problem.field, problem.message)
}

fn invalid(field: &str, detail: impl Into<String>) -> Error {
    Error::InvalidUpdate {
        detail: detail.into(),
        fields: vec![field.to_owned()],
    }
}
