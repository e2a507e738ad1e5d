//! The migrations: from nothing, again, at once, and each over the rows of the ones before it.

use std::fs;
use std::path::Path;

use shared::db::{Address, migrate};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::database::Database;

/// Rows for the tables of each migration, so that the next one is proved with something in them.
const ROWS: [(&str, &str); 10] = [
    (
        "V1__users",
        "insert into users (clerk_id, email, role, clerk_version) values
            ('user_1', 'ada@example.com', 'ADMIN', 1700000000000),
            ('user_2', 'Ada@Example.com', 'STUDENT', 0),
            (null, 'ada@example.com', 'INSTRUCTOR', 0),
            (null, null, 'STUDENT', 0);
        insert into users (clerk_id, deleted_at) values ('user_3', now())",
    ),
    (
        "V2__inbox",
        "insert into inbox (svix_id, event_type, outcome) values
            ('msg_1', 'user.created', 'applied'), ('msg_2', 'session.created', 'ignored');
        insert into inbox (svix_id, event_type, object_id, outcome, payload)
            values ('msg_3', 'user.updated', 'user_1', 'dead', '{\"a\":[1]}')",
    ),
    (
        "V3__outbox",
        "insert into outbox (kind, user_id, payload)
            select 'role', id, '{\"role\":\"ADMIN\"}' from users;
        update outbox set completed_at = now();
        insert into outbox (kind, user_id, payload)
            select 'role', id, '{\"role\":\"STUDENT\"}' from users",
    ),
    (
        "V4__role_changes",
        "insert into role_changes (user_id, old_role, new_role, actor, source)
            select id, null, role, 'clerk', 'webhook' from users",
    ),
    (
        "V5__settings",
        "insert into settings (name, value) values ('a', '1'), ('b', 'null')",
    ),
    (
        "V6__organizations",
        "insert into organizations (clerk_id, name, slug) values
            ('org_1', 'Acme', 'acme'), ('org_2', 'Acme', null);
        insert into organizations (clerk_id, is_placeholder, refetch_at)
            values ('org_3', true, now())",
    ),
    (
        "V7__memberships",
        "insert into memberships (clerk_id, organization_id, user_id, role, deleted_at)
            select 'orgmem_' || u.clerk_id, o.id, u.id, 'org:member', now()
            from users u, organizations o
            where u.clerk_id is not null and o.clerk_id = 'org_1';
        insert into memberships (organization_id, user_id, role, is_placeholder)
            select o.id, u.id, 'org:admin', true
            from users u, organizations o
            where u.clerk_id = 'user_1' and o.clerk_id = 'org_1'",
    ),
    (
        "V8__profile_edits",
        "insert into profile_edits (user_id, clerk_id, fields, payload, actor)
            select id, clerk_id, '{first_name}', '{\"first_name\":\"Ada\"}', 'user_1' from users;
        insert into profile_edits (fields, actor, closed_at, outcome)
            values ('{password}', 'user_1', now(), 'done')",
    ),
    (
        "V9__email_changes",
        "insert into email_changes (user_id, old_clerk_id, email, actor)
            select id, clerk_id, clerk_id || '@example.org', 'user_1'
            from users where clerk_id is not null;
        insert into email_changes
            (user_id, old_clerk_id, email, actor, state, closed_at, settle_at)
            select id, clerk_id, 'x@example.org', 'user_1', 'revoked', now(), null
            from users where clerk_id is not null",
    ),
    (
        "V10__reconcile",
        "insert into reconcile_runs (mode, state, actor, finished_at)
            values ('report', 'done', 'schedule', now()), ('repair', 'waiting', 'user_1', now());
        insert into reconcile_runs (mode, actor) values ('repair', 'command');
        insert into listed_users (clerk_id, run_id) select 'user_1', id
            from reconcile_runs where state = 'listing';
        insert into drift
            (run_id, class, object, clerk_id, severity, cause, action, priority)
            select id, 'missing', 'user', 'user_9', 'low', 'lost_event', 'create', 1
            from reconcile_runs;
        insert into clerk_tokens (n_tokens) values (-1.5)",
    ),
];

