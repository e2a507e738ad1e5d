-- How the two sides stand, but for the counts of deliveries: one JSON object.
with last_compared as materialized (
    -- The last one that got as far as to say what differs.
    select r.id, r.finished_at
    from reconcile_runs r
    where r.state in ('repairing', 'waiting', 'done')
    order by r.created_at desc
    limit 1
),
differing as materialized (
    select d.class, d.state
    from drift d
    join last_compared r on r.id = d.run_id
),
lags as materialized (
    select percentile_cont(array[0.5, 0.95, 0.99]) within group (order by l.ms) as ms, count(*) as n
    from (
        select greatest(
            0, extract(epoch from b.applied_at) * 1000 - (b.detail ->> 'clerkVersion')::bigint
        )::float8 as ms
        from inbox b
        where b.outcome = 'applied'
            and b.received_at > now() - interval '24 hours'
            -- What is deleted says when it changed last, not when it went.
            and b.event_type not like '%.deleted'
            and (b.detail ->> 'clerkVersion')::bigint > 0
        order by b.received_at desc
        limit $1
    ) l
),
-- What should have come as a message and had not when it was found, by any run: the next one finds
-- what was repaired no more, and the message may still be on its way.
missed as not materialized (
    select
        d.clerk_id, d.found_at,
        -- When an end happened nobody knows; of an orphan `since` is when it was last seen.
        case when d.class = 'orphaned' then d.found_at else d.since end as since
    from drift d
    where d.cause = 'lost_event'
        and d.state in ('found', 'withheld', 'repaired')
        -- What is found is not newer than that; but by two clocks.
        and d.found_at > now() - $2::float8 * interval '1 second' - interval '6 hours'
    order by 3
),
clocks as materialized (
    select
        (select max(b.received_at) from inbox b) as last_event_at,
        (
            select to_timestamp((s.value ->> 'at')::float8 / 1000)
            from settings s
            where s.name = 'clerk_last_change'
        ) as last_change_at,
        (
            select to_timestamp((s.value ->> 'at')::float8 / 1000)
            from settings s
            where s.name = 'clerk_silent_since'
        ) as silent_since,
        (
            -- In order, and with a look at the inbox for each until the first: `not exists` would
            -- read all of it.
            select m.since
            from missed m
            left join lateral (
                -- What came since is that message, or a later one of the same object.
                select true as is_there
                from inbox b
                where b.object_id = m.clerk_id and b.received_at >= m.found_at
                limit 1
            ) came on true
            where m.since > now() - $2::float8 * interval '1 second' and came.is_there is null
            order by m.since
            limit 1
        ) as oldest_missed_at
),
-- The first change that no delivery came after. The newest one alone would not do: where there is
-- always one, it is never old.
silence as materialized (
    select min(s.since) as since
    from clocks c
    cross join unnest(array[c.silent_since, c.last_change_at]) as s (since)
    where s.since < now() - interval '5 minutes'
        and (c.last_event_at is null or c.last_event_at < s.since)
)
select jsonb_build_object(
    'lag', (
        select jsonb_build_object(
            'p50_ms', round(l.ms[1])::bigint,
            'p95_ms', round(l.ms[2])::bigint,
            'p99_ms', round(l.ms[3])::bigint,
            'n_events', l.n
        )
        from lags l
    ),
    'outbox', (
        select jsonb_build_object(
            'depth', count(*),
            'oldest_age_seconds', floor(extract(epoch from now() - min(o.created_at)))::bigint
        )
        from outbox o
        where o.completed_at is null and o.dead_at is null
    ),
    'dead', jsonb_build_object(
        'events', (select count(*) from inbox b where b.outcome = 'dead'),
        'role_pushes', (
            -- A role that was set later has taken its place.
            select count(*)
            from outbox o
            where o.dead_at is not null
                and not exists (
                    select from outbox l
                    where l.user_id = o.user_id and l.kind = o.kind and l.id > o.id
                )
        )
    ),
    'parked', (
        select jsonb_build_object(
            'events', count(*),
            'oldest_age_seconds', floor(extract(epoch from now() - min(b.received_at)))::bigint
        )
        from inbox b
        where b.outcome = 'parked'
    ),
    'flagged', jsonb_build_object(
        'users', (select count(*) from users u where u.refetch_at is not null),
        'organizations', (select count(*) from organizations o where o.refetch_at is not null),
        'memberships', (select count(*) from memberships m where m.refetch_at is not null),
        'walks_of_users', (
            select count(*) from users u where u.organizations_refetch_at is not null
        ),
        'walks_of_organizations', (
            select count(*) from organizations o where o.members_refetch_at is not null
        )
    ),
    'drift', (
        select jsonb_build_object(
            'run_id', r.id,
            'finished_at', r.finished_at,
            'open', (
                select count(*) from differing d where d.state in ('found', 'withheld', 'failed')
            ),
            'by_class', (
                select jsonb_object_agg(
                    c.class,
                    (
                        select count(*)
                        from differing d
                        where d.class = c.class and d.state in ('found', 'withheld', 'failed')
                    )
                )
                from unnest(
                    '{missing,stale,stale_high,orphaned,duplicate_email,unknown_role}'::text[]
                ) as c (class)
            )
        )
        from last_compared r
    ),
    'last_run', (
        select to_jsonb(r)
        from reconcile_runs r
        where r.finished_at is not null
        order by r.created_at desc
        limit 1
    ),
    'current_run', (
        select to_jsonb(r)
        from reconcile_runs r
        where r.state in ('listing', 'asking', 'comparing', 'repairing')
    ),
    'outage', (
        select jsonb_build_object(
            'last_event_at', c.last_event_at,
            'last_clerk_change_at', c.last_change_at,
            'is_silent', s.since is not null,
            'silent_since', s.since,
            'oldest_missed_at', c.oldest_missed_at,
            'message_given_up_at', c.oldest_missed_at + $2::float8 * interval '1 second',
            'endpoint_disabled_at', s.since + interval '5 days'
        )
        from clocks c
        cross join silence s
    )
) as overview
