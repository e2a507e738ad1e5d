//! The `drift` table: what differed when all was compared (R14), and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row as PgRow;
use tokio_postgres::types::{Json, ToSql, Type};
use uuid::Uuid;

use super::listed::Object;
use super::runs::{Approval, Lease, Step, write_step};
use super::{Db, Error, decode};

/// How a row here and an object in Clerk differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Clerk has it, and it does not live here.
    Missing,
    /// Here it is not as Clerk has it.
    Stale,
    /// Here somebody may do more than Clerk grants.
    StaleHigh,
    /// It lives here, and Clerk does not know it.
    Orphaned,
    /// Two rows would have one address.
    DuplicateEmail,
    /// Clerk says a role that is none.
    UnknownRole,
}

/// What a repair does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Makes the row.
    Create,
    /// Makes it what Clerk shows.
    Update,
    /// The same, and somebody may do less.
    Demote,
    /// Ends it.
    End,
    /// Nothing: a person has to.
    None,
}

/// A difference that is to be mended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ToRepair {
    /// Which it is.
    pub id: i64,
    /// What it is about.
    pub object: Object,
    /// What is to be done.
    pub action: Action,
    /// Clerk's id.
    pub clerk_id: String,
    /// Our row.
    pub row_id: Option<Uuid>,
    /// It is here, and ended, though Clerk shows that it lives.
    pub is_ended: bool,
    /// Of a membership: its organization.
    pub clerk_organization_id: Option<String>,
    /// Of a membership: its user.
    pub clerk_user_id: Option<String>,
    /// The lowest is mended first.
    pub priority: i16,
}

/// What became of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was done yet.
    Found,
    /// The brake holds it back (R15).
    Withheld,
    /// It is mended.
    Repaired,
    /// It was so no longer.
    Gone,
    /// It could not be mended.
    Failed,
}

/// A difference as the routes show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Shown {
    /// Which it is.
    pub id: i64,
    /// How the two differ.
    pub class: Class,
    object: Object,
    clerk_id: Option<String>,
    row_id: Option<Uuid>,
    #[serde(rename(serialize = "clerkOrgId"))]
    clerk_organization_id: Option<String>,
    clerk_user_id: Option<String>,
    severity: String,
    cause: String,
    /// Since when the two differ, as far as anybody can tell.
    since: Option<Timestamp>,
    our_version: Option<i64>,
    clerk_version: Option<i64>,
    /// What differs: `[{"name", "ours", "clerk"}]`.
    fields: Value,
    action: Action,
    /// What became of it.
    pub state: State,
    last_error: Option<String>,
    found_at: Timestamp,
    repaired_at: Option<Timestamp>,
}

/// Which differences are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter<'a> {
    /// Only of this class.
    pub class: Option<Class>,
    /// Only those of which this became.
    pub state: Option<State>,
    /// Only about this object, by its Clerk id.
    pub clerk_id: Option<&'a str>,
}

/// What a repair would do, or hold back: numbers by action and kind, such as `end user`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What it does.
    pub planned: Value,
    /// What it holds back (R15).
    pub withheld: Value,
}

/// To compile a statement takes Postgres longer than to carry it out.
const BEGIN: &str = "begin; set local jit = off";

impl Plan {
    /// Whether something is held back.
    pub fn withholds(&self) -> bool {
        self.withheld.as_object().is_some_and(|it| !it.is_empty())
    }
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 6] = [
        Self::StaleHigh,
        Self::Orphaned,
        Self::Missing,
        Self::Stale,
        Self::UnknownRole,
        Self::DuplicateEmail,
    ];

    /// As the tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::StaleHigh => "stale_high",
            Self::Orphaned => "orphaned",
            Self::DuplicateEmail => "duplicate_email",
            Self::UnknownRole => "unknown_role",
        }
    }
}

impl State {
    /// As the tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Withheld => "withheld",
            Self::Repaired => "repaired",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}