/// The migrations by name and text, in their order.
fn migrations() -> Vec<(String, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = package.with_file_name("shared").join("migrations");
    let mut migrations: Vec<(u32, String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (version, _) = name.split_once("__").expect("V1__name.sql");
            let version = version.strip_prefix('V').unwrap().parse().unwrap();
            (version, name, fs::read_to_string(path).unwrap())
        })
        .collect();
    migrations.sort();
    let in_order = migrations.iter().zip(1..).all(|(it, n)| it.0 == n);
    assert!(in_order, "numbered without a gap");
    let short = |(_, name, text)| (name, text);
    migrations.into_iter().map(short).collect()
}

fn address(database: &Database) -> Address {
    Address::new(&database.url, None).unwrap()
}

/// Everything that makes up the schema, as text.
async fn schema(sql: &Client) -> Vec<String> {
    let statement = "
        select format('%s.%s %s %s %s %s', c.table_name, c.column_name, c.udt_name, c.is_nullable,
            c.column_default, c.generation_expression)
        from information_schema.columns c
        where c.table_schema = 'public' and c.table_name <> 'refinery_schema_history'
        union all
        select indexdef from pg_indexes
        where schemaname = 'public' and tablename <> 'refinery_schema_history'
        union all
        select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace
            and conrelid <> 'refinery_schema_history'::regclass
        union all
        select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
        order by 1";
    let rows = sql.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn n_rows(sql: &Client) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["users", "inbox", "outbox", "role_changes", "settings"] {
        let statement = format!("select count(*) from {table}");
        counts.push(sql.query_one(&statement, &[]).await.unwrap().get(0));
    }
    counts
}

async fn insert_rows(sql: &Client) {
    for (name, rows) in ROWS {
        sql.batch_execute(rows).await.expect(name);
    }
}

#[tokio::test]
async fn the_migrations_apply_to_an_empty_database_and_then_have_nothing_to_do() {
    let database = Database::empty().await;
    let applied = migrate::run(&address(&database)).await.unwrap();
    let names: Vec<String> = migrations().into_iter().map(|(name, _)| name).collect();
    assert_eq!(applied, names);
    let sql = database.connect().await;
    insert_rows(&sql).await;
    let (before, n_before) = (schema(&sql).await, n_rows(&sql).await);
    assert_eq!(n_before, [5, 3, 10, 5, 2]);

    let again = migrate::run(&address(&database)).await.unwrap();
    assert_eq!(again, Vec::<String>::new());
    assert_eq!(schema(&sql).await, before);
    assert_eq!(n_rows(&sql).await, n_before);
    database.remove().await;
}

#[tokio::test]
async fn several_runs_at_once_apply_each_migration_once() {
    for _ in 0..3 {
        let database = Database::empty().await;
        let address = address(&database);
        let run = || migrate::run(&address);
        let (one, two, three) = tokio::join!(run(), run(), run());
        let mut applied = [one.unwrap(), two.unwrap(), three.unwrap()].concat();
        applied.sort();
        let mut names: Vec<String> = migrations().into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(applied, names);
        database.remove().await;
    }
}

#[tokio::test]
async fn the_migrations_apply_through_a_transaction_pooler() {
    let database = Database::empty().await;
    let address = Address::new(&database.pooled_url(), None).unwrap();
    let applied = migrate::run(&address).await.unwrap();
    assert_eq!(applied.len(), migrations().len());
    assert_eq!(migrate::run(&address).await.unwrap().len(), 0);
    // The pooler keeps its own connections to the database, which `remove` ends.
    database.remove().await;
}

/// A migration that fails leaves nothing of itself, and those before it stay.
#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_of_itself() {
    let database = Database::empty().await;
    let sql = database.connect().await;
    sql.batch_execute("create table outbox (in_the_way integer)")
        .await
        .unwrap();
    assert!(migrate::run(&address(&database)).await.is_err());
    sql.batch_execute("drop table outbox").await.unwrap();
    let applied = migrate::run(&address(&database)).await.unwrap();
    let names: Vec<String> = migrations().into_iter().map(|(name, _)| name).collect();
    assert_eq!(applied, names[2..], "the first two were there");
    database.remove().await;
}

