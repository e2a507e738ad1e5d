//! The promise with changes of address in it: random histories on both sides end with equal tables,
//! and every change of address ends as the history in Clerk says.
//!
//! Each history is made from a seed, which a failure names.

use std::collections::BTreeMap;
use std::time::Duration;

use clerk_emulator::{Fault, MemberEvents, Message};
use futures_util::future::join_all;

use super::*;

const ROLES: [&str; 3] = ["STUDENT", "INSTRUCTOR", "ADMIN"];
const MEMBER_ROLES: [&str; 2] = ["org:admin", "org:member"];
const MEMBER_EVENTS: [MemberEvents; 3] = [
    MemberEvents::None,
    MemberEvents::Before,
    MemberEvents::After,
];

/// How many histories; `CONVERGENCE_HISTORIES` makes it more.
const N_HISTORIES: u64 = 10;
/// How many things happen in a history.
const N_STEPS: usize = 60;
/// How many users there are at first, and how many addresses they compete for.
const N_USERS: usize = 4;
const N_ADDRESSES: u8 = 6;

/// What goes on in one history.
struct History {
    app: TestApp,
    random: fastrand::Rng,
    grace: String,
    /// The rows that there were at first.
    rows: Vec<String>,
    clubs: Vec<String>,
    /// Messages on their way, and those that arrived and may arrive again.
    in_flight: Vec<Message>,
    arrived: Vec<Message>,
}

#[tokio::test]
async fn any_history_with_changes_of_address_ends_equal() {
    for seed in 0..n_histories() {
        let mut history = History::begin(seed).await;
        say_seed(seed);
        for _ in 0..N_STEPS {
            history.step().await;
        }
        history.end().await;
        history.assert_every_change_fits().await;
        history.assert_every_row_is_somewhere().await;
        history.app.assert_equal().await;
        history.app.database.remove().await;
    }
}

/// A failure shows what was said last.
#[expect(
    clippy::print_stdout,
    reason = "the seed is what a person needs to see it again"
)]
fn say_seed(seed: u64) {
    println!("history {seed}");
}

impl History {
    async fn begin(seed: u64) -> Self {
        let app = TestApp::new().await;
        let mut random = fastrand::Rng::with_seed(seed);
        app.clerk
            .member_events(random.choice(MEMBER_EVENTS).unwrap());
        let grace = app.admin("grace").await;
        let mut rows = Vec::new();
        for n in 0..N_USERS {
            let role = random.choice(ROLES);
            let user = app.user(&format!("user{n}"), role).await;
            rows.push(id(&app.row(&user).await));
        }
        let mut clubs = Vec::new();
        for name in ["One", "Two"] {
            let club = json!({ "name": name, "created_by": grace });
            clubs.push(id(&app.clerk.create_organization(club)));
        }
        app.deliver_all().await;
        Self {
            app,
            random,
            grace,
            rows,
            clubs,
            in_flight: Vec::new(),
            arrived: Vec::new(),
        }
    }

    async fn step(&mut self) {
        match self.random.u8(0..32) {
            0..=4 => self.request().await,
            5 => self.take_back().await,
            6..=8 => self.accept().await,
            9 => self.accept_unnoticed().await,
            10 => self.sign_up(),
            11 => self.revoke_at_the_dashboard().await,
            12 => self.take_the_address(),
            13 => self.app.clerk.advance(Duration::from_hours(31 * 24)),
            14 | 15 => self.set_role().await,
            16..=18 => self.change_in_clerk(),
            19 | 20 => self.change_member(),
            21 => self.delete(),
            22 => self.order_fault(),
            23 | 24 => drop(reconcile_now(&self.app).await),
            25 => drop(self.app.reconcile().await),
            _ => self.deliver().await,
        }
        self.in_flight.extend(self.app.clerk.take_messages());
    }

