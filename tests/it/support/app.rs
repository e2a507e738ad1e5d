//! The functions in this process, between a real database and the emulator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clerk_emulator::{Emulator, Message, Options};
use serde_json::{Value, json};
use shared::config::Settings;
use shared::db::runs::{Approval, Mode, NewRun, State};
use shared::gate::Gate;
use shared::sync::work_on_run;
use shared::{http, telemetry};
use tokio_postgres::Client;
use uuid::Uuid;

use super::database::Database;
use super::gateway::{Answer, Call};

/// What `reconcile` has to ask Clerk about.
const FLAGS: [(&str, &str); 5] = [
    ("users", "refetch_at"),
    ("users", "organizations_refetch_at"),
    ("organizations", "refetch_at"),
    ("organizations", "members_refetch_at"),
    ("memberships", "refetch_at"),
];

/// Everything that a test needs, and nothing that another test can see.
pub(crate) struct TestApp {
    pub(crate) clerk: Emulator,
    pub(crate) database: Database,
    pub(crate) sql: Client,
    pub(crate) webhook: clerk_webhook::App,
    pub(crate) update_role: Gate,
    pub(crate) admin_users: Gate,
    pub(crate) admin_sync: admin_sync::App,
    pub(crate) sync_user: Gate,
    pub(crate) update_user: Gate,
    pub(crate) update_clerk_user: Gate,
    pub(crate) reconcile: reconcile::App,
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With Grace, an admin, and Ada, a student; returns their Clerk ids, too.
    pub(crate) async fn with_admin_and_student() -> (Self, String, String) {
        let app = Self::new().await;
        let grace = app.admin("grace").await;
        let ada = app.user("ada", Some("STUDENT")).await;
        (app, grace, ada)
    }

