//! `/api/sync/…`: pulls a user, an organization or a membership from Clerk now, and tells what is
//! pending.

use std::time::{Duration, Instant};

use ::http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::db::users::{Account, Pending, Shown};
use shared::db::{memberships, organizations};
use shared::gate::Gate;
use shared::http::{Request, Response};
use shared::ids::{ClerkOrganizationId, ClerkUserId};
use shared::sync::{IfUnknown, Members, Pull, Pulled, Source};
use shared::telemetry::metrics;
use shared::{Error, Result, http, sync};

/// What is kept of the time for reading the answer from the database.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// The longest name of a role.
const MAX_ROLE_LEN: usize = 128;

const MEMBER_REQUIRED: Error = Error::Forbidden {
    code: "member_required",
    message: "Only a member of this organization, or an admin, may do this.",
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    Caller,
    User(&'a str),
    Organization(&'a str),
    Members(&'a str),
    Membership,
    Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MembershipInput {
    clerk_org_id: String,
    clerk_user_id: String,
    role: String,
}

#[derive(Deserialize)]
struct NoQuery {}

#[derive(Serialize)]
struct UserSynced {
    success: bool,
    user: Shown,
    organizations: Vec<organizations::Shown>,
    memberships: Vec<memberships::Shown>,
    #[serde(flatten)]
    pulled: Pulled,
}

#[derive(Serialize)]
struct OrganizationSynced {
    success: bool,
    organization: organizations::Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Members>,
    #[serde(flatten)]
    pulled: Pulled,
}

#[derive(Serialize)]
struct MembershipSynced {
    success: bool,
    membership: memberships::Shown,
    #[serde(flatten)]
    pulled: Pulled,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    user: Shown,
    organizations: Vec<organizations::Shown>,
    memberships: Vec<memberships::Shown>,
    organizations_confirmed_at: Option<Timestamp>,
    pending: Pending,
}

/// Answers one wish.
pub async fn handle(gate: &Gate, request: Request) -> Result<Response> {
    let rest = http::route(&request, "sync-user", "/api/sync")?;
    let route = Route::of(&rest).ok_or(Error::NO_SUCH_ROUTE)?;
    let (method, allow) = match route {
        Route::Status => (Method::GET, "GET"),
        _ => (Method::POST, "POST"),
    };
    if request.method != method {
        return Err(Error::MethodNotAllowed { allow });
    }
    let NoQuery {} = http::query(&request)?;
    if route != Route::Membership {
        http::no_body(&request)?;
    }
    match route {
        Route::Caller => sync_caller(gate, &request).await,
        Route::User(id) => sync_user(gate, id, &request).await,
        Route::Organization(id) => sync_organization(gate, id, &request).await,
        Route::Members(id) => sync_members(gate, id, &request).await,
        Route::Membership => sync_membership(gate, &request).await,
        Route::Status => show_status(gate, &request).await,
    }
}

impl<'a> Route<'a> {
    fn of(rest: &[&'a str]) -> Option<Self> {
        Some(match *rest {
            ["user"] | ["user", "full" | "organizations"] => Self::Caller,
            ["user", id] => Self::User(id),
            ["organization", id] => Self::Organization(id),
            ["organization", id, "members"] => Self::Members(id),
            ["membership"] => Self::Membership,
            ["status"] => Self::Status,
            _ => return None,
        })
    }
}

/// All that Clerk has of the caller: whoever asks for a part of it is glad of the rest.
async fn sync_caller(gate: &Gate, request: &Request) -> Result<Response> {
    let asking = gate.asking(request).await?;
    let (pulled, account) = pull(gate, request)?.all_of_caller(&asking).await?;
    note(pulled, request);
    user_synced(pulled, account)
}

async fn sync_user(gate: &Gate, id: &str, request: &Request) -> Result<Response> {
    gate.admin(request).await?;
    let id = parse_user(id, "clerkUserId")?;
    let pull = pull(gate, request)?;
    let pulled = pull.all_of_user(&id, IfUnknown::Refuse).await?;
    note(pulled, request);
    user_synced(pulled, pull.account(&id).await?)
}

async fn sync_organization(gate: &Gate, id: &str, request: &Request) -> Result<Response> {
    let id = require_member(gate, id, request).await?;
    let pull = pull(gate, request)?;
    let pulled = pull.organization(&id).await?;
    note(pulled, request);
    http::ok(&OrganizationSynced {
        success: true,
        organization: pull.shown_organization(&id).await?,
        members: None,
        pulled,
    })
}

async fn sync_members(gate: &Gate, id: &str, request: &Request) -> Result<Response> {
    let id = require_member(gate, id, request).await?;
    let pull = pull(gate, request)?;
    let (pulled, members) = pull.members_of_organization(&id).await?;
    note(pulled, request);
    let synced = OrganizationSynced {
        success: true,
        organization: pull.shown_organization(&id).await?,
        members: Some(members),
        pulled,
    };
    if pulled.is_complete {
        http::ok(&synced)
    } else {
        http::accepted(&synced)
    }
}

async fn sync_membership(gate: &Gate, request: &Request) -> Result<Response> {
    gate.admin(request).await?;
    let input: MembershipInput = http::json(request)?;
    let organization = parse_organization(&input.clerk_org_id)?;
    let user = parse_user(&input.clerk_user_id, "clerkUserId")?;
    let role = parse_role(&input.role)?;
    let pull = pull(gate, request)?;
    let pulled = pull.membership(&organization, &user, role).await?;
    note(pulled, request);
    http::ok(&MembershipSynced {
        success: true,
        membership: pull.shown_membership(&organization, &user).await?,
        pulled,
    })
}

async fn show_status(gate: &Gate, request: &Request) -> Result<Response> {
    let loaded = gate.caller(request).await?;
    let account = gate.db()?.account(&loaded.asking.clerk_id).await?;
    let account = account.ok_or(Error::NO_SUCH_USER)?;
    http::ok(&Status {
        user: account.user,
        organizations: account.organizations,
        memberships: account.memberships,
        organizations_confirmed_at: account.organizations_confirmed_at,
        pending: account.pending,
    })
}

/// Lets in the members of an organization, and admins.
async fn require_member(gate: &Gate, id: &str, request: &Request) -> Result<ClerkOrganizationId> {
    let loaded = gate.caller(request).await?;
    let id = parse_organization(id)?;
    let acts_in_it = |organization: &sync::LoadedOrganization| organization.row.clerk_id == id;
    if loaded.organization.as_ref().is_some_and(acts_in_it) {
        return Ok(id);
    }
    let user = &loaded.asking.clerk_id;
    if gate.db()?.shown_membership(&id, user).await?.is_some() {
        return Ok(id);
    }
    match sync::require_admin(loaded) {
        Ok(_) => Ok(id),
        Err(_) => Err(MEMBER_REQUIRED),
    }
}

fn pull<'a>(gate: &'a Gate, request: &Request) -> Result<Pull<'a>> {
    let now = Instant::now();
    let time_left = request.deadline.saturating_duration_since(now);
    Ok(Pull {
        clerk: gate.clerk()?,
        db: gate.db()?,
        until: now + time_left.saturating_sub(ANSWER_TIME),
    })
}

/// Tells the log and the metrics what came of it.
fn note(pulled: Pulled, request: &Request) {
    metrics::sync_result(pulled.source == Source::Clerk);
    tracing::info!(
        request.id = request.id,
        sync.source = ?pulled.source,
        sync.is_verified = pulled.is_verified,
        sync.is_complete = pulled.is_complete,
        "pulled from Clerk"
    );
}

fn user_synced(pulled: Pulled, account: Account) -> Result<Response> {
    http::ok(&UserSynced {
        success: true,
        user: account.user,
        organizations: account.organizations,
        memberships: account.memberships,
        pulled,
    })
}

fn parse_user(text: &str, field: &str) -> Result<ClerkUserId> {
    let message = "A user is named by the Clerk id (user_…) here.";
    text.parse()
        .map_err(|_| Error::unprocessable("invalid_user_id", message, field))
}

fn parse_organization(text: &str) -> Result<ClerkOrganizationId> {
    let message = "An organization is named by the Clerk id (org_…) here.";
    text.parse()
        .map_err(|_| Error::unprocessable("invalid_organization_id", message, "clerkOrgId"))
}

/// Which roles there are is Clerk's to say; a role is a word, with or without the prefix `org:`.
fn parse_role(text: &str) -> Result<&str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
    if !text.is_empty() && text.len() <= MAX_ROLE_LEN && text.bytes().all(is_word) {
        return Ok(text);
    }
    let message = "A role in an organization is a word, such as org:member.";
    Err(Error::unprocessable("invalid_role", message, "role"))
}
