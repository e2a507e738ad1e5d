//! `/api/admin/sync/reconcile…`: begins full comparisons with Clerk, shows how far they are and what
//! they found, and has them mend it.

use ::http::Method;
use serde::{Deserialize, Serialize};
use shared::db::Db;
use shared::db::drift::{self, Class, Filter, Plan};
use shared::db::runs::{Approval, Mode, NewRun, Shown};
use shared::http::{Request, Response};
use shared::sync::Admin;
use shared::{Error, Result, http};
use uuid::Uuid;

use crate::{App, NoQuery, parse_limit, refuse_values};

/// How many runs are listed.
const N_RUNS: i64 = 20;

const NO_SUCH_RUN: Error = Error::NotFound {
    code: "run_not_found",
    message: "There is no such run.",
};
const UNDER_WAY: Error = Error::Conflict {
    code: "run_under_way",
    message: "A run is under way: GET /api/admin/sync/reconcile shows it; wait for its end, or DELETE it.",
};
const NOT_REPAIRABLE: Error = Error::Conflict {
    code: "run_not_repairable",
    message: "Only the last run can be repaired, when it has come to a result: begin a new one.",
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    All,
    One(Uuid),
    Drift(Uuid),
    Repair(Uuid),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BeginInput {
    mode: Mode,
    classes: Option<Vec<Class>>,
    max_deletions: Option<u32>,
    max_demotions: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RepairInput {
    classes: Option<Vec<Class>>,
    max_deletions: Option<u32>,
    max_demotions: Option<u32>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
struct DriftQuery {
    class: Option<Class>,
    state: Option<drift::State>,
    object: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Runs {
    runs: Vec<Shown>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DriftPage {
    drift: Vec<drift::Shown>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    dry_run: bool,
    #[serde(flatten)]
    plan: Plan,
}

/// Answers what concerns comparisons; `rest` is the path below `reconcile`.
pub(crate) async fn handle(app: &App, request: &Request, rest: &[&str]) -> Result<Response> {
    let route = Route::of(rest).ok_or(Error::NO_SUCH_ROUTE)?;
    let allow = route.methods();
    if !allow.split(", ").any(|it| it == request.method.as_str()) {
        return Err(Error::MethodNotAllowed { allow });
    }
    let admin = app.gate.admin(request).await?;
    let db = app.gate.db()?;
    let is_read = request.method == Method::GET;
    match route {
        Route::Drift(run) => show_drift(db, run, request).await,
        Route::Repair(run) => repair(app, db, run, &admin, request).await,
        Route::All if !is_read => begin(app, db, &admin, request).await,
        Route::One(run) if !is_read => cancel(db, run, &admin, request).await,
        Route::All => {
            let NoQuery {} = http::query(request)?;
            let runs = db.shown_runs(N_RUNS).await?;
            http::ok(&Runs { runs })
        }
        Route::One(run) => {
            let NoQuery {} = http::query(request)?;
            http::ok(&shown(db, run).await?)
        }
    }
}

impl Route {
    fn of(rest: &[&str]) -> Option<Self> {
        let run = |id: &str| id.parse::<Uuid>().ok();
        Some(match *rest {
            [] => Self::All,
            [id] => Self::One(run(id)?),
            [id, "drift"] => Self::Drift(run(id)?),
            [id, "repair"] => Self::Repair(run(id)?),
            _ => return None,
        })
    }

    fn methods(self) -> &'static str {
        match self {
            Self::All => "GET, POST",
            Self::One(_) => "GET, DELETE",
            Self::Drift(_) => "GET",
            Self::Repair(_) => "POST",
        }
    }
}

/// The run is worked on by the next ticks of `reconcile`.
async fn begin(app: &App, db: &Db, admin: &Admin, request: &Request) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    let input: BeginInput = http::json(request)?;
    let limits = (input.classes, input.max_deletions, input.max_demotions);
    let is_explicit = limits != (None, None, None);
    if is_explicit && input.mode == Mode::Report {
        let message = "A report repairs nothing: it takes no classes and no ceilings.";
        return Err(Error::unprocessable("invalid_body", message, "mode"));
    }
    let new = NewRun {
        mode: input.mode,
        actor: admin.asking.clerk_id.to_string(),
        request_id: Some(request.id.clone()),
        approval: approval(app, limits, is_explicit)?,
    };
    let run = db.begin_run(&new).await?.ok_or(UNDER_WAY)?;
    tracing::info!(
        request.id = request.id,
        admin.clerk_id = %admin.asking.clerk_id,
        run.id = %run,
        "an admin began a comparison with Clerk"
    );
    http::accepted(&shown(db, run).await?)
}

/// An approval is itself a ceiling (R15).
async fn repair(
    app: &App,
    db: &Db,
    run: Uuid,
    admin: &Admin,
    request: &Request,
) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    let input: RepairInput = http::json(request)?;
    shown(db, run).await?;
    let limits = (input.classes, input.max_deletions, input.max_demotions);
    let approval = approval(app, limits, true)?;
    if input.dry_run {
        let plan = db.plan(run, &approval).await?;
        return http::ok(&DryRun {
            dry_run: true,
            plan,
        });
    }
    if !db.approve_run(run, &approval).await? {
        let is_under_way = db.shown_runs(1).await?.first().is_some_and(Shown::is_open);
        return Err(if is_under_way {
            UNDER_WAY
        } else {
            NOT_REPAIRABLE
        });
    }
    tracing::info!(
        request.id = request.id,
        admin.clerk_id = %admin.asking.clerk_id,
        run.id = %run,
        "an admin approved a repair"
    );
    http::accepted(&shown(db, run).await?)
}

async fn cancel(db: &Db, run: Uuid, admin: &Admin, request: &Request) -> Result<Response> {
    let NoQuery {} = http::query(request)?;
    http::no_body(request)?;
    shown(db, run).await?;
    if db.cancel_run(run).await? {
        tracing::info!(
            request.id = request.id,
            admin.clerk_id = %admin.asking.clerk_id,
            run.id = %run,
            "an admin ended a comparison with Clerk"
        );
    }
    http::ok(&shown(db, run).await?)
}

async fn show_drift(db: &Db, run: Uuid, request: &Request) -> Result<Response> {
    let query: DriftQuery = http::query(request)?;
    let limit = parse_limit(query.limit)?;
    let after = parse_place(query.cursor.as_deref())?;
    shown(db, run).await?;
    let filter = Filter {
        class: query.class,
        state: query.state,
        clerk_id: query.object.as_deref(),
    };
    let mut found = db
        .shown_drift(run, filter, after, limit + 1)
        .await
        .map_err(refuse_values)?;
    let has_more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        found.pop();
    }
    let last = found.last().filter(|_| has_more);
    http::ok(&DriftPage {
        next_cursor: last.map(|(priority, shown)| format!("{priority}-{}", shown.id)),
        drift: found.into_iter().map(|(_, shown)| shown).collect(),
    })
}

async fn shown(db: &Db, run: Uuid) -> Result<Shown> {
    db.shown_run(run).await?.ok_or(NO_SUCH_RUN)
}

fn approval(
    app: &App,
    (classes, max_deletions, max_demotions): (Option<Vec<Class>>, Option<u32>, Option<u32>),
    is_explicit: bool,
) -> Result<Approval> {
    Ok(Approval {
        classes,
        max_deletions,
        max_demotions,
        is_explicit,
        ..app.brake.clone()?.approval()
    })
}

/// The place after which a page begins: how urgent, and which.
fn parse_place(cursor: Option<&str>) -> Result<(i16, i64)> {
    let Some(cursor) = cursor else {
        return Ok((0, 0));
    };
    let place = cursor.split_once('-').and_then(|(priority, id)| {
        let place = (priority.parse().ok()?, id.parse().ok()?);
        Some(place)
    });
    place.ok_or_else(|| {
        let message = "The cursor is not one that this list gave out.";
        Error::unprocessable("invalid_query", message, "cursor")
    })
}
