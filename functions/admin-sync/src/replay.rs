//! `POST /api/admin/sync/replay`: takes in again what is dead or parked.

use jiff::Timestamp;
use serde::Deserialize;
use shared::db::inbox::{Outcome, WaitingFilter, Which};
use shared::http::{Request, Response};
use shared::ids::SvixId;
use shared::sync::{Admin, MAX_REPLAYED, Replay};
use shared::{Error, Result, http, sync};

use crate::events::parse_object;
use crate::{App, NoQuery, parse_cursor, refuse_values};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    svix_ids: Option<Vec<String>>,
    filter: Option<FilterInput>,
    #[serde(default)]
    dry_run: bool,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct FilterInput {
    outcome: Option<Outcome>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    object: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

pub(crate) async fn replay(app: &App, admin: &Admin, request: &Request) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    let input: Input = http::json(request)?;
    let replay = Replay {
        which: parse_which(input.svix_ids, input.filter)?,
        after: parse_cursor(input.cursor.as_deref())?,
        is_dry_run: input.dry_run,
    };
    let (clerk, db) = (app.gate.clerk().ok(), app.gate.db()?);
    let instance_id = app.instance_id.as_deref();
    let replayed = sync::replay(clerk, db, instance_id, &replay, request.deadline).await;
    let replayed = replayed.map_err(refuse_values)?;
    if !replay.is_dry_run {
        tracing::info!(
            request.id = request.id,
            admin.clerk_id = %admin.asking.clerk_id,
            replay.n_replayed = replayed.n_replayed,
            replay.n_remaining = replayed.n_remaining,
            "an admin replayed deliveries"
        );
    }
    http::ok(&replayed)
}

fn parse_which(svix_ids: Option<Vec<String>>, filter: Option<FilterInput>) -> Result<Which> {
    match (svix_ids, filter) {
        (Some(svix_ids), None) => Ok(Which::Ids(parse_ids(svix_ids)?)),
        (None, Some(filter)) => Ok(Which::Filter(parse_filter(filter)?)),
        _ => Err(Error::Unprocessable {
            code: "invalid_body",
            message: "Say which events: either svixIds or filter.".to_owned(),
            fields: vec!["svixIds".to_owned(), "filter".to_owned()],
        }),
    }
}

fn parse_ids(svix_ids: Vec<String>) -> Result<Vec<SvixId>> {
    let message = format!("svixIds takes 1 to {MAX_REPLAYED} message ids.");
    let invalid = || invalid("svixIds", &message);
    if svix_ids.is_empty() || svix_ids.len() > MAX_REPLAYED {
        return Err(invalid());
    }
    svix_ids
        .into_iter()
        .map(|id| SvixId::try_from(id).map_err(|_| invalid()))
        .collect()
}

fn parse_filter(filter: FilterInput) -> Result<WaitingFilter> {
    let can_wait = |outcome: &Outcome| matches!(outcome, Outcome::Dead | Outcome::Parked);
    if filter.outcome.as_ref().is_some_and(|it| !can_wait(it)) {
        let message = "outcome takes dead or parked: nothing else can be replayed.";
        return Err(invalid("filter.outcome", message));
    }
    Ok(WaitingFilter {
        outcome: filter.outcome,
        event_type: filter.event_type,
        object: filter
            .object
            .map(|text| parse_object(text, "invalid_body", "filter.object"))
            .transpose()?,
        since: filter.since,
        until: filter.until,
    })
}

fn invalid(field: &str, message: &str) -> Error {
    Error::unprocessable("invalid_body", message, field)
}
