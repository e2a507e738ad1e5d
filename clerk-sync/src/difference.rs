//! One difference, as a line that a person understands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::db::drift::{Action, Class, State};
use shared::db::listed::Object;
use uuid::Uuid;

use crate::words;

/// A difference, as the routes and `--json` show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    pub(crate) id: i64,
    pub(crate) class: Class,
    pub(crate) object: Object,
    pub(crate) clerk_id: Option<String>,
    pub(crate) row_id: Option<Uuid>,
    pub(crate) clerk_org_id: Option<String>,
    pub(crate) clerk_user_id: Option<String>,
    pub(crate) severity: String,
    pub(crate) cause: String,
    pub(crate) since: Option<Timestamp>,
    pub(crate) fields: Vec<Field>,
    pub(crate) action: Action,
    pub(crate) state: State,
    pub(crate) last_error: Option<String>,
}

/// A field that is not the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Field {
    name: String,
    ours: Value,
    clerk: Value,
}

impl Difference {
    /// Severity, class, what it is about, what differs, since when, why, and what became of it.
    pub(crate) fn line(&self) -> String {
        let since = self.since.map(|at| format!("; since {}", words::time(at)));
        let became = self.became().map(|became| format!(" [{became}]"));
        format!(
            "{:<6}  {:<15}  {}: {}{}; likely because {}{}",
            self.severity,
            self.class.as_str(),
            self.subject(),
            self.what_differs(),
            since.unwrap_or_default(),
            words::cause(&self.cause),
            became.unwrap_or_default()
        )
    }

    fn subject(&self) -> String {
        let object = self.object.as_str();
        let id = match (&self.clerk_id, self.row_id) {
            (Some(clerk_id), _) => clerk_id.clone(),
            (None, Some(row_id)) => format!("of the row {row_id}"),
            (None, None) => String::new(),
        };
        let subject = match (&self.clerk_user_id, &self.clerk_org_id) {
            (Some(user), Some(organization)) => format!("{object} {id} ({user} in {organization})"),
            _ => format!("{object} {id}"),
        };
        words::printable(&subject)
    }

    fn what_differs(&self) -> String {
        let fields = self.fields.iter().map(|field| {
            let Field { name, ours, clerk } = field;
            let (ours, clerk) = (words::value(ours), words::value(clerk));
            format!("{name}: {ours} here, {clerk} in Clerk")
        });
        let fields: Vec<_> = fields.collect();
        if fields.is_empty() || self.class == Class::DuplicateEmail {
            let address = self.fields.first().map(|it| words::value(&it.ours));
            let address = address.map(|it| format!(" ({it})")).unwrap_or_default();
            return format!("{}{address}", words::class(self.class));
        }
        fields.join(", ")
    }

    fn became(&self) -> Option<String> {
        match (self.state, &self.last_error) {
            (State::Found, _) => None,
            (State::Withheld, _) => Some("withheld".to_owned()),
            (State::Repaired, _) => Some("mended".to_owned()),
            (State::Gone, _) => Some("gone before it was mended".to_owned()),
            (State::Failed, None) => Some("could not be mended".to_owned()),
            (State::Failed, Some(error)) => {
                Some(format!("could not be mended: {}", words::printable(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn difference(changes: &Value) -> Difference {
        let mut difference = json!({
            "id": 1, "class": "stale_high", "object": "user", "clerkId": "user_1", "rowId": null,
            "clerkOrgId": null, "clerkUserId": null, "severity": "high",
            "cause": "edited_in_database", "since": "2026-11-21T12:00:00.123456Z",
            "fields": [{ "name": "role", "ours": "ADMIN", "clerk": "STUDENT" }],
            "action": "demote", "state": "found", "lastError": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            difference[name] = value.clone();
        }
        serde_json::from_value(difference).unwrap()
    }

    #[test]
    fn a_difference_is_one_line() {
        let check = |changes: Value, expected: &str| {
            assert_eq!(difference(&changes).line(), expected);
        };
        check(
            json!({}),
            "high    stale_high       user user_1: role: ADMIN here, STUDENT in Clerk; \
             since 2026-11-21T12:00:00Z; likely because somebody edited the row in the database",
        );
        check(
            json!({
                "class": "missing", "object": "membership", "clerkId": "orgmem_1",
                "clerkOrgId": "org_1", "clerkUserId": "user_1", "severity": "medium",
                "cause": "lost_event", "since": null, "fields": [], "state": "repaired",
            }),
            "medium  missing          membership orgmem_1 (user_1 in org_1): in Clerk and not \
             here; likely because its event never arrived [mended]",
        );
        check(
            json!({
                "class": "duplicate_email", "clerkId": null, "severity": "medium",
                "rowId": "6b4c6d1e-8f0e-4f39-9d8e-111111111111", "since": null,
                "cause": "row_without_account",
                "fields": [{ "name": "email", "ours": "a@example.com", "clerk": null }],
            }),
            "medium  duplicate_email  user of the row 6b4c6d1e-8f0e-4f39-9d8e-111111111111: has \
             the same address as another row (a@example.com); likely because this row has no account in \
             Clerk, and another row the same address",
        );
    }
}
