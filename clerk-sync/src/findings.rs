//! What a comparison found, and what became of it: for people and for programs.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::db::Db;
use shared::db::drift::{Class, Filter, Plan, State as Fate};
use shared::db::runs::{Approval, Shown, State};
use uuid::Uuid;

use crate::End;
use crate::difference::Difference;
use crate::setup::Error;
use crate::words;

/// Before all differences.
const FIRST: (i16, i64) = (i16::MIN, i64::MIN);
/// More than there are of one object.
const N_OF_OBJECT: u32 = 1_000;
/// In which order the table shows what became of differences.
const FATES: [Fate; 5] = [
    Fate::Found,
    Fate::Withheld,
    Fate::Repaired,
    Fate::Gone,
    Fate::Failed,
];

/// A run with what it found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Findings {
    pub(crate) run: Shown,
    /// The most urgent ones.
    pub(crate) differences: Vec<Value>,
    /// How many there are of those that were asked for.
    pub(crate) n_differences: u64,
    /// What a repair would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Plan>,
    /// What is typed to have it do what it held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approve_with: Option<String>,
    /// Whether a repair can do something about what is left.
    #[serde(skip)]
    can_be_mended: bool,
}

/// Which of the differences are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shows<'a> {
    pub(crate) filter: Filter<'a>,
    pub(crate) limit: u32,
}

impl Findings {
    /// Reads them; with an approval, also what a repair with it would do.
    pub(crate) async fn read(
        db: &Db,
        run: Shown,
        shows: Shows<'_>,
        dry_run: Option<&Approval>,
    ) -> Result<Self, Error> {
        let (differences, n_differences) = shown(db, &run, shows).await?;
        let plan = match dry_run {
            Some(approval) => Some(db.plan(run.id, approval).await?),
            None => None,
        };
        let can_be_mended = Class::ALL
            .into_iter()
            .any(|class| takes_no_person(class) && n_of_class(&run, class, Fate::Found) > 0);
        let approve_with = match (&plan, dry_run) {
            (Some(plan), Some(approval)) if plan.withholds() => {
                Some(approve_with(&run, approval.classes.as_deref(), plan))
            }
            (None, _) if n_in(&run, Fate::Withheld) > 0 => {
                let classes = withheld_classes(&run)?;
                let left = left(db, &run, classes.clone()).await?;
                Some(approve_with(&run, classes.as_deref(), &left))
            }
            _ => None,
        };
        Ok(Self {
            run,
            differences,
            n_differences,
            plan,
            approve_with,
            can_be_mended,
        })
    }

