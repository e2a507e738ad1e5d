//! `/api/admin/sync/history/{id}`: all that happened to a user, an organization or a membership.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::db::Db;
use shared::db::history::{self, Subject, What};
use shared::db::inbox::Place;
use shared::http::{Request, Response};
use shared::{Error, Result, http};

use crate::{explain, parse_cursor, parse_limit, refuse_values};

const NOTHING_KNOWN: Error = Error::NotFound {
    code: "history_not_found",
    message: "Nothing is known of this id.",
};

#[derive(Deserialize)]
struct HistoryQuery {
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryPage {
    history: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    at: Timestamp,
    summary: String,
    /// The names of what changed, or differed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
    #[serde(flatten)]
    what: What,
}

pub(crate) async fn show(db: &Db, id: &str, request: &Request) -> Result<Response> {
    let query: HistoryQuery = http::query(request)?;
    let subject = parse_subject(id)?;
    let limit = parse_limit(query.limit)?;
    let place = parse_cursor(query.cursor.as_deref())?;
    let page = db.history(&subject, place.as_ref(), limit).await;
    let page = page.map_err(refuse_values)?.ok_or(NOTHING_KNOWN)?;
    http::ok(&HistoryPage {
        next_cursor: page.next.as_ref().map(Place::to_cursor),
        history: page.entries.into_iter().map(Entry::from).collect(),
    })
}

impl From<history::Entry> for Entry {
    fn from(entry: history::Entry) -> Self {
        let changed = match &entry.what {
            What::Delivery(event) => Some(&event.detail.changed),
            What::ProfileEdit(edit) => Some(&edit.fields),
            What::Drift(drift) => Some(&drift.fields),
            What::RoleChange(_) | What::EmailChange(_) | What::Push(_) => None,
        };
        Self {
            at: entry.at,
            summary: explain::what(&entry.what),
            changed: changed.cloned(),
            what: entry.what,
        }
    }
}

fn parse_subject(text: &str) -> Result<Subject> {
    let message = "A history is named by the UUID of a user's row or by a Clerk id \
        (user_…, org_… or orgmem_…).";
    text.parse()
        .map_err(|_| Error::unprocessable("invalid_id", message, "id"))
}