impl Db {
    /// The last of the next `n` that were listed of a kind, by Clerk id; `None` if there are no more.
    pub async fn end_of_chunk(
        &self,
        run: Uuid,
        object: Object,
        after: &str,
        n: i64,
    ) -> Result<Option<String>, Error> {
        let statement = format!(
            "select clerk_id
            from listed_{}s
            where run_id = $1 and clerk_id > $2
            order by clerk_id
            offset $3 - 1
            limit 1",
            object.as_str()
        );
        let values: [(&(dyn ToSql + Sync), Type); 3] =
            [(&run, Type::UUID), (&after, Type::TEXT), (&n, Type::INT8)];
        let row = self
            .run(async |client| client.query_typed_opt(&statement, &values).await)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Compares what was listed of a kind between two Clerk ids, puts down what differs, and writes
    /// down the step; false if the run is ours no more, and nothing was written.
    ///
    /// An event about a version that is newer than `not_missed_before` (ms) may yet come.
    pub async fn compare(
        &self,
        lease: Lease,
        step: &Step<'_>,
        object: Object,
        (after, until): (&str, Option<&str>),
        not_missed_before: i64,
    ) -> Result<bool, Error> {
        let statement = match object {
            Object::User => include_str!("drift/users.sql"),
            Object::Organization => include_str!("drift/organizations.sql"),
            Object::Membership => include_str!("drift/memberships.sql"),
        };
        let values: [(&(dyn ToSql + Sync), Type); 6] = [
            (&lease.run, Type::UUID),
            (&after, Type::TEXT),
            (&until, Type::TEXT),
            (&not_missed_before, Type::INT8),
            (&lease.by, Type::UUID),
            (&Json(step.position), Type::JSONB),
        ];
        self.put_down(lease, step, statement, &values).await
    }

    /// Takes over when users signed in last, of those between two Clerk ids: Clerk moves that time
    /// without a new version, so it is no difference.
    pub async fn take_sign_ins(
        &self,
        run: Uuid,
        (after, until): (&str, Option<&str>),
    ) -> Result<(), Error> {
        let statement = "
            update users u
            set last_sign_in_at = l.last_sign_in_at
            from listed_users l
            where l.run_id = $1
                and l.clerk_id > $2
                and ($3::text is null or l.clerk_id <= $3)
                and u.clerk_id = l.clerk_id
                and u.deleted_at is null
                and l.last_sign_in_at > coalesce(u.last_sign_in_at, '-infinity')";
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&run, Type::UUID),
            (&after, Type::TEXT),
            (&until, Type::TEXT),
        ];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// Puts down what no list shows: unknown roles, and addresses that several rows have; and writes
    /// down the step.
    pub async fn compare_leftovers(&self, lease: Lease, step: &Step<'_>) -> Result<bool, Error> {
        let statement = include_str!("drift/leftovers.sql");
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&lease.run, Type::UUID),
            (&lease.by, Type::UUID),
            (&Json(step.position), Type::JSONB),
        ];
        self.put_down(lease, step, statement, &values).await
    }

    async fn put_down(
        &self,
        lease: Lease,
        step: &Step<'_>,
        statement: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<bool, Error> {
        self.run(async |client| {
            let (begun, put, is_ours, committed) = tokio::join!(
                biased;
                client.batch_execute(BEGIN),
                client.execute_typed(statement, values),
                write_step(client, lease, step),
                client.batch_execute("commit"),
            );
            begun?;
            put?;
            let is_ours = is_ours?;
            committed?;
            Ok(is_ours)
        })
        .await
    }

    /// What a repair with this approval would do, and what it would hold back (R15).
    pub async fn plan(&self, run: Uuid, approval: &Approval) -> Result<Plan, Error> {
        self.brake_or_plan(run, approval, false).await
    }

    /// Holds back what is above the ceilings (R15), and tells what is left and what is not.
    pub async fn brake(&self, run: Uuid, approval: &Approval) -> Result<Plan, Error> {
        self.brake_or_plan(run, approval, true).await
    }

    async fn brake_or_plan(
        &self,
        run: Uuid,
        approval: &Approval,
        brakes: bool,
    ) -> Result<Plan, Error> {
        let statement = include_str!("drift/brake.sql");
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&run, Type::UUID),
            (&brakes, Type::BOOL),
            (&Json(approval), Type::JSONB),
        ];
        let row = self
            .run(async |client| client.query_typed_one(statement, &values).await)
            .await?;
        Ok(Plan {
            planned: row.try_get("planned")?,
            withheld: row.try_get("withheld")?,
        })
    }

    /// Holds back what was found, at most so much at a time; and returns how much.
    pub async fn withhold(&self, run: Uuid, limit: i64) -> Result<u64, Error> {
        let statement = "
            update drift
            set state = 'withheld'
            where id in (
                select d.id
                from drift d
                where d.run_id = $1 and d.state = 'found' and d.action <> 'none'
                limit $2
            )";
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&run, Type::UUID), (&limit, Type::INT8)];
        self.execute(statement, &values).await
    }

    /// How many differences of a run are to be mended, and whether some are held back.
    pub async fn count_to_repair(
        &self,
        run: Uuid,
        approval: &Approval,
    ) -> Result<(u64, bool), Error> {
        let statement = "
            select
                count(*) filter (
                    where d.state = 'found' and ($2::text[] is null or d.class = any($2))
                ) as n,
                coalesce(bool_or(d.state = 'withheld'), false) as is_withheld
            from drift d
            where d.run_id = $1 and d.state in ('found', 'withheld') and d.action <> 'none'";
        let values: [(&(dyn ToSql + Sync), Type); 2] =
            [(&run, Type::UUID), (&classes(approval), Type::TEXT_ARRAY)];
        let row = self
            .run(async |client| client.query_typed_one(statement, &values).await)
            .await?;
        let n: i64 = row.try_get("n")?;
        let n = u64::try_from(n).map_err(Error::unreadable)?;
        Ok((n, row.try_get("is_withheld")?))
    }

    /// The differences that are mended next: of one priority, so of one kind.
    pub async fn to_repair(
        &self,
        run: Uuid,
        approval: &Approval,
        (after_priority, after_id): (i16, i64),
        limit: i64,
    ) -> Result<Vec<ToRepair>, Error> {
        let statement = "
            with waiting as (
                select d.*
                from drift d
                where d.run_id = $1
                    and d.state = 'found'
                    and d.action <> 'none'
                    and ($3::text[] is null or d.class = any($3))
                    and (d.priority, d.id) > ($4, $5)
                order by d.priority, d.id
                limit $2
            )
            select
                to_jsonb(w) || jsonb_build_object(
                    'is_ended', w.cause in ('ended_in_database', 'ended_too_early')
                ) as waiting
            from waiting w
            where w.priority = (select min(priority) from waiting)
            order by w.id";
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&run, Type::UUID),
            (&limit, Type::INT8),
            (&classes(approval), Type::TEXT_ARRAY),
            (&after_priority, Type::INT2),
            (&after_id, Type::INT8),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        rows.iter().map(|row| decode(row, "waiting")).collect()
    }

    /// Writes down what became of differences.
    pub async fn note_repairs(
        &self,
        ids: &[i64],
        state: State,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        let statement = "
            update drift
            set
                state = $2,
                last_error = $3,
                repaired_at = case when $2 = 'repaired' then now() end
            where id = any($1)";
        let values: [(&(dyn ToSql + Sync), Type); 3] = [
            (&ids, Type::INT8_ARRAY),
            (&state.as_str(), Type::TEXT),
            (&reason, Type::TEXT),
        ];
        self.execute(statement, &values).await?;
        Ok(())
    }

    /// Ends rows that Clerk cannot have, by whatever id they have: nobody tells of their end, and with
    /// them go the memberships.
    pub async fn end_strange_rows(&self, object: Object, ids: &[Uuid]) -> Result<(), Error> {
        let end = format!(
            "update {}s
            set deleted_at = now(), is_end_inferred = true, updated_at = now(), refetch_at = null
            where id = any($1) and deleted_at is null",
            object.as_str()
        );
        let end_memberships = match object {
            Object::User => include_str!("memberships/end_of_users.sql"),
            Object::Organization => include_str!("memberships/end_of_organizations.sql"),
            Object::Membership => "select $1::uuid[]",
        };
        let values: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::UUID_ARRAY)];
        self.run(async |client| {
            let (begun, ended, memberships, committed) = tokio::join!(
                biased;
                client.batch_execute("begin"),
                client.execute_typed(&end, &values),
                client.execute_typed(end_memberships, &values),
                client.batch_execute("commit"),
            );
            begun?;
            ended?;
            memberships?;
            committed
        })
        .await
    }

    /// Nobody told of the end of these rows, since no deletion was received: somebody ended them here,
    /// and Clerk has the say.
    pub async fn doubt_ends(&self, object: Object, ids: &[Uuid]) -> Result<(), Error> {
        let statement = format!(
            "update {}s set is_end_inferred = true
            where id = any($1) and deleted_at is not null and not is_end_inferred",
            object.as_str()
        );
        self.execute(&statement, &[(&ids, Type::UUID_ARRAY)])
            .await?;
        Ok(())
    }

    /// What a run found, the most urgent first, after this place.
    pub async fn shown_drift(
        &self,
        run: Uuid,
        filter: Filter<'_>,
        (after_priority, after_id): (i16, i64),
        limit: i64,
    ) -> Result<Vec<(i16, Shown)>, Error> {
        let statement = "
            select d.priority, to_jsonb(d) as shown
            from drift d
            where d.run_id = $1
                and (d.priority, d.id) > ($2, $3)
                and ($4::text is null or d.class = $4)
                and ($5::text is null or d.state = $5)
                and ($6::text is null or d.clerk_id = $6)
            order by d.priority, d.id
            limit $7";
        let values: [(&(dyn ToSql + Sync), Type); 7] = [
            (&run, Type::UUID),
            (&after_priority, Type::INT2),
            (&after_id, Type::INT8),
            (&filter.class.map(Class::as_str), Type::TEXT),
            (&filter.state.map(State::as_str), Type::TEXT),
            (&filter.clerk_id, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self
            .run(async |client| client.query_typed(statement, &values).await)
            .await?;
        let shown = |row: &PgRow| Ok((row.try_get("priority")?, decode(row, "shown")?));
        rows.iter().map(shown).collect()
    }
}

/// The classes that may be repaired; none if all may.
fn classes(approval: &Approval) -> Option<Vec<&'static str>> {
    let classes = approval.classes.as_ref()?;
    Some(classes.iter().map(|class| class.as_str()).collect())
}