    /// With other settings than the usual ones; an empty value takes a setting away.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let database = Database::new().await;
        let url = database.url.clone();
        Self::at(database, &url, settings).await
    }

    /// With the functions behind another address of the database.
    pub(crate) async fn at(database: Database, url: &str, settings: &[(&str, &str)]) -> Self {
        Self::between(database, url, Options::default(), settings).await
    }

    /// With a Clerk that is set up otherwise than usual.
    pub(crate) async fn with_clerk(options: Options) -> Self {
        let database = Database::new().await;
        let url = database.url.clone();
        Self::between(database, &url, options, &[]).await
    }

    async fn between(
        database: Database,
        url: &str,
        options: Options,
        settings: &[(&str, &str)],
    ) -> Self {
        let clerk = Emulator::start(options).await;
        let clerk = clerk.expect("the emulator starts");
        let settings = settings_of(&clerk, url, settings);
        telemetry::init(&settings);
        let sql = database.connect().await;
        // So that no tick begins a full comparison of its own: a test that wants one says so.
        sql.batch_execute(
            "insert into reconcile_runs (mode, state, actor, finished_at)
            values ('report', 'done', 'schedule', now())",
        )
        .await
        .unwrap();
        Self {
            sql,
            database,
            webhook: clerk_webhook::App::new(&settings),
            update_role: Gate::from_settings(&settings),
            admin_users: Gate::from_settings(&settings),
            admin_sync: admin_sync::App::new(&settings),
            sync_user: Gate::from_settings(&settings),
            update_user: Gate::from_settings(&settings),
            update_clerk_user: Gate::from_settings(&settings),
            reconcile: reconcile::App::new(&settings),
            clerk,
        }
    }

    /// A user in Clerk and, by webhook, here; returns the Clerk id.
    pub(crate) async fn user(&self, name: &str, role: Option<&str>) -> String {
        let metadata = role.map_or(json!({}), |role| json!({ "role": role }));
        let user = self.clerk.create_user(json!({
            "email": format!("{name}@example.com"),
            "first_name": name,
            "public_metadata": metadata,
        }));
        self.deliver_all().await;
        user["id"].as_str().unwrap().to_owned()
    }

    /// Somebody who may do everything; returns the Clerk id.
    pub(crate) async fn admin(&self, name: &str) -> String {
        self.user(name, Some("ADMIN")).await
    }

    /// Delivers all messages that Clerk holds, in order; each must be taken in.
    pub(crate) async fn deliver_all(&self) -> Vec<Value> {
        let mut outcomes = Vec::new();
        for message in self.clerk.take_messages() {
            let answer = self.deliver(&message).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            outcomes.push(answer.body["outcome"].clone());
        }
        outcomes
    }

    /// One delivery.
    pub(crate) async fn deliver(&self, message: &Message) -> Answer {
        self.deliver_body(&message.body, self.clerk.sign(message))
            .await
    }

    /// A body of the test's own, signed as Clerk would.
    pub(crate) async fn deliver_event(&self, svix_id: &str, event: &Value) -> Answer {
        let body = event.to_string();
        let now = Emulator::real_ms() / 1000;
        let headers = self.clerk.sign_body(svix_id, now, body.as_bytes());
        self.deliver_body(&body, headers).await
    }

    pub(crate) async fn deliver_body(&self, body: &str, headers: Vec<(String, String)>) -> Answer {
        let call = Call::new("POST", "/api/webhooks/clerk")
            .headers(headers)
            .header("content-type", "application/json")
            .body(body);
        self.call_webhook(&call).await
    }

    pub(crate) async fn call_webhook(&self, call: &Call) -> Answer {
        let handler = |request| clerk_webhook::handle(&self.webhook, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    pub(crate) async fn call_update_role(&self, call: &Call) -> Answer {
        let handler = |request| update_role::handle(&self.update_role, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    pub(crate) async fn call_admin_users(&self, call: &Call) -> Answer {
        let handler = |request| admin_users::handle(&self.admin_users, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    pub(crate) async fn call_admin_sync(&self, call: &Call) -> Answer {
        let handler = |request| admin_sync::handle(&self.admin_sync, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    pub(crate) async fn call_sync_user(&self, call: &Call) -> Answer {
        let handler = |request| sync_user::handle(&self.sync_user, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    pub(crate) async fn call_update_user(&self, call: &Call) -> Answer {
        let handler = |request| update_user::handle(&self.update_user, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    pub(crate) async fn call_update_clerk_user(&self, call: &Call) -> Answer {
        let handler = |request| update_clerk_user::handle(&self.update_clerk_user, request);
        Answer::read(&http::answer(call.event(), &handler).await)
    }

    /// Somebody edits a profile.
    pub(crate) async fn edit(&self, caller: &str, user: &str, body: Value) -> Answer {
        let call = Call::new("PATCH", &format!("/api/users/{user}"))
            .token(&self.clerk.session_token(caller))
            .json(&body);
        self.call_update_user(&call).await
    }

    /// Somebody edits a user in Clerk.
    pub(crate) async fn edit_in_clerk(&self, caller: &str, user: &str, updates: Value) -> Answer {
        let call = Call::new("POST", "/api/update-clerk-user")
            .token(&self.clerk.session_token(caller))
            .json(&json!({ "clerkId": user, "updates": updates }));
        self.call_update_clerk_user(&call).await
    }

    /// An admin asks for, looks at (GET) or takes back (DELETE) another address.
    pub(crate) async fn email_change(
        &self,
        method: &str,
        admin: &str,
        user: &str,
        email: Option<&str>,
    ) -> Answer {
        let call = Call::new(method, &format!("/api/users/{user}/email-change"))
            .token(&self.clerk.session_token(admin));
        let call = match email {
            Some(email) => call.json(&json!({ "email": email })),
            None => call,
        };
        self.call_update_user(&call).await
    }

    /// Somebody asks for something to be pulled from Clerk.
    pub(crate) async fn sync(&self, user: &str, path: &str) -> Answer {
        let token = self.clerk.session_token(user);
        let path = format!("/api/sync/{path}");
        self.call_sync_user(&Call::new("POST", &path).token(&token))
            .await
    }

    /// An admin sets a role.
    pub(crate) async fn set_role(&self, admin: &str, user: &str, body: Value) -> Answer {
        let call = Call::new("PATCH", &format!("/api/admin/users/{user}"))
            .token(&self.clerk.session_token(admin))
            .json(&body);
        self.call_update_role(&call).await
    }

    /// An admin asks something.
    pub(crate) async fn get(&self, admin: &str, path: &str) -> Answer {
        let token = self.clerk.session_token(admin);
        self.call_admin_users(&Call::new("GET", path).token(&token))
            .await
    }

    /// One tick of `reconcile`.
    pub(crate) async fn reconcile(&self) -> shared::sync::Report {
        let deadline = Instant::now() + Duration::from_secs(30);
        reconcile::run(&self.reconcile, deadline)
            .await
            .expect("the tick ends well")
    }

    /// A full comparison by its own, until it is over; returns the run as it is shown.
    pub(crate) async fn compare(&self, mode: Mode) -> Value {
        let limits = self.reconcile.limits.clone().unwrap();
        let approval = limits.brake.approval();
        let run = self.begin_run(mode, approval).await;
        self.work_on_run().await;
        self.run(run).await
    }

    /// Asks for a full comparison.
    pub(crate) async fn begin_run(&self, mode: Mode, approval: Approval) -> Uuid {
        let new = NewRun {
            mode,
            actor: "command".to_owned(),
            request_id: None,
            approval,
        };
        let db = self.reconcile.db.as_ref().unwrap();
        let run = db.begin_run(&new).await.expect("the database answers");
        run.expect("no other run is under way")
    }

    /// Works on the run that is under way, as long as it takes.
    pub(crate) async fn work_on_run(&self) -> Option<State> {
        let deadline = Instant::now() + Duration::from_mins(1);
        let clerk = self.reconcile.clerk.as_ref().unwrap();
        let db = self.reconcile.db.as_ref().unwrap();
        work_on_run(clerk, db, deadline)
            .await
            .expect("the database answers")
    }

    /// A run as it is shown.
    pub(crate) async fn run(&self, run: Uuid) -> Value {
        let db = self.reconcile.db.as_ref().unwrap();
        let run = db.shown_run(run).await.unwrap().expect("the run is there");
        serde_json::to_value(run).unwrap()
    }

    /// What the last run found, as `class object cause state clerk_id`, in order of urgency.
    pub(crate) async fn drift(&self) -> Vec<String> {
        let statement = "
            select concat_ws(' ', class, object, cause, state, clerk_id)
            from drift
            where run_id = (
                select id from reconcile_runs order by created_at desc limit 1
            )
            order by priority, id";
        let rows = self.sql.query(statement, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Whatever was lost: all is compared and mended, and the two sides come to rest.
    pub(crate) async fn repair(&self) {
        self.settle().await;
        let run = self.compare(Mode::Repair).await;
        assert_eq!(run["state"], "done", "{run}");
        self.settle().await;
    }

    /// What failed may be tried again at once.
    pub(crate) async fn forget_waits(&self) {
        self.execute(
            "update outbox set next_attempt_at = now(), leased_until = null
            where completed_at is null and dead_at is null;
            update profile_edits set settle_at = now() where closed_at is null;
            update reconcile_runs set next_attempt_at = now() where finished_at is null;
            update email_changes set settle_at = now() where settle_at is not null",
        )
        .await;
        for (table, column) in FLAGS {
            let statement =
                format!("update {table} set {column} = now() where {column} is not null");
            self.execute(&statement).await;
        }
    }

    /// The role of the row, by Clerk id.
    pub(crate) async fn role(&self, clerk_id: &str) -> String {
        self.one("select role::text from users where clerk_id = $1", clerk_id)
            .await
    }

    /// The role in Clerk; empty if there is none.
    pub(crate) fn clerk_role(&self, clerk_id: &str) -> String {
        let user = self.clerk.user(clerk_id).expect("the user is in Clerk");
        user["public_metadata"]["role"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The row as JSON.
    pub(crate) async fn row(&self, clerk_id: &str) -> Value {
        let rows = self
            .sql
            .query(
                "select to_jsonb(u) from users u where clerk_id = $1",
                &[&clerk_id],
            )
            .await
            .unwrap();
        rows.first().map_or(Value::Null, |row| row.get(0))
    }

    /// The inbox row as JSON.
    pub(crate) async fn inbox(&self, svix_id: &str) -> Value {
        let rows = self
            .sql
            .query(
                "select to_jsonb(b) from inbox b where svix_id = $1",
                &[&svix_id],
            )
            .await
            .unwrap();
        rows.first().map_or(Value::Null, |row| row.get(0))
    }

    /// One text of the row of a user.
    pub(crate) async fn one(&self, statement: &str, clerk_id: &str) -> String {
        self.sql
            .query_one(statement, &[&clerk_id])
            .await
            .expect("one row")
            .get(0)
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        self.sql
            .query_one(&format!("select count(*) from {from}"), &[])
            .await
            .unwrap()
            .get(0)
    }

    pub(crate) async fn execute(&self, statement: &str) {
        self.sql.batch_execute(statement).await.unwrap();
    }

    /// Until somebody waits in the database for what somebody else holds.
    pub(crate) async fn until_somebody_waits(&self) {
        let waiting = "pg_locks l
            where not l.granted and l.pid in (
                select a.pid from pg_stat_activity a where a.datname = current_database()
            )";
        while self.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Everything is done and both sides are equal; then the database goes.
    pub(crate) async fn finish(self) {
        self.settle().await;
        self.assert_equal().await;
        self.database.remove().await;
    }

    /// Delivers what is left in both directions until nothing is.
    pub(crate) async fn settle(&self) {
        for _ in 0..10 {
            self.deliver_all().await;
            self.forget_waits().await;
            self.reconcile().await;
            let n_owed = self
                .count("outbox where completed_at is null and dead_at is null")
                .await
                + self.count("profile_edits where closed_at is null").await
                + self.count("email_changes where state = 'moved'").await;
            let mut n_flagged = 0;
            for (table, column) in FLAGS {
                n_flagged += self
                    .count(&format!("{table} where {column} is not null"))
                    .await;
            }
            if n_owed + n_flagged == 0 && self.deliver_all().await.is_empty() {
                return;
            }
        }
        panic!("the two sides do not come to rest");
    }

    /// Everything that lives in Clerk is here, as Clerk has it, and nothing else.
    pub(crate) async fn assert_equal(&self) {
        for (here, there) in self.sides().await {
            assert_eq!(here, there, "ours on the left, Clerk's on the right");
        }
    }

    /// What lives here and in Clerk and is not the same, or on one side only.
    pub(crate) async fn differences(&self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (here, there) in self.sides().await {
            let ids: BTreeSet<String> = here.iter().chain(&there).map(id).collect();
            let mut here: BTreeMap<_, _> = here.into_iter().map(|it| (id(&it), it)).collect();
            let mut there: BTreeMap<_, _> = there.into_iter().map(|it| (id(&it), it)).collect();
            let sides = ids.iter().map(|id| (here.remove(id), there.remove(id)));
            let different = sides.filter(|(here, there)| here != there);
            differences.extend(different.map(|(here, there)| Difference { here, there }));
        }
        differences
    }

    /// What lives here and in Clerk, in the same form and order: users, organizations, memberships.
    async fn sides(&self) -> [(Vec<Value>, Vec<Value>); 3] {
        let users = "
            select jsonb_build_object(
                'id', clerk_id, 'email', email, 'first_name', first_name, 'last_name', last_name,
                'role', role, 'version', clerk_version
            )
            from users
            where deleted_at is null and clerk_id is not null";
        let organizations = "
            select jsonb_build_object(
                'id', clerk_id, 'name', name, 'slug', slug, 'created_by', created_by,
                'max', max_allowed_memberships, 'metadata', public_metadata,
                'version', clerk_version
            )
            from organizations
            where deleted_at is null";
        let memberships = "
            select jsonb_build_object(
                'id', m.clerk_id, 'user', u.clerk_id, 'organization', o.clerk_id, 'role', m.role,
                'permissions', m.permissions, 'metadata', m.public_metadata,
                'version', m.clerk_version
            )
            from memberships m
            join users u on u.id = m.user_id
            join organizations o on o.id = m.organization_id
            where m.deleted_at is null";
        let clerk = &self.clerk;
        [
            self.side_by_side(users, clerk.users(), as_user).await,
            self.side_by_side(organizations, clerk.organizations(), as_organization)
                .await,
            self.side_by_side(memberships, clerk.memberships(), as_membership)
                .await,
        ]
    }

    async fn side_by_side(
        &self,
        statement: &str,
        there: Vec<Value>,
        as_row: fn(&Value) -> Value,
    ) -> (Vec<Value>, Vec<Value>) {
        let rows = self.sql.query(statement, &[]).await.unwrap();
        let mut here: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
        let mut there: Vec<Value> = there.iter().map(as_row).collect();
        here.sort_by_key(id);
        there.sort_by_key(id);
        (here, there)
    }
}

/// Something that is not the same on both sides.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) here: Option<Value>,
    pub(crate) there: Option<Value>,
}

fn id(object: &Value) -> String {
    object["id"].to_string()
}

/// What the row of an organization in Clerk has to say.
fn as_organization(organization: &Value) -> Value {
    json!({
        "id": organization["id"],
        "name": organization["name"],
        "slug": organization["slug"],
        "created_by": organization["created_by"],
        "max": organization["max_allowed_memberships"],
        "metadata": organization["public_metadata"],
        "version": organization["updated_at"],
    })
}

/// What the row of a membership in Clerk has to say.
fn as_membership(membership: &Value) -> Value {
    let mut permissions: Vec<&str> = membership["permissions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    permissions.sort_unstable();
    json!({
        "id": membership["id"],
        "user": membership["public_user_data"]["user_id"],
        "organization": membership["organization"]["id"],
        "role": membership["role"],
        "permissions": permissions,
        "metadata": membership["public_metadata"],
        "version": membership["updated_at"],
    })
}

/// What the row of a user in Clerk has to say, computed independently of the code under test.
fn as_user(user: &Value) -> Value {
    let primary = user["email_addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|email| email["id"] == user["primary_email_address_id"]);
    let role = user["public_metadata"]["role"]
        .as_str()
        .unwrap_or("STUDENT")
        .to_uppercase();
    let known = ["STUDENT", "INSTRUCTOR", "ADMIN"].contains(&role.as_str());
    json!({
        "id": user["id"],
        "email": primary.map(|email| email["email_address"].clone()),
        "first_name": user["first_name"],
        "last_name": user["last_name"],
        "role": if known { role.as_str() } else { "STUDENT" },
        "version": user["updated_at"],
    })
}

pub(crate) fn settings_of(
    clerk: &Emulator,
    database_url: &str,
    extra: &[(&str, &str)],
) -> Settings {
    let issuer = clerk.issuer();
    let usual = [
        ("DATABASE_URL", database_url),
        ("CLERK_API_URL", clerk.url()),
        ("CLERK_SECRET_KEY", clerk.secret_key()),
        ("CLERK_WEBHOOK_SECRET", clerk.webhook_secret()),
        ("CLERK_JWT_KEY", clerk.jwt_key()),
        ("CLERK_ISSUER", issuer.as_str()),
        ("CLERK_INSTANCE_ID", clerk.instance_id()),
    ];
    Settings::from_pairs(usual.into_iter().chain(extra.iter().copied()))
}
