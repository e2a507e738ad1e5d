//! `/api/users/{userId}`: edits profiles, in Clerk first, and gives users other addresses by
//! invitation.

use ::http::Method;
use serde::{Deserialize, Serialize};
use shared::clerk::Password;
use shared::db::email_changes;
use shared::db::profile_edits::Columns;
use shared::db::users::Shown;
use shared::gate::Gate;
use shared::http::{Request, Response};
use shared::ids::UserRef;
use shared::profile::{self, Invalid, three_valued};
use shared::sync::{DatabaseSync, Edited, ProfileEdit};
use shared::{Error, Result, http, sync};

/// What callers may write. It holds a password, so it has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::option_option,
    reason = "left out, null, and a value are three things"
)]
struct Input {
    #[serde(default, with = "three_valued")]
    first_name: Option<Option<String>>,
    #[serde(default, with = "three_valued")]
    last_name: Option<Option<String>>,
    #[serde(default, with = "three_valued")]
    name: Option<Option<String>>,
    #[serde(default, with = "three_valued")]
    email: Option<Option<String>>,
    #[serde(default, with = "three_valued")]
    builder_group_id: Option<Option<String>>,
    password: Option<String>,
}

#[derive(Deserialize)]
struct EmailChangeInput {
    email: String,
}

#[derive(Deserialize)]
struct NoQuery {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    success: bool,
    user: Shown,
    database_sync: DatabaseSync,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmailChange {
    success: bool,
    email_change: email_changes::Shown,
}

/// Edits one profile, or looks after its change of address.
pub async fn handle(gate: &Gate, request: Request) -> Result<Response> {
    let rest = http::route(&request, "update-user", "/api/users")?;
    match rest.as_slice() {
        [user_id] => match request.method {
            Method::PATCH => edit(gate, user_id, &request).await,
            _ => Err(Error::MethodNotAllowed { allow: "PATCH" }),
        },
        [user_id, "email-change"] => email_change(gate, user_id, &request).await,
        _ => Err(Error::NO_SUCH_ROUTE),
    }
}

async fn edit(gate: &Gate, user_id: &str, request: &Request) -> Result<Response> {
    let (clerk, db) = (gate.clerk()?, gate.db()?);
    let caller = gate.caller(request).await?;
    let user = parse_user(user_id)?;
    let edit = parse_edit(http::json(request)?)?;
    let editor = sync::require_editor(caller, &user)?;
    let edited = sync::edit_profile(clerk, db, &editor, &user, &edit, request.deadline);
    let Edited {
        user,
        database_sync,
    } = edited.await?;
    let body = Updated {
        success: true,
        user,
        database_sync,
    };
    match database_sync {
        DatabaseSync::Synced => http::ok(&body),
        DatabaseSync::Pending => http::accepted(&body),
    }
}

async fn email_change(gate: &Gate, user_id: &str, request: &Request) -> Result<Response> {
    if ![Method::GET, Method::POST, Method::DELETE].contains(&request.method) {
        return Err(Error::MethodNotAllowed {
            allow: "GET, POST, DELETE",
        });
    }
    let (clerk, db) = (gate.clerk()?, gate.db()?);
    let admin = gate.admin(request).await?;
    let user = parse_user(user_id)?;
    let deadline = request.deadline;
    let NoQuery {} = http::query(request)?;
    let email_change = match request.method {
        Method::POST => {
            let EmailChangeInput { email } = http::json(request)?;
            let email = profile::email("email", &email).map_err(refused)?;
            sync::request_email_change(clerk, db, &admin, &user, &email, deadline).await?
        }
        Method::DELETE => {
            http::no_body(request)?;
            sync::revoke_email_change(clerk, db, &user, deadline).await?
        }
        _ => sync::show_email_change(db, &user).await?,
    };
    let body = EmailChange {
        success: true,
        email_change,
    };
    if request.method == Method::POST {
        http::accepted(&body)
    } else {
        http::ok(&body)
    }
}

fn parse_user(user_id: &str) -> Result<UserRef> {
    user_id.parse().map_err(|_| Error::invalid_user_id())
}

fn parse_edit(input: Input) -> Result<ProfileEdit> {
    let Input {
        first_name,
        last_name,
        name,
        email,
        builder_group_id,
        password,
    } = input;
    if name.is_some() && (first_name.is_some() || last_name.is_some()) {
        let message = "Give either name, or firstName and lastName.";
        return Err(Error::unprocessable("invalid_name", message, "name"));
    }
    let parse = |field, text: Option<Option<String>>| {
        let parse = |text: Option<String>| profile::name(field, text.as_deref());
        text.map(parse).transpose().map_err(refused)
    };
    let (mut first_name, mut last_name) = (
        parse("firstName", first_name)?,
        parse("lastName", last_name)?,
    );
    if let Some(name) = name {
        let (first, last) = profile::names("name", name.as_deref()).map_err(refused)?;
        (first_name, last_name) = (Some(first), Some(last));
    }
    let email = email.map(|email| profile::email("email", &email.unwrap_or_default()));
    let group =
        builder_group_id.map(|group| profile::builder_group_id("builderGroupId", group.as_deref()));
    let edit = ProfileEdit {
        columns: Columns {
            first_name,
            last_name,
            email: email.transpose().map_err(refused)?,
            builder_group_id: group.transpose().map_err(refused)?,
            public_metadata: None,
        },
        password: password.map(Password::new),
    };
    if edit.columns == Columns::default() && edit.password.is_none() {
        return Err(Error::Unprocessable {
            code: "nothing_to_change",
            message: "Give at least one of firstName, lastName, name, email, builderGroupId and \
                      password."
                .to_owned(),
            fields: Vec::new(),
        });
    }
    Ok(edit)
}

fn refused(problem: Invalid) -> Error {
    Error::unprocessable(problem.code, problem.message, problem.field)
}