#[tokio::test]
async fn each_migration_applies_over_the_rows_of_the_ones_before() {
    let database = Database::empty().await;
    let sql = database.connect().await;
    let migrations = migrations();
    let names: Vec<&str> = migrations.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ROWS.map(|(name, _)| name), "each has rows here");
    for ((name, text), (_, rows)) in migrations.iter().zip(ROWS) {
        // As refinery runs them: each in a transaction.
        let migration = format!("begin; {text}; commit");
        sql.batch_execute(&migration).await.expect(name);
        sql.batch_execute(rows).await.expect(name);
    }
    assert_eq!(n_rows(&sql).await, [5, 3, 10, 5, 2]);

    let whole = Database::new().await;
    let sql_of_whole = whole.connect().await;
    sql.batch_execute("create table refinery_schema_history ()")
        .await
        .unwrap();
    assert_eq!(schema(&sql).await, schema(&sql_of_whole).await);
    whole.remove().await;
    database.remove().await;
}

/// With rows of every kind in a database; the statement is refused for this reason.
async fn check(cases: &[(&str, SqlState)]) {
    let database = Database::new().await;
    let sql = database.connect().await;
    insert_rows(&sql).await;
    let n_before = n_rows(&sql).await;
    for (statement, expected) in cases {
        let refused = sql.batch_execute(statement).await;
        let error = refused.expect_err(statement);
        assert_eq!(error.code(), Some(expected), "{statement}: {error}");
        assert_eq!(n_rows(&sql).await, n_before, "{statement}");
    }
    database.remove().await;
}

#[tokio::test]
async fn a_clerk_id_is_there_once_and_none_any_number_of_times() {
    check(&[
        (
            "insert into users (clerk_id) values ('user_1')",
            SqlState::UNIQUE_VIOLATION,
        ),
        (
            "insert into users (clerk_id) values ('user_3')",
            SqlState::UNIQUE_VIOLATION,
        ),
        (
            "update users set clerk_id = 'user_1' where clerk_id = 'user_2'",
            SqlState::UNIQUE_VIOLATION,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_role_is_one_of_three() {
    check(&[
        (
            "update users set role = 'KING'",
            SqlState::INVALID_TEXT_REPRESENTATION,
        ),
        (
            "update users set role = 'admin'",
            SqlState::INVALID_TEXT_REPRESENTATION,
        ),
        ("update users set role = null", SqlState::NOT_NULL_VIOLATION),
    ])
    .await;
}

#[tokio::test]
async fn a_delivery_is_there_once_with_a_known_outcome_and_keeps_its_body_only_while_it_waits() {
    check(&[
        (
            "insert into inbox (svix_id, event_type, outcome) values ('msg_1', 'x', 'applied')",
            SqlState::UNIQUE_VIOLATION,
        ),
        (
            "insert into inbox (svix_id, event_type, outcome) values ('msg_9', 'x', 'done')",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "insert into inbox (svix_id, event_type, outcome) values ('msg_9', 'x', null)",
            SqlState::NOT_NULL_VIOLATION,
        ),
        (
            "update inbox set payload = '{}' where outcome = 'applied'",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "update inbox set outcome = 'applied' where outcome = 'dead'",
            SqlState::CHECK_VIOLATION,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_user_has_one_open_role_entry_at_most() {
    check(&[
        (
            "insert into outbox (kind, user_id, payload) select 'role', user_id, '{}' from outbox",
            SqlState::UNIQUE_VIOLATION,
        ),
        (
            "update outbox set completed_at = null",
            SqlState::UNIQUE_VIOLATION,
        ),
        (
            "update outbox set dead_at = now() where completed_at is not null",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "insert into outbox (kind, user_id, payload) select 'name', id, '{}' from users",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "insert into outbox (kind, user_id, payload) values ('role', gen_random_uuid(), '{}')",
            SqlState::FOREIGN_KEY_VIOLATION,
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_audit_trail_is_append_only() {
    check(&[
        (
            "update role_changes set actor = 'x'",
            SqlState::RAISE_EXCEPTION,
        ),
        ("delete from role_changes", SqlState::RAISE_EXCEPTION),
        (
            "insert into role_changes (user_id, new_role, actor, source)
                select id, role, 'x', 'magic' from users",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "insert into role_changes (user_id, new_role, actor, source)
                values (gen_random_uuid(), 'ADMIN', 'x', 'api')",
            SqlState::FOREIGN_KEY_VIOLATION,
        ),
        ("delete from users", SqlState::FOREIGN_KEY_VIOLATION),
    ])
    .await;
}

/// `truncate` is neither an update nor a delete to a trigger.
#[tokio::test]
async fn the_audit_trail_cannot_be_truncated_either() {
    check(&[("truncate role_changes", SqlState::RAISE_EXCEPTION)]).await;
}