    /// How the command ends that asked for this.
    pub(crate) fn end(&self) -> End {
        let is_open = |fate| n_in(&self.run, fate) > 0;
        match self.run.state {
            State::Failed | State::Cancelled => End::Failed,
            State::Waiting => End::Differs,
            _ if [Fate::Found, Fate::Withheld, Fate::Failed]
                .into_iter()
                .any(is_open) =>
            {
                End::Differs
            }
            _ => End::Good,
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut parts = vec![self.head()];
        let n_found = n_found(&self.run);
        if n_found == 0 && self.run.state == State::Done {
            parts.push("Nothing differs.\n".to_owned());
        }
        if n_found > 0 {
            parts.push(self.table());
            parts.push(self.lines());
        }
        parts.extend(self.plan.as_ref().map(plan));
        parts.extend(self.next());
        parts.join("\n")
    }

    /// Which run it is, and how much it compared.
    fn head(&self) -> String {
        let Shown {
            id,
            mode,
            state,
            progress,
            last_error,
            ..
        } = &self.run;
        let error = last_error.as_ref().map(|error| {
            let error = words::printable(error);
            format!("What went wrong last: {error}\n")
        });
        format!(
            "Comparison {id} ({}, begun {}): {}\n\
             Clerk has {}, {} and {}; {} to Clerk.\n{}",
            words::mode(*mode),
            begun_at(&self.run),
            words::state(*state),
            words::n_of(progress.users.done, "user"),
            words::n_of(progress.organizations.done, "organization"),
            words::n_of(progress.memberships.done, "membership"),
            words::n_of(progress.n_calls, "call"),
            error.unwrap_or_default()
        )
    }

    /// How many were found, by class and by what became of them.
    fn table(&self) -> String {
        let fates = FATES.iter().filter(|fate| n_in(&self.run, **fate) > 0);
        let fates: Vec<Fate> = fates.copied().collect();
        let name = |fate: &Fate| match fate {
            Fate::Repaired => "mended".to_owned(),
            fate => fate.as_str().to_owned(),
        };
        let mut rows = vec![vec![String::new()]];
        if let Some(head) = rows.first_mut() {
            head.extend(fates.iter().map(name));
        }
        for class in Class::ALL {
            let counts = fates.iter().map(|fate| n_of_class(&self.run, class, *fate));
            let counts: Vec<u64> = counts.collect();
            if counts.iter().any(|n| *n > 0) {
                let cells = counts.iter().map(|n| match n {
                    0 => "-".to_owned(),
                    n => n.to_string(),
                });
                rows.push(
                    [class.as_str().to_owned()]
                        .into_iter()
                        .chain(cells)
                        .collect(),
                );
            }
        }
        words::table(&rows)
    }

    fn lines(&self) -> String {
        let line = |difference: &Value| {
            match serde_json::from_value::<Difference>(difference.clone()) {
                Ok(difference) => difference.line(),
                // Of another version; better as it is than not at all.
                Err(_) => words::printable(&difference.to_string()),
            }
        };
        let mut lines: Vec<String> = self.differences.iter().map(line).collect();
        let (n_shown, n) = (self.differences.len() as u64, self.n_differences);
        if n == 0 {
            lines.push("None of these is what was asked for.".to_owned());
        }
        if n_shown < n {
            lines.push(format!("Shown are {n_shown} of {n}: --limit shows more."));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// What to do now.
    fn next(&self) -> Option<String> {
        if let Some(command) = &self.approve_with {
            let would = if self.plan.is_some() {
                "would be"
            } else {
                "is"
            };
            return Some(format!(
                "Some of it {would} held back, because it deletes or demotes more than is usual, \
                 or takes a person to decide.\nLook at it above; this approves it:\n  {command}\n"
            ));
        }
        let has_open = n_in(&self.run, Fate::Found) > 0;
        if !has_open || self.run.state != State::Done {
            return None;
        }
        if !self.can_be_mended {
            return Some("What is left takes a person.\n".to_owned());
        }
        let command = repairing(self.run.id);
        Some(format!("This mends what can be mended:\n  {command}\n"))
    }
}

/// The most urgent differences that were asked for, and how many there are of them.
async fn shown(db: &Db, run: &Shown, shows: Shows<'_>) -> Result<(Vec<Value>, u64), Error> {
    let Shows { filter, limit } = shows;
    // No count of a run tells how many are about one object, and they are few: all are read.
    let n_read = match filter.clerk_id {
        Some(_) => limit.max(N_OF_OBJECT),
        None => limit,
    };
    let read = db.shown_drift(run.id, filter, FIRST, i64::from(n_read));
    let found = read.await?;
    let n = match (filter.clerk_id, filter.class) {
        (Some(_), _) => found.len() as u64,
        (None, Some(class)) => run.n_found(class.as_str()),
        (None, None) => n_found(run),
    };
    let differences = found.into_iter().take(limit as usize);
    let differences = differences.map(|(_, it)| serde_json::to_value(it));
    let differences: Result<_, _> = differences.collect();
    Ok((differences.map_err(unreadable)?, n))
}

/// How many differences a run found, whatever became of them.
fn n_found(run: &Shown) -> u64 {
    Class::ALL.iter().map(|it| run.n_found(it.as_str())).sum()
}

/// How many differences became this.
fn n_in(run: &Shown, fate: Fate) -> u64 {
    let of_class = |class: &Class| n_of_class(run, *class, fate);
    Class::ALL.iter().map(of_class).sum()
}

fn n_of_class(run: &Shown, class: Class, fate: Fate) -> u64 {
    let states = run.drift.get(class.as_str());
    let n = states.and_then(|states| states.get(fate.as_str()));
    n.and_then(Value::as_u64).unwrap_or(0)
}

/// When the run began.
pub(crate) fn begun_at(run: &Shown) -> String {
    let at = json_of(run, "/createdAt");
    let at = at.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    at.map(words::time).unwrap_or_default()
}

/// The classes that the run was to repair, if something of them is held back; else all.
fn withheld_classes(run: &Shown) -> Result<Option<Vec<Class>>, Error> {
    let classes = json_of(run, "/approval/classes");
    let classes: Option<Vec<Class>> = serde_json::from_value(classes).map_err(unreadable)?;
    let is_withheld = |class: &Class| n_of_class(run, *class, Fate::Withheld) > 0;
    Ok(classes.filter(|classes| classes.iter().any(is_withheld)))
}

/// Something of a run that only its JSON form shows.
fn json_of(run: &Shown, pointer: &str) -> Value {
    let json = serde_json::to_value(run).unwrap_or_default();
    json.pointer(pointer).cloned().unwrap_or_default()
}

/// What a repair of these classes could do in all; what of it is held back is of no account.
async fn left(db: &Db, run: &Shown, classes: Option<Vec<Class>>) -> Result<Plan, Error> {
    let approval = Approval {
        classes,
        ..Approval::default()
    };
    Ok(db.plan(run.id, &approval).await?)
}

/// How often a plan does something, or holds it back: such as `end`, whatever the kind.
fn n_of(plan: &Plan, action: &str) -> u64 {
    let counts = [&plan.planned, &plan.withheld];
    let counts = counts.into_iter().filter_map(|it| it.as_object()).flatten();
    let counts = counts.filter(|(key, _)| key.starts_with(action));
    counts.filter_map(|(_, n)| n.as_u64()).sum()
}

/// What is typed to approve all of it, and no more: what no ceiling is named for stays held back.
fn approve_with(run: &Shown, classes: Option<&[Class]>, plan: &Plan) -> String {
    let mut parts = vec![repairing(run.id)];
    for class in named_classes(run, classes, plan) {
        parts.push(format!("--class {}", class.as_str()));
    }
    let (n_deletions, n_demotions) = (n_of(plan, "end "), n_of(plan, "demote "));
    if n_deletions > 0 {
        parts.push(format!("--max-deletions {n_deletions}"));
    }
    if n_demotions > 0 {
        parts.push(format!("--max-demotions {n_demotions}"));
    }
    parts.join(" ")
}

/// The classes that an approval has to name. Of what only changes, nothing is held back but roles that
/// Clerk refused: whoever wants those overwritten says so, and with them all else that is to be mended.
fn named_classes(run: &Shown, classes: Option<&[Class]>, plan: &Plan) -> Vec<Class> {
    if let Some(classes) = classes {
        return classes.to_vec();
    }
    let withheld = plan.withheld.as_object();
    let has_refused = n_of_class(run, Class::Stale, Fate::Withheld) > 0
        || withheld.is_some_and(|it| it.keys().any(|key| key.starts_with("update ")));
    if !has_refused {
        return Vec::new();
    }
    let is_open = |class: &Class| {
        let open = [Fate::Found, Fate::Withheld];
        let n_open: u64 = open.map(|fate| n_of_class(run, *class, fate)).iter().sum();
        n_open > 0 && takes_no_person(*class)
    };
    Class::ALL.into_iter().filter(is_open).collect()
}

/// Whether a repair can mend what is of this class.
fn takes_no_person(class: Class) -> bool {
    !matches!(class, Class::UnknownRole | Class::DuplicateEmail)
}

/// What is typed to have it mend what it found.
fn repairing(run: Uuid) -> String {
    format!("scripts/sync reconcile --repair --run {run}")
}

fn plan(plan: &Plan) -> String {
    format!(
        "A repair would mend: {}\nand hold back: {}\n",
        numbers(&plan.planned),
        numbers(&plan.withheld)
    )
}

/// Numbers by what is done and to what: `{"end user": 1}`.
fn numbers(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let words = counts.filter_map(|(key, n)| {
        let (action, object) = key.split_once(' ')?;
        Some(format!("{action} {}", words::n_of(n.as_i64()?, object)))
    });
    let words: Vec<_> = words.collect();
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Output(error.into())
}
