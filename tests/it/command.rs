//! `scripts/sync`: the program itself, between a real database and the emulator.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use clerk_emulator::Fault;
use serde_json::{Value, json};

use crate::comparison::World;
use crate::support::TestApp;
use crate::support::binaries::binary;
use crate::webhook::event;

/// What the program wrote, and how it ended.
struct Answer {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn read(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one document that it wrote.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The line that holds all of this.
    #[track_caller]
    fn line(&self, parts: &[&str]) -> &str {
        let mut lines = self.stdout.lines();
        let found = lines.find(|line| parts.iter().all(|part| line.contains(part)));
        found.unwrap_or_else(|| panic!("no line with {parts:?}: {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{status:?}\n{stdout}\n{stderr}")
    }
}

/// The program with the settings of an app and some more; an empty value takes a setting away.
fn command(app: &TestApp, line: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary("clerk-sync"));
    command
        .args(line.split_whitespace())
        .env_clear()
        .env("DATABASE_URL", &app.database.url)
        .env("CLERK_API_URL", app.clerk.url())
        .env("CLERK_SECRET_KEY", app.clerk.secret_key())
        .env("CLERK_INSTANCE_ID", app.clerk.instance_id())
        .envs(settings.iter().copied())
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
async fn sync(app: &TestApp, line: &str) -> Answer {
    sync_with(app, line, &[]).await
}

async fn sync_with(app: &TestApp, line: &str, settings: &[(&str, &str)]) -> Answer {
    let mut command = command(app, line, settings);
    // The emulator answers meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output());
    Answer::read(output.await.unwrap().unwrap())
}

/// Starts a repair that waits for Clerk's first list of users, and returns when it does.
async fn started(app: &TestApp, output: fn() -> Stdio) -> Child {
    let late = Duration::from_mins(2);
    app.clerk.fault(Fault::slow(late).on("GET", "/v1/users?"));
    app.clerk.clear_requests();
    let mut process = command(app, "reconcile --repair", &[])
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap();
    while !app.clerk.requests().iter().any(|it| it.path == "/v1/users") {
        assert_eq!(process.try_wait().unwrap(), None, "it ended by itself");
        tokio::task::yield_now().await;
    }
    process
}

/// What somebody does by hand: a role raised, a row deleted, one added, a membership moved.
async fn damage(world: &World) -> (String, String) {
    let moved = world.membership(&world.acme, &world.ada);
    let deleted = world.membership(&world.acme, &world.edsger);
    world
        .app
        .execute(&format!(
            "update users set role = 'ADMIN' where clerk_id = '{}';
            delete from memberships where clerk_id = '{deleted}';
            insert into users (clerk_id, email) values ('user_nobody', 'nobody@example.com');
            update memberships
            set organization_id = (select id from organizations where clerk_id = '{}')
            where clerk_id = '{moved}'",
            world.ada, world.bell
        ))
        .await;
    (moved, deleted)
}

#[tokio::test]
async fn where_nothing_differs_it_says_so() {
    let world = World::new().await;
    let answer = sync(&world.app, "reconcile --report").await;
    assert_eq!(answer.status, Some(0), "{answer}");
    answer.line(&["Nothing differs."]);
    answer.line(&["4 users, 2 organizations and 4 memberships"]);
    let answer = sync(&world.app, "status").await;
    assert_eq!(answer.status, Some(0), "{answer}");
    answer.line(&["owed to Clerk", "0 roles"]);
    answer.line(&["last comparison", "(report, done)"]);
    let answer = sync(&world.app, "--json status").await;
    assert_eq!(answer.json()["drift"]["open"], 0, "{answer}");
    world.app.finish().await;
}

#[tokio::test]
async fn a_report_names_each_damage_and_a_repair_mends_it() {
    let world = World::new().await;
    let app = &world.app;
    let (moved, deleted) = damage(&world).await;

    let report = sync(app, "reconcile --report").await;
    assert_eq!(report.status, Some(1), "{report}");
    report.line(&[
        "high",
        "stale_high",
        &world.ada,
        "role: ADMIN here, STUDENT in Clerk",
    ]);
    report.line(&[
        "missing",
        &deleted,
        "in Clerk and not here",
        "deleted the row",
    ]);
    report.line(&[
        "orphaned",
        "user_nobody",
        "here and not in Clerk",
        "added the row",
    ]);
    let organization = format!("clerkOrgId: {} here, {} in Clerk", world.bell, world.acme);
    report.line(&[
        "stale_high",
        &moved,
        &organization,
        "another user or organization",
    ]);
    report.line(&["scripts/sync reconcile --repair --run"]);
    let mut said = report.stderr.lines().map(str::trim_start);
    let is_warning = |line: &str| line.starts_with("WARN Clerk and the database differ");
    assert!(said.any(is_warning), "{report}");
    assert_eq!(app.role(&world.ada).await, "ADMIN");

    // The same for programs.
    let shown = sync(app, "drift --json").await;
    assert_eq!(shown.status, Some(1), "{shown}");
    let shown = shown.json();
    assert_eq!(shown["nDifferences"], 4);
    let expected = json!({
        "stale_high": { "found": 2 }, "missing": { "found": 1 }, "orphaned": { "found": 1 },
    });
    assert_eq!(shown["run"]["drift"], expected);
    let found = shown["differences"].as_array().unwrap();
    let of_ada = found.iter().find(|it| it["clerkId"] == world.ada.as_str());
    let role = json!([{ "name": "role", "ours": "ADMIN", "clerk": "STUDENT" }]);
    assert_eq!(of_ada.unwrap()["fields"], role);
    let one = sync(app, "drift --class missing").await;
    assert!(!one.stdout.contains("--limit"), "{one}");
    let one = sync(app, "drift --class missing --limit 0").await;
    one.line(&["Shown are 0 of 1: --limit shows more."]);
    let none = sync(app, "drift --class stale").await;
    none.line(&["None of these is what was asked for."]);
    let of_ada = format!("drift --object {} --json", world.ada);
    assert_eq!(sync(app, &of_ada).await.json()["nDifferences"], 1);
    let one = sync(app, "drift --class missing --json").await.json();
    assert_eq!(one["nDifferences"], 1);
    assert_eq!(one["differences"].as_array().unwrap().len(), 1);
    assert_eq!(one["differences"][0]["clerkId"], deleted.as_str());

    let repair = sync(app, "reconcile --repair --json").await;
    assert_eq!(repair.status, Some(0), "{repair}");
    let repaired = json!({
        "stale_high": { "repaired": 2 },
        "missing": { "repaired": 1 },
        "orphaned": { "repaired": 1 },
    });
    assert_eq!(repair.json()["run"]["drift"], repaired);
    assert_eq!(repair.json()["run"]["state"], "done");
    app.assert_equal().await;
    world.app.finish().await;
}

#[tokio::test]
async fn what_a_report_found_can_be_mended_as_it_is() {
    let world = World::new().await;
    let app = &world.app;
    damage(&world).await;
    let report = sync(app, "reconcile --report --json").await.json();
    let run = report["run"]["id"].as_str().unwrap();
    let dry = format!("reconcile --repair --run {run} --dry-run --class stale_high");
    let dry = sync(app, &dry).await;
    assert_eq!(dry.status, Some(1), "{dry}");
    dry.line(&["A repair would mend: demote 1 membership, demote 1 user"]);
    assert_eq!(app.role(&world.ada).await, "ADMIN");

    let only = format!("reconcile --repair --run {run} --class stale_high");
    let only = sync(app, &only).await;
    // The rest still differs.
    assert_eq!(only.status, Some(1), "{only}");
    assert_eq!(app.role(&world.ada).await, "STUDENT");
    let rest = sync(app, &format!("reconcile --repair --run {run}")).await;
    assert_eq!(rest.status, Some(0), "{rest}");
    app.assert_equal().await;
    world.app.finish().await;
}

#[tokio::test]
async fn what_is_held_back_names_the_command_that_approves_it() {
    let world = World::new().await;
    let app = &world.app;
    damage(&world).await;
    let brake = [("REPAIR_MAX_DELETIONS", "0"), ("REPAIR_MAX_PERCENT", "0")];
    let dry = sync_with(app, "reconcile --repair --dry-run", &brake).await;
    assert_eq!(dry.status, Some(1), "{dry}");
    dry.line(&[
        "and hold back: ",
        "demote 1 membership",
        "demote 1 user",
        "end 1 user",
    ]);

    let repair = sync_with(app, "reconcile --repair", &brake).await;
    assert_eq!(repair.status, Some(1), "{repair}");
    repair.line(&["user_nobody", "[withheld]"]);
    assert_eq!(app.row("user_nobody").await["deleted_at"], Value::Null);
    let command = repair
        .line(&["scripts/sync reconcile --repair --run"])
        .trim();
    assert!(
        command.ends_with(" --max-deletions 1 --max-demotions 2"),
        "{command}"
    );

    let line = command.strip_prefix("scripts/sync ").unwrap();
    let less = line.replace("--max-demotions 2", "--max-demotions 1");
    let less = sync_with(app, &less, &brake).await;
    assert_eq!(less.status, Some(1), "{less}");
    let approved = sync_with(app, line, &brake).await;
    assert_eq!(approved.status, Some(0), "{approved}");
    app.assert_equal().await;
    world.app.finish().await;
}

#[tokio::test]
async fn a_refused_role_is_overwritten_only_by_name() {
    let world = World::new().await;
    let app = &world.app;
    damage(&world).await;
    let refuse = Fault::status(422).on("PATCH", "/v1/users");
    app.clerk.fault(refuse.once());
    let lower = json!({ "role": "STUDENT" });
    let answer = app.set_role(&world.grace, &world.alan, lower).await;
    assert_eq!(answer.body["clerkSync"], "dead", "{}", answer.body);
    let repair = sync(app, "reconcile --repair").await;
    assert_eq!(repair.status, Some(1), "{repair}");
    repair.line(&[&world.alan, "[withheld]"]);
    let command = repair.line(&["scripts/sync reconcile --repair --run"]);
    let command = command.trim().strip_prefix("scripts/sync ").unwrap();
    assert!(command.ends_with(" --class stale"), "{command}");
    let approved = sync(app, command).await;
    assert_eq!(approved.status, Some(0), "{approved}");
    assert_eq!(app.role(&world.alan).await, "INSTRUCTOR");
    app.assert_equal().await;
    world.app.finish().await;
}

#[tokio::test]
async fn what_only_a_person_can_mend_is_said_to_be_left() {
    let world = World::new().await;
    let app = &world.app;
    app.clerk
        .silently(|clerk| clerk.set_role(&world.alan, "OVERLORD"));
    let repair = sync(app, "reconcile --repair").await;
    assert_eq!(repair.status, Some(1), "{repair}");
    repair.line(&["unknown_role", &world.alan]);
    repair.line(&["What is left takes a person."]);
    assert!(!repair.stdout.contains("This mends"), "{repair}");
    let drift = sync(app, "drift").await;
    drift.line(&["What is left takes a person."]);
    world.app.finish().await;
}

#[tokio::test]
async fn a_database_that_is_not_filled_is_not_said_to_be() {
    let world = World::new().await;
    let app = &world.app;
    damage(&world).await;
    let brake = [("REPAIR_MAX_DELETIONS", "0"), ("REPAIR_MAX_PERCENT", "0")];
    let answer = sync_with(app, "backfill", &brake).await;
    assert_eq!(answer.status, Some(1), "{answer}");
    answer.line(&["waiting for an approval"]);
    assert!(!answer.stdout.contains("is filled"), "{answer}");
    world.app.database.remove().await;
}

#[tokio::test]
async fn an_empty_database_is_filled() {
    let world = World::new().await;
    let app = &world.app;
    app.execute(
        "set session_replication_role = replica;
        truncate users, organizations, memberships, inbox, outbox, role_changes cascade;
        set session_replication_role = origin",
    )
    .await;
    let answer = sync(app, "backfill").await;
    assert_eq!(answer.status, Some(0), "{answer}");
    answer.line(&["The database is filled from Clerk: 10 rows made"]);
    answer.line(&["older than the first event that was received", "[mended]"]);
    app.assert_equal().await;
    let again = sync(app, "backfill --json").await;
    assert_eq!(again.json()["nMade"], 0, "{again}");
    world.app.finish().await;
}

#[tokio::test]
async fn a_killed_comparison_is_resumed() {
    let world = World::new().await;
    let app = &world.app;
    damage(&world).await;
    let mut process = started(app, Stdio::null).await;
    let status = sync(app, "status").await;
    status.line(&["under way", "(repair, listing), begun"]);
    process.kill().unwrap();
    process.wait().unwrap();
    app.clerk.clear_faults();

    let second = sync(app, "reconcile --report").await;
    assert_eq!(second.status, Some(3), "{second}");
    assert!(
        second.stderr.contains("A comparison is under way"),
        "{second}"
    );
    assert!(second.stderr.contains("reconcile --resume"), "{second}");
    // The time of whoever was killed is over.
    app.execute("update reconcile_runs set leased_until = now() where leased_until is not null")
        .await;
    let resumed = sync(app, "reconcile --resume").await;
    assert_eq!(resumed.status, Some(0), "{resumed}");
    app.assert_equal().await;
    let nothing = sync(app, "reconcile --resume").await;
    assert_eq!(nothing.status, Some(3), "{nothing}");
    assert!(
        nothing.stderr.contains("No comparison is under way"),
        "{nothing}"
    );
    world.app.finish().await;
}

#[tokio::test]
async fn an_interrupted_comparison_says_how_it_goes_on() {
    let world = World::new().await;
    let app = &world.app;
    let process = started(app, Stdio::piped).await;
    let pid = process.id().to_string();
    let killed = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(killed.success());
    let output = tokio::task::spawn_blocking(move || process.wait_with_output());
    let answer = Answer::read(output.await.unwrap().unwrap());
    assert_eq!(answer.status, Some(130), "{answer}");
    assert_eq!(answer.stdout, "");
    assert!(
        answer.stderr.contains("scripts/sync reconcile --resume"),
        "{answer}"
    );
    app.clerk.clear_faults();
    let cancelled = sync(app, "reconcile --cancel --json").await;
    assert_eq!(cancelled.status, Some(0), "{cancelled}");
    assert_eq!(cancelled.json()["run"]["state"], "cancelled");
    world.app.finish().await;
}

#[tokio::test]
async fn it_tells_why_an_event_did_what_it_did_and_what_happened_to_a_user() {
    let world = World::new().await;
    let app = &world.app;
    app.clerk.set_role(&world.ada, "INSTRUCTOR");
    let message = app.clerk.take_messages().pop().unwrap();
    app.deliver(&message).await;
    let answer = sync(app, &format!("explain {}", message.id)).await;
    assert_eq!(answer.status, Some(0), "{answer}");
    answer.line(&["what", "user.updated", &world.ada]);
    answer.line(&["outcome", "applied (rule R2)"]);
    answer.line(&["why", "It shows a newer version of this user"]);
    answer.line(&["changed", "role"]);
    let document = sync(app, &format!("explain --json {}", message.id)).await;
    assert_eq!(document.json()["event"]["outcome"], "applied");

    let history = sync(app, &format!("explain {}", world.ada)).await;
    assert_eq!(history.status, Some(0), "{history}");
    let lines: Vec<&str> = history.stdout.lines().collect();
    assert!(lines[0].contains("user.created"), "{history}");
    history.line(&["user.updated: It shows a newer version", &message.id]);
    history.line(&["STUDENT", "INSTRUCTOR"]);
    let document = sync(app, &format!("explain --json {}", world.ada))
        .await
        .json();
    let kinds = document["history"].as_array().unwrap();
    assert_eq!(kinds.len(), lines.len());
    assert!(
        kinds.iter().any(|it| it["kind"] == "role_change"),
        "{document}"
    );

    let unknown = sync(app, "explain msg_never").await;
    assert_eq!(unknown.status, Some(3), "{unknown}");
    assert_eq!(unknown.stderr, "error: No event msg_never was received.\n");
    world.app.finish().await;
}

#[tokio::test]
async fn what_is_dead_is_replayed() {
    let world = World::new().await;
    let app = &world.app;
    app.execute("alter table users add constraint no_poison check (first_name <> 'poison')")
        .await;
    app.clerk
        .update_user(&world.ada, json!({ "first_name": "poison" }));
    let message = app.clerk.take_messages().pop().unwrap();
    assert_eq!(app.deliver(&message).await.body["outcome"], "dead");
    app.execute("alter table users drop constraint no_poison")
        .await;

    let dry = sync(app, "replay --outcome dead --dry-run --json").await;
    assert_eq!(dry.status, Some(0), "{dry}");
    assert_eq!(dry.json()["dryRun"], true);
    assert_eq!(dry.json()["nWaiting"], 1);
    assert_eq!(dry.json()["nReplayed"], 0);
    assert_eq!(app.inbox(&message.id).await["outcome"], "dead");
    let of_others = sync(app, &format!("replay --object {} --dry-run", world.alan)).await;
    of_others.line(&["0 events waiting."]);

    let replayed = sync(app, &format!("replay {}", message.id)).await;
    assert_eq!(replayed.status, Some(0), "{replayed}");
    replayed.line(&["1 event waiting (1 dead)."]);
    replayed.line(&["1 taken in again (1 applied)."]);
    app.assert_equal().await;
    world.app.finish().await;
}

#[tokio::test]
async fn what_stays_dead_is_named() {
    let app = TestApp::new().await;
    let unreadable = event(&app, "user_1", json!({ "email_addresses": 7 }));
    let answer = app.deliver_event("msg_dead", &unreadable).await;
    assert_eq!(answer.body["outcome"], "dead");
    let replayed = sync(&app, "replay --type user.updated").await;
    assert_eq!(replayed.status, Some(1), "{replayed}");
    replayed.line(&["msg_dead is still dead: scripts/sync explain msg_dead"]);
    app.database.remove().await;
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let app = TestApp::new().await;
    let check = async |line: &str, setting: (&str, &str), expected: &[&str]| {
        let answer = sync_with(&app, line, &[setting]).await;
        assert_eq!(answer.status, Some(2), "{answer}");
        assert_eq!(answer.stdout, "");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer}");
        for part in expected {
            assert!(answer.stderr.contains(part), "{part}: {answer}");
        }
    };
    let database = ["DATABASE_URL is not set.", "postgres://"];
    check("status", ("DATABASE_URL", ""), &database).await;
    let database = ["DATABASE_URL is not a Postgres connection string."];
    check("drift", ("DATABASE_URL", "over there"), &database).await;
    let clerk = ["CLERK_SECRET_KEY is not set.", "sk_live_"];
    check("reconcile --report", ("CLERK_SECRET_KEY", ""), &clerk).await;
    check("backfill", ("CLERK_SECRET_KEY", " "), &clerk).await;
    let number = ["REPAIR_MAX_DELETIONS is not a whole number"];
    check(
        "reconcile --repair",
        ("REPAIR_MAX_DELETIONS", "ten"),
        &number,
    )
    .await;
    let api = ["CLERK_API_URL must be https"];
    check(
        "reconcile --report",
        ("CLERK_API_URL", "http://example.com"),
        &api,
    )
    .await;
    // Nothing was begun by any of them.
    assert_eq!(app.count("reconcile_runs where actor = 'command'").await, 0);
    let wrong = sync(&app, "reconcile --report --dry-run").await;
    assert_eq!(wrong.status, Some(2), "{wrong}");
    app.finish().await;
}

#[tokio::test]
async fn no_secret_and_no_cause_is_missing_when_the_database_is_away() {
    let app = TestApp::new().await;
    let away = "postgres://somebody:hush@127.0.0.1:1/nowhere";
    let answer = sync_with(&app, "status", &[("DATABASE_URL", away)]).await;
    assert_eq!(answer.status, Some(3), "{answer}");
    assert!(
        answer.stderr.contains("The database cannot be reached"),
        "{answer}"
    );
    assert!(answer.stderr.contains("Connection refused"), "{answer}");
    assert!(!answer.stderr.contains("hush"), "{answer}");
    app.finish().await;
}
