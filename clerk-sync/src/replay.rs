//! `replay`: takes in again what is dead or parked.

use std::time::{Duration, Instant};

use clap::ArgGroup;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use shared::clerk;
use shared::db::Db;
use shared::db::history::Subject;
use shared::db::inbox::{Outcome, Place, WaitingFilter, Which};
use shared::ids::{SvixId, UserRef};
use shared::sync::{self, Replay, Replayed};

use crate::End;
use crate::bars;
use crate::output::{self, Output};
use crate::setup::{Error, Setup};
use crate::words;

/// How long one piece may take.
const SLICE: Duration = Duration::from_secs(20);
/// How many of those that still wait are named.
const N_NAMED: usize = 50;

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("which")
        .required(true)
        .multiple(true)
        .args(["svix_ids", "outcome", "event_type", "object", "since", "until"])
))]
pub(crate) struct Args {
    /// These deliveries (msg_…)
    #[arg(
        value_name = "SVIX_ID",
        value_parser = svix_id,
        conflicts_with_all = ["outcome", "event_type", "object", "since", "until"]
    )]
    svix_ids: Vec<SvixId>,
    /// All that are dead, or parked
    #[arg(long, value_parser = outcome())]
    outcome: Option<Outcome>,
    /// All of a type, such as user.updated
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// All about an object, or about a membership of it, by its Clerk id
    #[arg(long, value_name = "ID", value_parser = object)]
    object: Option<String>,
    /// All received then or later, such as 2026-11-21T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// All received before that
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only counts
    #[arg(long)]
    dry_run: bool,
}

fn svix_id(text: &str) -> Result<SvixId, shared::ids::Error> {
    SvixId::try_from(text.to_owned())
}

fn outcome() -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(["dead", "parked"]).map(|name| match name.as_str() {
        "dead" => Outcome::Dead,
        _ => Outcome::Parked,
    })
}

fn object(text: &str) -> Result<String, &'static str> {
    match text.parse::<Subject>() {
        Ok(Subject::User(UserRef::Row(_))) | Err(_) => {
            Err("an object is named by its Clerk id: user_…, org_… or orgmem_…")
        }
        Ok(_) => Ok(text.to_owned()),
    }
}

pub(crate) async fn run(setup: &Setup, output: Output, args: &Args) -> Result<End, Error> {
    let replayer = Replayer {
        clerk: setup.optional_clerk()?,
        db: setup.db()?,
        setup,
    };
    let mut replay = Replay {
        is_dry_run: true,
        after: None,
        which: args.which(),
    };
    let mut done = replayer.replay(&replay).await?;
    if !args.dry_run && done.n_waiting > 0 {
        if replayer.clerk.is_none() {
            output::note(
                "CLERK_SECRET_KEY is not set: what Clerk has to be asked about is left to \
                 `reconcile`.",
            );
        }
        replay.is_dry_run = false;
        done = Box::pin(replayer.replay_all(replay, done.n_waiting)).await?;
    }
    done.is_dry_run = args.dry_run;
    output.answer(&done, || text(&done))?;
    let still_waits = |outcome| done.outcomes.contains_key(outcome);
    let is_left = done.n_remaining > 0 || [Outcome::Dead, Outcome::Parked].iter().any(still_waits);
    Ok(if is_left && !args.dry_run {
        End::Differs
    } else {
        End::Good
    })
}

impl Args {
    fn which(&self) -> Which {
        if !self.svix_ids.is_empty() {
            return Which::Ids(self.svix_ids.clone());
        }
        Which::Filter(WaitingFilter {
            outcome: self.outcome,
            event_type: self.event_type.clone(),
            object: self.object.clone(),
            since: self.since,
            until: self.until,
        })
    }
}

struct Replayer<'a> {
    clerk: Option<clerk::Client>,
    db: Db,
    setup: &'a Setup,
}

impl Replayer<'_> {
    async fn replay(&self, replay: &Replay) -> Result<Replayed, Error> {
        let until = Instant::now() + SLICE;
        let instance_id = self.setup.instance_id();
        let replayed = sync::replay(self.clerk.as_ref(), &self.db, instance_id, replay, until);
        Ok(Box::pin(replayed).await?)
    }

    /// Piece by piece, until nothing is left; what was tried is not tried again.
    async fn replay_all(&self, mut replay: Replay, n_waiting: i64) -> Result<Replayed, Error> {
        let bar = bars::bar("replayed", n_waiting.unsigned_abs());
        let mut all = self.replay(&replay).await?;
        bar.set_position(all.n_replayed as u64);
        while all.n_remaining > 0 {
            replay.after = all.next_cursor.as_deref().and_then(Place::from_cursor);
            let next = self.replay(&replay).await?;
            // Others were faster.
            if next.n_replayed == 0 {
                all.n_remaining = next.n_remaining;
                break;
            }
            add(&mut all, next);
            bar.set_position(all.n_replayed as u64);
        }
        bar.finish_and_clear();
        Ok(all)
    }
}

fn add(all: &mut Replayed, next: Replayed) {
    all.n_replayed += next.n_replayed;
    for (outcome, n) in next.outcomes {
        *all.outcomes.entry(outcome).or_default() += n;
    }
    all.events.extend(next.events);
    all.n_remaining = next.n_remaining;
    all.next_cursor = next.next_cursor;
}

fn text(done: &Replayed) -> String {
    let mut lines = vec![format!(
        "{} waiting{}.",
        words::n_of(done.n_waiting, "event"),
        in_brackets(
            done.by_outcome
                .iter()
                .map(|(outcome, n)| (outcome.as_str(), *n))
        )
    )];
    lines.extend(done.by_type.iter().map(|(kind, n)| {
        let kind = words::printable(kind);
        format!("  {n}  {kind}")
    }));
    if done.n_unknown > 0 {
        lines.push(format!(
            "Of the ids, {} belong to no delivery.",
            done.n_unknown
        ));
    }
    if done.n_not_replayable > 0 {
        lines.push(format!(
            "{} cannot be replayed: they are taken in, or nothing is kept of them.",
            done.n_not_replayable
        ));
    }
    if done.is_dry_run {
        return lines.join("\n");
    }
    let outcomes = done.outcomes.iter();
    let outcomes = outcomes.map(|(outcome, n)| (outcome.as_str(), i64::try_from(*n).unwrap_or(0)));
    lines.push(format!(
        "{} taken in again{}.",
        done.n_replayed,
        in_brackets(outcomes)
    ));
    let waits = |outcome: &Outcome| matches!(outcome, Outcome::Dead | Outcome::Parked);
    let left = done.events.iter().filter(|event| waits(&event.outcome));
    lines.extend(left.take(N_NAMED).map(|event| {
        let (id, outcome) = (&event.svix_id, event.outcome.as_str());
        format!("  {id} is still {outcome}: scripts/sync explain {id}")
    }));
    if done.n_remaining > 0 {
        lines.push(format!("{} are left.", done.n_remaining));
    }
    lines.join("\n")
}

fn in_brackets<'a>(counts: impl Iterator<Item = (&'a str, i64)>) -> String {
    let counts: Vec<_> = counts.map(|(name, n)| format!("{n} {name}")).collect();
    if counts.is_empty() {
        return String::new();
    }
    format!(" ({})", counts.join(", "))
}