    /// An admin asks for an address for somebody.
    async fn request(&mut self) {
        let (row, email) = (self.row(), self.address());
        let request = email_change_now(&self.app, "POST", &self.grace, &row, Some(&email));
        let answer = request.await;
        assert_ne!(answer.status, 500, "{}", answer.body);
        assert_ne!(answer.status, 401, "{}", answer.body);
    }

    async fn take_back(&mut self) {
        let row = self.row();
        let answer = email_change_now(&self.app, "DELETE", &self.grace, &row, None).await;
        assert_ne!(answer.status, 500, "{}", answer.body);
    }

    /// Somebody follows a link.
    async fn accept(&mut self) {
        if let Some(invitation) = self.pending().await {
            self.app.clerk.accept_invitation(&invitation);
        }
    }

    /// Somebody follows a link of ours, and no message tells of it.
    async fn accept_unnoticed(&mut self) {
        // Who else came and went meanwhile is told of first: without a message nobody else would
        // ever learn of the new account.
        self.app.clerk.clear_faults();
        self.deliver_the_rest().await;
        reconcile_now(&self.app).await;
        let Some(invitation) = self.pending().await else {
            return;
        };
        let ours =
            format!("email_changes where invitation_id = '{invitation}' and state = 'invited'");
        if self.app.count(&ours).await == 1 {
            self.in_flight.extend(self.app.clerk.take_messages());
            self.app.clerk.accept_invitation(&invitation);
            drop(self.app.clerk.take_messages());
            reconcile_now(&self.app).await;
        }
    }

    /// Somebody signs up with an address, whoever is invited to it.
    fn sign_up(&mut self) {
        let email = self.address();
        if !self.is_in_clerk(&email) {
            self.app.clerk.create_user(json!({ "email": email }));
        }
    }

    async fn revoke_at_the_dashboard(&mut self) {
        if let Some(invitation) = self.pending().await {
            let clerk = &self.app.clerk;
            let url = format!("{}/v1/invitations/{invitation}/revoke", clerk.url());
            let request = reqwest::Client::new().post(url);
            // A fault may hit it, too.
            drop(request.bearer_auth(clerk.secret_key()).send().await);
        }
    }

    /// A user makes an address theirs, whoever is invited to it.
    fn take_the_address(&mut self) {
        let email = self.address();
        if let Some(user) = self.user()
            && !self.is_in_clerk(&email)
        {
            self.app.clerk.update_user(&user, json!({ "email": email }));
        }
    }

    async fn set_role(&mut self) {
        let role = self.random.choice(ROLES).unwrap();
        let call = Call::new("PATCH", &format!("/api/admin/users/{}", self.row()))
            .token(&token_now(&self.app, &self.grace))
            .json(&json!({ "role": role }));
        let answer = self.app.call_update_role(&call).await;
        assert!(matches!(answer.status, 200 | 404), "{}", answer.body);
    }

    fn change_in_clerk(&mut self) {
        let Some(user) = self.user() else { return };
        let role = self.random.choice(ROLES);
        let patch = match self.random.u8(0..5) {
            0 => json!({ "first_name": format!("name{}", self.random.u8(..)) }),
            1 => json!({ "banned": true }),
            2 => json!({ "banned": false }),
            3 => json!({ "public_metadata": { "theme": self.random.u8(..) } }),
            _ => json!({ "public_metadata": { "role": role } }),
        };
        self.app.clerk.update_user(&user, patch);
    }

    fn change_member(&mut self) {
        let (Some(user), Some(club)) = (self.user(), self.random.choice(self.clubs.clone())) else {
            return;
        };
        let role = self.random.choice(MEMBER_ROLES).unwrap();
        let clerk = &self.app.clerk;
        if clerk.membership(&club, &user).is_none() {
            clerk.add_member(&club, &user, role);
        } else if self.random.bool() {
            clerk.set_member_role(&club, &user, role);
        } else {
            clerk.remove_member(&club, &user);
        }
    }

    fn delete(&mut self) {
        if let Some(user) = self.user()
            && self.random.bool()
        {
            self.app.clerk.delete_user(&user);
        }
    }

