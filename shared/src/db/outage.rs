//! What is known of an endpoint that has gone silent (R16): two rows of `settings`.

use tokio_postgres::types::Type;

use super::{Db, Error};

/// For so long, in seconds, an event may be under way, and nobody is asked again.
const QUIET_SECONDS: f64 = 300.0;

impl Db {
    /// Whether no delivery came for a while, and Clerk was not asked about its last change meanwhile.
    /// A silence that has ended is forgotten.
    pub async fn is_quiet(&self) -> Result<bool, Error> {
        let statement = "
            with last as (
                select coalesce(
                    (select max(received_at) from inbox) < now() - make_interval(secs => $1), true
                ) as is_long_ago
            ),
            ended as (
                delete from settings
                where name = 'clerk_silent_since' and not (select is_long_ago from last)
            )
            select l.is_long_ago and not exists (
                select
                from settings s
                where s.name = 'clerk_last_change'
                    and s.updated_at > now() - make_interval(secs => $1)
            ) as is_quiet
            from last l";
        let row = self
            .run(async |client| {
                client
                    .query_typed_one(statement, &[(&QUIET_SECONDS, Type::FLOAT8)])
                    .await
            })
            .await?;
        Ok(row.try_get("is_quiet")?)
    }

    /// Notes when Clerk was changed last (ms); true if no delivery came since, though there was time
    /// enough, and this is noticed for the first time.
    pub async fn note_last_change(&self, changed_at: i64) -> Result<bool, Error> {
        let statement = "
            with noted as (
                insert into settings as s (name, value)
                values (
                    'clerk_last_change',
                    jsonb_build_object(
                        'at', $1, 'seenAt', floor(extract(epoch from now()) * 1000)
                    )
                )
                on conflict (name) do update
                set value = excluded.value, updated_at = now()
            ),
            change as (
                select
                    to_timestamp($1 / 1000.0) < now() - make_interval(secs => $2)
                    and not exists (
                        -- The two clocks are not the same.
                        select
                        from inbox b
                        where b.received_at >= to_timestamp($1 / 1000.0) - interval '1 minute'
                    ) as is_missed
            ),
            heard as (
                delete from settings
                where name = 'clerk_silent_since' and not (select is_missed from change)
            )
            insert into settings (name, value)
            select 'clerk_silent_since', jsonb_build_object('at', $1)
            from change
            where is_missed
            on conflict (name) do nothing";
        let n_rows = self
            .execute(
                statement,
                &[(&changed_at, Type::INT8), (&QUIET_SECONDS, Type::FLOAT8)],
            )
            .await?;
        Ok(n_rows > 0)
    }
}
