//! `explain`: why an event did what it did, or all that happened to something.

use admin_sync::explain;
use serde_json::{Map, Value, json};
use shared::db::Db;
use shared::db::history::{Entry, Subject, What};
use shared::db::inbox::{Explained, Outcome};
use shared::ids::SvixId;

use crate::End;
use crate::output::Output;
use crate::setup::{Error, Setup};
use crate::words;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An event (msg_…), a user (user_… or the UUID of the row), an organization (org_…) or a
    /// membership (orgmem_…)
    id: String,
    /// How many entries of a history are shown: the newest
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
}

pub(crate) async fn run(setup: &Setup, output: Output, args: &Args) -> Result<End, Error> {
    let db = setup.db()?;
    match args.id.parse::<Subject>() {
        Ok(subject) => history(&db, output, &subject, args).await,
        Err(_) => event(&db, output, &args.id).await,
    }
}

async fn event(db: &Db, output: Output, id: &str) -> Result<End, Error> {
    let wrong = || {
        Error::WrongUse(
            "An event is named by its svix id (msg_…), a user by user_… or the UUID of the row, an \
             organization by org_…, a membership by orgmem_…."
                .to_owned(),
        )
    };
    let svix_id = SvixId::try_from(id.to_owned()).map_err(|_| wrong())?;
    let unknown = || Error::Refused(format!("No event {svix_id} was received."));
    let explained = db.explained_event(&svix_id).await?.ok_or_else(unknown)?;
    output.answer(&document(&explained), || text(&explained))?;
    Ok(End::Good)
}

/// In the form of `GET /api/admin/sync/events/{svixId}`.
fn document(explained: &Explained) -> Value {
    let event = &explained.event;
    json!({
        "event": event,
        "explanation": explain::delivery(event),
        "compared": {
            "ourVersion": event.detail.our_version,
            "clerkVersion": event.detail.clerk_version,
            "wasClerkRead": event.detail.read_from_clerk,
        },
        "changed": event.detail.changed,
        "roleChanges": explained.role_changes,
        "payload": {
            "isKept": event.is_payload_kept,
            "keys": explained.payload_keys,
            "canBeReplayed": can_be_replayed(explained),
        },
    })
}

fn can_be_replayed(explained: &Explained) -> bool {
    let event = &explained.event;
    event.is_payload_kept && matches!(event.outcome, Outcome::Parked | Outcome::Dead)
}

fn text(explained: &Explained) -> String {
    let event = &explained.event;
    let about = event.object_id.as_deref().unwrap_or("nothing that is told");
    let version = |version: Option<i64>| version.map_or("none".to_owned(), |it| it.to_string());
    let mut lines = vec![
        ("event", event.svix_id.clone()),
        ("what", format!("{} about {about}", event.event_type)),
        ("outcome", outcome(event.outcome, event.rule.as_deref())),
        ("why", explain::delivery(event)),
        ("received", words::time(event.received_at)),
    ];
    lines.extend(event.event_at.map(|at| ("in Clerk", words::time(at))));
    if event.detail.our_version.is_some() || event.detail.clerk_version.is_some() {
        let ours = version(event.detail.our_version);
        let clerk = version(event.detail.clerk_version);
        lines.push(("versions", format!("{ours} here, {clerk} in Clerk")));
    }
    let changed = &event.detail.changed;
    if !changed.is_empty() {
        lines.push(("changed", changed.join(", ")));
    }
    lines.extend(event.last_error.clone().map(|error| ("error", error)));
    if event.n_attempts > 1 {
        lines.push(("tried", format!("{} times", event.n_attempts)));
    }
    if can_be_replayed(explained) {
        lines.push(("replay", format!("scripts/sync replay {}", event.svix_id)));
    }
    let printable = |(name, text): (&'static str, String)| (name, words::printable(&text));
    words::pairs(&lines.into_iter().map(printable).collect::<Vec<_>>())
}

fn outcome(outcome: Outcome, rule: Option<&str>) -> String {
    match rule {
        Some(rule) => format!("{} (rule {rule})", outcome.as_str()),
        None => outcome.as_str().to_owned(),
    }
}

async fn history(db: &Db, output: Output, subject: &Subject, args: &Args) -> Result<End, Error> {
    let unknown = || Error::Refused(format!("Nothing is known of {}.", args.id));
    let page = db.history(subject, None, i64::from(args.limit)).await?;
    let page = page.ok_or_else(unknown)?;
    let is_cut = page.next.is_some();
    let mut entries = page.entries;
    entries.reverse();
    let told: Vec<_> = entries.iter().map(entry).collect();
    let document = json!({ "id": args.id, "history": told, "isCut": is_cut });
    output.answer(&document, || {
        let mut lines = Vec::new();
        if is_cut {
            lines.push("There is more before this: --limit shows it.".to_owned());
        }
        lines.extend(entries.iter().map(line));
        if lines.is_empty() {
            lines.push("It is here, and nothing happened to it that is on record.".to_owned());
        }
        lines.join("\n")
    })?;
    Ok(End::Good)
}

fn line(entry: &Entry) -> String {
    let svix_id = match &entry.what {
        What::Delivery(event) => format!(" [{}]", event.svix_id),
        _ => String::new(),
    };
    let line = format!(
        "{}  {}{svix_id}",
        words::time(entry.at),
        explain::what(&entry.what)
    );
    words::printable(&line)
}

fn entry(entry: &Entry) -> Value {
    let mut fields = Map::new();
    fields.insert("at".to_owned(), json!(entry.at));
    fields.insert("summary".to_owned(), json!(explain::what(&entry.what)));
    let changed = match &entry.what {
        What::Delivery(event) => Some(&event.detail.changed),
        What::ProfileEdit(edit) => Some(&edit.fields),
        What::Drift(drift) => Some(&drift.fields),
        What::RoleChange(_) | What::EmailChange(_) | What::Push(_) => None,
    };
    if let Some(changed) = changed {
        fields.insert("changed".to_owned(), json!(changed));
    }
    if let Value::Object(what) = json!(entry.what) {
        fields.extend(what);
    }
    Value::Object(fields)
}