    fn order_fault(&mut self) {
        let fault = match self.random.u8(0..4) {
            0 => Fault::status(500),
            1 => Fault::drop_answer(),
            2 => Fault::drop(),
            _ => Fault::rate_limited(1),
        };
        let calls = [
            ("POST", "/v1/invitations"),
            ("GET", "/v1/invitations"),
            ("GET", "/v1/users"),
            ("PATCH", "/v1/users"),
            ("DELETE", "/v1/users"),
            ("POST", "/v1/organizations"),
            ("GET", "/v1/organizations"),
        ];
        let (method, path) = self.random.choice(calls).unwrap();
        let times = self.random.u32(1..3);
        self.app.clerk.fault(fault.on(method, path).times(times));
    }

    async fn deliver(&mut self) {
        if !self.in_flight.is_empty() {
            let place = self.random.usize(..self.in_flight.len());
            let message = self.in_flight.swap_remove(place);
            let answer = self.app.deliver(&message).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.arrived.push(message);
        }
        if let Some(again) = self.random.choice(self.arrived.clone())
            && self.random.bool()
        {
            let answer = self.app.deliver(&again).await;
            assert_eq!(answer.body["outcome"], "duplicate");
        }
    }

    /// What is still on its way arrives in any order, one by one or some at once.
    async fn deliver_the_rest(&mut self) {
        self.in_flight.extend(self.app.clerk.take_messages());
        let mut messages = std::mem::take(&mut self.in_flight);
        self.random.shuffle(&mut messages);
        let n_at_once = if self.random.bool() { 1 } else { 5 };
        let settings = settings_of(&self.app.clerk, &self.app.database.url, &[]);
        for some in messages.chunks(n_at_once) {
            let deliveries = some.iter().map(|message| {
                let sandbox = clerk_webhook::App::new(&settings);
                let event = Call::new("POST", "/api/webhooks/clerk")
                    .headers(self.app.clerk.sign(message))
                    .body(&message.body)
                    .event();
                async move {
                    let handler = |request| clerk_webhook::handle(&sandbox, request);
                    shared::http::answer(event, &handler).await
                }
            });
            for answer in join_all(deliveries).await {
                assert_eq!(answer["statusCode"], 200, "{answer}");
            }
        }
        self.arrived.extend(messages);
    }

    /// All that is owed is done on both sides.
    async fn end(&mut self) {
        self.app.clerk.clear_faults();
        self.deliver_the_rest().await;
        self.app.settle().await;
        // Long afterwards: what never reached Clerk is over, and who cannot be found is given up.
        for later in [
            "update email_changes set created_at = created_at - interval '1 minute'",
            "update email_changes set expires_at = now() where last_error = 'account_not_found'",
        ] {
            self.app.execute(later).await;
            reconcile_now(&self.app).await;
        }
        self.app.settle().await;
    }

    /// What Clerk says of the invitation and of the accounts is what the change says.
    async fn assert_every_change_fits(&self) {
        let mut status = BTreeMap::new();
        for wanted in ["pending", "accepted", "revoked", "expired"] {
            for invitation in invitations(&self.app, wanted).await {
                status.insert(id(&invitation), wanted);
            }
        }
        let changes = changes(&self.app).await;
        let mut open = Vec::new();
        for change in &changes {
            let invitation = change["invitation_id"].as_str();
            let in_clerk = invitation.and_then(|id| status.get(id)).copied();
            match change["state"].as_str().unwrap() {
                "invited" => {
                    assert_eq!(in_clerk, Some("pending"), "{change}");
                    open.push(invitation.unwrap().to_owned());
                    let user = self.row_by_id(&text(&change["user_id"])).await;
                    let is_out = !user["deleted_at"].is_null() || user["banned"] == true;
                    assert!(
                        !is_out && user["email"] != change["email"],
                        "{change} {user}"
                    );
                }
                "done" => {
                    assert_ne!(in_clerk, Some("pending"), "{change}");
                    let old = change["old_clerk_id"].as_str().unwrap();
                    assert!(self.app.clerk.user(old).is_none(), "{change}");
                    self.assert_moved(change, &changes).await;
                }
                "revoked" => assert!(matches!(in_clerk, None | Some("revoked")), "{change}"),
                "expired" => assert!(matches!(in_clerk, None | Some("expired")), "{change}"),
                "failed" => {
                    assert_ne!(in_clerk, Some("pending"), "{change}");
                    assert!(change["reason"].is_string(), "{change}");
                }
                state => panic!("{state} is no end: {change}"),
            }
        }
        let mut pending: Vec<_> = status
            .iter()
            .filter(|(_, status)| **status == "pending")
            .map(|(id, _)| id.clone())
            .collect();
        pending.sort();
        open.sort();
        assert_eq!(
            pending, open,
            "every open invitation is of a change: {changes:#?}"
        );
    }

