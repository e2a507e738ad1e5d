//! What a comparison found, and what became of it: for people and for programs.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::db::Db;
use shared::db::drift::{Action, Class, Filter, Plan, State as Fate};
use shared::db::runs::{Approval, Shown, State};
use uuid::Uuid;

use crate::End;
use crate::difference::Difference;
use crate::setup::Error;
use crate::words;

/// How many differences are read at once where all are counted.
const PAGE: i64 = 1_000;
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
    /// How many there are.
    pub(crate) n_differences: u64,
    /// What a repair would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<Plan>,
    /// What is typed to have it do what it held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approve_with: Option<String>,
}

/// Which of the differences are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shows<'a> {
    pub(crate) filter: Filter<'a>,
    pub(crate) limit: u32,
}

/// How much is held back, or would be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ceilings {
    n_deletions: usize,
    n_demotions: usize,
}

impl Findings {
    /// Reads them; with an approval, also what a repair with it would do.
    pub(crate) async fn read(
        db: &Db,
        run: Shown,
        shows: Shows<'_>,
        dry_run: Option<&Approval>,
    ) -> Result<Self, Error> {
        let limit = i64::from(shows.limit);
        let found = db.shown_drift(run.id, shows.filter, FIRST, limit).await?;
        let plan = match dry_run {
            Some(approval) => Some(db.plan(run.id, approval).await?),
            None => None,
        };
        let is_withheld = match &plan {
            Some(plan) => plan.withholds(),
            None => n_in(&run, Fate::Withheld) > 0,
        };
        let classes = match dry_run {
            Some(approval) => approval.classes.clone(),
            None => classes(&run),
        };
        let approve_with = if is_withheld {
            let ceilings = ceilings(db, run.id, classes.as_deref()).await?;
            Some(approve_with(run.id, classes.as_deref(), ceilings))
        } else {
            None
        };
        let differences = found.into_iter().map(|(_, it)| serde_json::to_value(it));
        Ok(Self {
            n_differences: Class::ALL.iter().map(|it| run.n_found(it.as_str())).sum(),
            differences: differences.collect::<Result<_, _>>().map_err(unreadable)?,
            plan,
            approve_with,
            run,
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
        if self.n_differences == 0 && self.run.state == State::Done {
            parts.push("Nothing differs.\n".to_owned());
        }
        if self.n_differences > 0 {
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
        (has_open && self.run.state == State::Done).then(|| {
            let command = repairing(self.run.id);
            format!("This mends what can be mended:\n  {command}\n")
        })
    }
}

/// Before all differences.
const FIRST: (i16, i64) = (i16::MIN, i64::MIN);

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

/// The classes that the run is to repair; none said means all.
fn classes(run: &Shown) -> Option<Vec<Class>> {
    serde_json::from_value(json_of(run, "/approval/classes")).unwrap_or_default()
}

/// Something of a run that only its JSON form shows.
fn json_of(run: &Shown, pointer: &str) -> Value {
    let json = serde_json::to_value(run).unwrap_or_default();
    json.pointer(pointer).cloned().unwrap_or_default()
}

/// How many deletions and demotions are left to be done in a run.
async fn ceilings(db: &Db, run: Uuid, classes: Option<&[Class]>) -> Result<Ceilings, Error> {
    let mut ceilings = Ceilings::default();
    for state in [Fate::Found, Fate::Withheld] {
        let filter = Filter {
            state: Some(state),
            ..Filter::default()
        };
        let mut after = FIRST;
        loop {
            let page = db.shown_drift(run, filter, after, PAGE).await?;
            let Some((priority, last)) = page.last() else {
                break;
            };
            after = (*priority, last.id);
            for (_, shown) in &page {
                let is_meant = classes.is_none_or(|it| it.contains(&shown.class));
                if is_meant {
                    ceilings.add(action(shown)?);
                }
            }
        }
    }
    Ok(ceilings)
}

fn action(shown: &shared::db::drift::Shown) -> Result<Action, Error> {
    let shown = serde_json::to_value(shown).map_err(unreadable)?;
    let difference: Difference = serde_json::from_value(shown).map_err(unreadable)?;
    Ok(difference.action)
}

impl Ceilings {
    fn add(&mut self, action: Action) {
        match action {
            Action::End => self.n_deletions += 1,
            Action::Demote => self.n_demotions += 1,
            Action::Create | Action::Update | Action::None => {}
        }
    }
}

/// What is typed to approve all of it, and no more.
fn approve_with(run: Uuid, classes: Option<&[Class]>, ceilings: Ceilings) -> String {
    let mut parts = vec![repairing(run)];
    for class in classes.unwrap_or_default() {
        parts.push(format!("--class {}", class.as_str()));
    }
    let Ceilings {
        n_deletions,
        n_demotions,
    } = ceilings;
    if n_deletions > 0 {
        parts.push(format!("--max-deletions {n_deletions}"));
    }
    if n_demotions > 0 {
        parts.push(format!("--max-demotions {n_demotions}"));
    }
    parts.join(" ")
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
