//! The words for what the tables hold as codes, and tables for people.

use jiff::Timestamp;
use serde_json::Value;
use shared::db::drift::Class;
use shared::db::runs::{Mode, State};

/// Why two sides differ, as a comparison finds out (`shared/src/db/drift/*.sql`).
const CAUSES: [(&str, &str); 19] = [
    ("lost_event", "its event never arrived"),
    ("dead_event", "its event could not be taken in, and is dead"),
    ("parked_event", "its event is parked until Clerk is asked"),
    (
        "not_yet_received",
        "it changed just now, and its event may yet come",
    ),
    (
        "before_first_event",
        "it is older than the first event that was received",
    ),
    (
        "deleted_in_database",
        "somebody deleted the row in the database",
    ),
    (
        "ended_in_database",
        "somebody marked the row as deleted in the database",
    ),
    (
        "ended_too_early",
        "Clerk did not know it when it was asked, and shows it now",
    ),
    (
        "edited_in_database",
        "somebody edited the row in the database",
    ),
    (
        "moved_in_database",
        "somebody gave the row another user or organization in the database",
    ),
    (
        "added_in_database",
        "somebody added the row in the database",
    ),
    (
        "never_in_clerk",
        "it was spoken of once, and Clerk does not have it",
    ),
    (
        "not_linked",
        "a row with this address is here, and does not belong to the account yet",
    ),
    (
        "version_too_high",
        "somebody edited the version of the row, or Clerk was set back",
    ),
    (
        "in_doubt",
        "it is in doubt, and Clerk is yet to be asked about it",
    ),
    ("push_refused", "Clerk refused the role that was set here"),
    ("unknown_role", "the role in Clerk is none of ours"),
    (
        "row_without_account",
        "this row has no account in Clerk, and another row the same address",
    ),
    ("row_with_account", "another row has the same address"),
];

/// The cause in words; as it is, if it is one that this version does not know.
pub(crate) fn cause(code: &str) -> &str {
    let found = CAUSES.iter().find(|(known, _)| *known == code);
    found.map_or(code, |(_, words)| words)
}

/// What differs where no field does.
pub(crate) fn class(class: Class) -> &'static str {
    match class {
        Class::Missing => "in Clerk and not here",
        Class::Orphaned => "here and not in Clerk",
        Class::Stale => "not as Clerk has it",
        Class::StaleHigh => "may do more here than in Clerk",
        Class::DuplicateEmail => "has the same address as another row",
        Class::UnknownRole => "has a role in Clerk that is none of ours",
    }
}

/// What is being done in a state.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Listing => "reading Clerk's lists",
        State::Asking => "asking Clerk about what its lists did not show",
        State::Comparing => "comparing both sides",
        State::Repairing => "mending what differs",
        State::Waiting => "waiting for an approval",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Report => "report",
        Mode::Repair => "repair",
    }
}

/// A number of things: `1 user`, `2 users`.
pub(crate) fn n_of(n: impl TryInto<i64>, thing: &str) -> String {
    match n.try_into().unwrap_or(i64::MAX) {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

/// A time to the second, in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// A duration as people say it.
pub(crate) fn seconds(n: i64) -> String {
    match n {
        ..120 => format!("{n} s"),
        120..7_200 => format!("{} min", n / 60),
        7_200..172_800 => format!("{} h", n / 3_600),
        _ => format!("{} days", n / 86_400),
    }
}

/// How much of a value is shown.
const MAX_SHOWN: usize = 80;

/// A value of a column. It may be anything that somebody typed into Clerk.
pub(crate) fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::String(text) if text.is_empty() => return "an empty text".to_owned(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    };
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    let begin: String = text.chars().take(MAX_SHOWN).collect();
    format!("{begin}…")
}

/// What would move the cursor or colour the terminal is written as an escape.
pub(crate) fn printable(text: &str) -> String {
    let escape = |char: char| {
        if char.is_control() || is_bidirectional(char) {
            char.escape_unicode().to_string()
        } else {
            char.to_string()
        }
    };
    text.chars().map(escape).collect()
}

/// Marks that turn the direction of what follows them.
fn is_bidirectional(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows with aligned columns: the first to the left, the others to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("{cell:<0$}", width(column)),
            _ => format!("{cell:>0$}", width(column)),
        });
        let cells: Vec<_> = cells.collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Names and what is to be said of them, in two columns.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    let line = |(name, text): &(&str, String)| format!("{name:<width$}  {text}\n");
    pairs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use serde_json::json;

    use super::*;

    /// Every literal of the statements that compare that is a word.
    fn words_of_the_statements() -> BTreeSet<String> {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("shared/src/db/drift");
        let mut words = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // What is written there is decided already.
            if path.file_name().unwrap() == "brake.sql" {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let literals = text.split('\'').skip(1).step_by(2);
            let is_word = |it: &&str| {
                !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
            };
            words.extend(literals.filter(is_word).map(str::to_owned));
        }
        words
    }

    /// What else the statements say: kinds, classes, severities, actions, and so on.
    const OTHERS: [&str; 31] = [
        "banned",
        "clerk",
        "create",
        "dead",
        "demote",
        "deprovisioned",
        "done",
        "duplicate_email",
        "email",
        "end",
        "high",
        "locked",
        "low",
        "medium",
        "membership",
        "missing",
        "moved",
        "name",
        "none",
        "organization",
        "orphaned",
        "ours",
        "parked",
        "permissions",
        "role",
        "slug",
        "stale",
        "stale_high",
        "update",
        "user",
        "username",
    ];

    #[test]
    fn every_cause_has_words() {
        let is_cause = |word: &String| !OTHERS.contains(&word.as_str());
        let found: BTreeSet<_> = words_of_the_statements()
            .into_iter()
            .filter(is_cause)
            .collect();
        let known: BTreeSet<_> = CAUSES.iter().map(|(code, _)| (*code).to_owned()).collect();
        assert_eq!(found, known, "found in the statements on the left");
        assert_eq!(cause("lost_event"), "its event never arrived");
        assert_eq!(cause("from_tomorrow"), "from_tomorrow");
    }

    #[test]
    fn what_somebody_typed_does_not_reach_the_terminal_as_it_is() {
        assert_eq!(value(&json!("Ada\u{1b}[2J\n")), "Ada\\u{1b}[2J\\u{a}");
        assert_eq!(value(&json!("a\u{202e}b")), "a\\u{202e}b");
        assert_eq!(value(&json!("Zoë ☕")), "Zoë ☕");
        assert_eq!(value(&json!({ "a": 1 })), r#"{"a":1}"#);
        assert_eq!(value(&Value::Null), "nothing");
        assert_eq!(
            value(&json!("x".repeat(81))),
            format!("{}…", "x".repeat(80))
        );
    }

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["", "found", "gone"]), row(["stale_high", "12", ""])];
        assert_eq!(table(&rows), "            found  gone\nstale_high     12\n");
        let lines = pairs(&[("a", "1".to_owned()), ("long", "2".to_owned())]);
        assert_eq!(lines, "a     1\nlong  2\n");
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(n_of(0_u64, "user"), "0 users");
        assert_eq!(n_of(1_i64, "user"), "1 user");
        assert_eq!(n_of(u64::MAX, "call"), format!("{} calls", i64::MAX));
        assert_eq!(
            [seconds(7), seconds(600), seconds(9_000)],
            ["7 s", "10 min", "2 h"]
        );
    }
}