    /// The row is on the new account, or has moved on from there.
    async fn assert_moved(&self, change: &Value, changes: &[Value]) {
        let mut account = &change["new_clerk_id"];
        let row = self.row_by_id(&text(&change["user_id"])).await;
        while let Some(next) = changes
            .iter()
            .find(|next| next["old_clerk_id"] == *account && next["state"] == "done")
        {
            account = &next["new_clerk_id"];
        }
        assert_eq!(row["clerk_id"], *account, "{change}");
    }

    /// No row of the beginning was lost, and the accounts that were left have tombstones.
    async fn assert_every_row_is_somewhere(&self) {
        for row in &self.rows {
            let row = self.row_by_id(row).await;
            let account = text(&row["clerk_id"]);
            let is_gone = !row["deleted_at"].is_null();
            assert_eq!(self.app.clerk.user(&account).is_none(), is_gone, "{row}");
        }
        let stray = "email_changes c
            where c.state = 'done' and not exists (
                select
                from users u
                where u.clerk_id = c.old_clerk_id and u.deleted_at is not null
                    and u.id <> c.user_id
            )";
        assert_eq!(self.app.count(stray).await, 0, "a tombstone for each");
        let ghosts = "memberships m
            join users u on u.id = m.user_id
            where m.deleted_at is null and u.deleted_at is not null";
        assert_eq!(self.app.count(ghosts).await, 0);
    }

    async fn row_by_id(&self, id: &str) -> Value {
        let statement = "select to_jsonb(u) from users u where u.id::text = $1";
        let row = self.app.sql.query_one(statement, &[&id]).await.unwrap();
        row.get(0)
    }

    /// A row of the beginning.
    fn row(&mut self) -> String {
        self.random.choice(self.rows.clone()).unwrap()
    }

    /// An address that users compete for.
    fn address(&mut self) -> String {
        format!("new{}@example.com", self.random.u8(..N_ADDRESSES))
    }

    /// Somebody in Clerk, but not the one who does all this.
    fn user(&mut self) -> Option<String> {
        let users = self.app.clerk.users();
        let others = users.iter().map(id).filter(|it| *it != self.grace);
        let others: Vec<_> = others.collect();
        self.random.choice(others)
    }

    fn is_in_clerk(&self, email: &str) -> bool {
        let users = self.app.clerk.users();
        let has = |user: &Value| user["email_addresses"].to_string().contains(email);
        users.iter().any(has)
    }

    /// An invitation that may be followed; none if Clerk does not say.
    async fn pending(&mut self) -> Option<String> {
        let clerk = &self.app.clerk;
        let url = format!("{}/v1/invitations?limit=500&status=pending", clerk.url());
        let request = reqwest::Client::new().get(url);
        let answer = request.bearer_auth(clerk.secret_key()).send().await.ok()?;
        let pending: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        let mut ids: Vec<String> = pending.as_array()?.iter().map(id).collect();
        ids.sort();
        self.random.choice(ids)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of ours"
)]
fn n_histories() -> u64 {
    let wanted = std::env::var("CONVERGENCE_HISTORIES").ok();
    wanted.map_or(N_HISTORIES, |text| {
        text.parse().expect("a number of histories")
    })
}
