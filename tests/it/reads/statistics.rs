//! `GET /api/admin/statistics/history`: how many users of each role there were, day by day.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};

use crate::support::TestApp;

/// The days, the oldest first.
async fn history(app: &TestApp, admin: &str, query: &str) -> Vec<Value> {
    let path = format!("/api/admin/statistics/history{query}");
    let answer = app.get(admin, &path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body["days"].as_array().unwrap().clone()
}

fn date(day: &Value) -> Date {
    day["date"].as_str().unwrap().parse().unwrap()
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The day before `today`, so many days ago, at an hour (UTC), in SQL.
fn at(today: Date, days_ago: i64, time: &str) -> String {
    format!("timestamptz '{}T{time}Z'", today - days_ago.days())
}

/// A user who is made without Clerk, with this role now.
fn user(name: &str, role: &str, created_at: &str, deleted_at: &str) -> String {
    format!(
        "insert into users (username, role, created_at, deleted_at)
        values ('{name}', '{role}', {created_at}, {deleted_at});"
    )
}

/// What the audit trail says of the user.
fn change(name: &str, old_role: Option<&str>, new_role: &str, at: &str) -> String {
    let old_role = old_role.map_or("null".to_owned(), |role| format!("'{role}'"));
    format!(
        "insert into role_changes (user_id, old_role, new_role, actor, source, at)
        select id, {old_role}, '{new_role}', 'clerk', 'webhook', {at}
        from users
        where username = '{name}';"
    )
}

/// What a user is counted as, a letter for each day: what two answers differ by.
fn counted_as(before: &[Value], after: &[Value]) -> String {
    let roles = [
        ("studentCount", "S"),
        ("instructorCount", "I"),
        ("adminCount", "A"),
    ];
    let letter = |(before, after): (&Value, &Value)| -> String {
        let more = |key: &str| after[key].as_i64().unwrap() - before[key].as_i64().unwrap();
        let letters = roles.iter().map(|(key, letter)| match more(key) {
            0 => "",
            1 => letter,
            _ => "?",
        });
        let letters: String = letters.collect();
        let n_letters = i64::try_from(letters.len()).unwrap();
        assert_eq!(n_letters, more("totalUsers"), "{before} and then {after}");
        if letters.is_empty() {
            ".".to_owned()
        } else {
            letters
        }
    };
    before.iter().zip(after).map(letter).collect()
}

#[tokio::test]
async fn a_user_counts_on_each_day_with_the_role_that_they_had_when_it_was_over() {
    let app = TestApp::new().await;
    // Days are those of UTC, wherever the database is.
    app.execute(
        "do $$ begin
            execute format(
                'alter database %I set timezone = %L', current_database(), 'Pacific/Auckland'
            );
        end $$",
    )
    .await;
    let admin = app.admin("grace").await;
    let today = today();
    let noon = |days_ago| at(today, days_ago, "12:00:00");
    let never = "null";
    let cases = [
        (
            "made with a role",
            user("a", "ADMIN", &noon(3), never) + &change("a", None, "ADMIN", &noon(3)),
            "...AAAA",
        ),
        (
            "made long ago, and heard of later",
            user("b", "INSTRUCTOR", &noon(100), never) + &change("b", None, "INSTRUCTOR", &noon(2)),
            "IIIIIII",
        ),
        (
            "of whom nothing was ever written down, such as a placeholder",
            user("c", "STUDENT", &noon(4), never),
            "..SSSSS",
        ),
        (
            "who has another role every other day",
            user("d", "STUDENT", &noon(50), never)
                + &change("d", Some("ADMIN"), "INSTRUCTOR", &noon(40))
                + &change("d", Some("INSTRUCTOR"), "ADMIN", &noon(5))
                + &change("d", Some("ADMIN"), "INSTRUCTOR", &noon(3))
                + &change("d", Some("INSTRUCTOR"), "STUDENT", &noon(1)),
            "IAAIISS",
        ),
        (
            "whose role changes three times within a day",
            user("e", "INSTRUCTOR", &noon(50), never)
                + &change("e", Some("STUDENT"), "ADMIN", &at(today, 4, "08:00:00"))
                + &change("e", Some("ADMIN"), "STUDENT", &at(today, 4, "09:00:00"))
                + &change(
                    "e",
                    Some("STUDENT"),
                    "INSTRUCTOR",
                    &at(today, 4, "10:00:00"),
                ),
            "SSIIIII",
        ),
        (
            "whose role changes back within a day",
            user("f", "STUDENT", &noon(50), never)
                + &change("f", Some("STUDENT"), "ADMIN", &at(today, 4, "08:00:00"))
                + &change("f", Some("ADMIN"), "STUDENT", &at(today, 4, "09:00:00")),
            "SSSSSSS",
        ),
        (
            "whose role changes at midnight, and just before it",
            user("g", "ADMIN", &noon(50), never)
                + &change(
                    "g",
                    Some("STUDENT"),
                    "INSTRUCTOR",
                    &at(today, 5, "23:59:59.999999"),
                )
                + &change("g", Some("INSTRUCTOR"), "ADMIN", &at(today, 3, "00:00:00")),
            "SIIAAAA",
        ),
        (
            "who is made at midnight, and goes at midnight",
            user(
                "h",
                "STUDENT",
                &at(today, 5, "00:00:00"),
                &at(today, 2, "00:00:00"),
            ),
            ".SSS...",
        ),
        (
            "who is deleted, after a change",
            user("i", "INSTRUCTOR", &noon(50), &noon(1))
                + &change("i", Some("STUDENT"), "INSTRUCTOR", &noon(4)),
            "SSIII..",
        ),
        (
            "who is deleted on the day on which they came",
            user("j", "ADMIN", &at(today, 3, "08:00:00"), &noon(3))
                + &change("j", None, "ADMIN", &at(today, 3, "08:00:00")),
            ".......",
        ),
        (
            "who was gone before all of these days",
            user("k", "ADMIN", &noon(50), &noon(20)) + &change("k", None, "ADMIN", &noon(50)),
            ".......",
        ),
        (
            "of whom only the end is known",
            user("l", "STUDENT", &noon(3), &noon(3)) + &change("l", None, "STUDENT", &noon(3)),
            ".......",
        ),
        (
            "whose end was inferred, and who lives again",
            user("m", "INSTRUCTOR", &noon(50), &noon(4))
                + "update users set deleted_at = null where username = 'm';"
                + &change("m", Some("STUDENT"), "INSTRUCTOR", &noon(2)),
            "SSSSIII",
        ),
        (
            "of whose two changes the first to begin was the second to come, over midnight",
            user("n", "INSTRUCTOR", &noon(50), never)
                + &change("n", Some("STUDENT"), "ADMIN", &at(today, 3, "00:00:01"))
                + &change("n", Some("ADMIN"), "INSTRUCTOR", &at(today, 4, "23:59:59")),
            "SSSIIII",
        ),
        (
            "whose change is written down before they were made",
            user("o", "INSTRUCTOR", &noon(3), never)
                + &change("o", Some("STUDENT"), "INSTRUCTOR", &noon(5)),
            "...IIII",
        ),
    ];
    for (who, statements, expected) in cases {
        let before = history(&app, &admin, "?days=7").await;
        app.execute(&statements).await;
        let after = history(&app, &admin, "?days=7").await;
        assert_eq!(date(&before[0]), date(&after[0]), "a day ended meanwhile");
        assert_eq!(date(&after[6]), today, "a day ended meanwhile");
        assert_eq!(counted_as(&before, &after), expected, "a user {who}");
    }
    app.database.remove().await;
}

/// Any history at all: counted day by day and user by user, from the audit trail alone.
#[tokio::test]
async fn the_counts_of_each_day_are_what_a_count_user_by_user_finds() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    app.execute(
        "select setseed(0.5);
        insert into users (role, created_at, deleted_at)
        select
            (array['STUDENT', 'INSTRUCTOR', 'ADMIN'])[1 + floor(random() * 3)]::user_role,
            now() - random() * interval '60 days',
            case when random() < 0.3 then now() - random() * interval '50 days' end
        from generate_series(1, 300);
        insert into role_changes (user_id, old_role, new_role, actor, source, at)
        select
            u.id,
            (array['STUDENT', 'INSTRUCTOR', 'ADMIN', null])[1 + floor(random() * 4)]::user_role,
            (array['STUDENT', 'INSTRUCTOR', 'ADMIN'])[1 + floor(random() * 3)]::user_role,
            'clerk', 'webhook', now() - random() * interval '50 days'
        from users u, generate_series(1, 4)",
    )
    .await;
    let statement = "
        with days as (
            select
                d.day,
                case
                    when d.n = 0 then 'infinity'
                    else (d.day + 1)::timestamp at time zone 'UTC'
                end as is_over_at
            from (
                select n, (now() at time zone 'UTC')::date - n as day
                from generate_series(0, 39) n
            ) d
        )
        select
            d.day, count(*), count(*) filter (where h.role = 'ADMIN'),
            count(*) filter (where h.role = 'INSTRUCTOR'),
            count(*) filter (where h.role = 'STUDENT')
        from days d
        join users u
            on u.created_at < d.is_over_at
            and (u.deleted_at is null or u.deleted_at >= d.is_over_at)
        cross join lateral (
            select coalesce(
                (
                    select coalesce(c.old_role, c.new_role)
                    from role_changes c
                    where c.user_id = u.id and c.at >= d.is_over_at
                    order by c.id
                    limit 1
                ),
                u.role
            ) as role
        ) h
        group by d.day
        order by d.day";
    let expected: Vec<Value> = app
        .sql
        .query(statement, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| {
            json!({
                "date": row.get::<_, Date>(0).to_string(),
                "totalUsers": row.get::<_, i64>(1),
                "adminCount": row.get::<_, i64>(2),
                "instructorCount": row.get::<_, i64>(3),
                "studentCount": row.get::<_, i64>(4),
            })
        })
        .collect();
    assert_eq!(expected.len(), 40);
    assert_eq!(history(&app, &admin, "?days=40").await, expected);
    assert_eq!(history(&app, &admin, "?days=13").await, expected[27..]);
    app.database.remove().await;
}

#[tokio::test]
async fn the_last_day_has_the_counts_of_now() {
    let app = TestApp::new().await;
    let admin = app.admin("grace").await;
    let ada = app.user("ada", Some("STUDENT")).await;
    let bob = app.user("bob", Some("INSTRUCTOR")).await;
    app.user("joan", None).await;
    app.set_role(&admin, &ada, json!({ "role": "ADMIN" })).await;
    app.clerk.delete_user(&bob);
    app.deliver_all().await;
    // Somebody whom Clerk has not shown yet, and somebody from a clock that is ahead.
    app.execute(
        "insert into users (is_placeholder, clerk_id) values (true, 'user_unseen');
        insert into users (role, created_at) values ('INSTRUCTOR', now() + interval '2 days')",
    )
    .await;
    let now = app.get(&admin, "/api/admin/statistics").await.body;
    assert_eq!(
        now,
        json!({ "totalUsers": 5, "adminCount": 2, "instructorCount": 1, "studentCount": 2 })
    );
    for (query, n_days) in [("", 90), ("?days=1", 1), ("?days=366", 366)] {
        let days = history(&app, &admin, query).await;
        assert_eq!(days.len(), n_days, "{query}");
        assert!(
            days.iter()
                .zip(&days[1..])
                .all(|(day, next)| date(day) + 1.day() == date(next)),
            "no day is left out"
        );
        let mut last = days.last().unwrap().clone();
        let last_date = last.as_object_mut().unwrap().remove("date").unwrap();
        assert_eq!(last_date, json!(today().to_string()));
        assert_eq!(last, now, "{query}");
        for day in &days[..n_days - 1] {
            assert_eq!(day["totalUsers"], 0, "{day}");
        }
    }
    app.database.remove().await;
}
