-- What became of one object, the newest first: $1 is our id of it or $2 is Clerk's, $3 says what it
-- is; from the place ($4, $5) on, $6 entries. Each branch is cut by itself, along its index.
with subject as materialized (
    select u.id, u.clerk_id from users u where $3 = 'user' and (u.id = $1 or u.clerk_id = $2)
    union all
    select o.id, o.clerk_id from organizations o where $3 = 'organization' and o.clerk_id = $2
    union all
    select m.id, m.clerk_id from memberships m where $3 = 'membership' and m.clerk_id = $2
),
-- The accounts that a row has left (R12) are part of its history.
named as materialized (
    select s.clerk_id from subject s where s.clerk_id is not null
    union
    select $2::text where $2::text is not null
    union
    select c.old_clerk_id
    from email_changes c
    join subject s on s.id = c.user_id
    where $3 = 'user' and c.state in ('moved', 'done')
),
belonging as materialized (
    select m.id, m.clerk_id
    from subject s
    join memberships m on m.user_id = s.id
    where $3 = 'user'
    union all
    (
        -- Each costs a look at the inbox: of a huge organization, those that changed last.
        select m.id, m.clerk_id
        from subject s
        join memberships m on m.organization_id = s.id
        where $3 = 'organization'
        order by m.updated_at desc, m.id
        limit 5000
    )
),
delivered as (
    select b.*
    from named n
    cross join lateral (
        select *
        from inbox b
        where b.object_id = n.clerk_id
            and b.received_at <= coalesce($4, 'infinity')
            and ($4::timestamptz is null or (b.received_at, 'delivery:' || b.svix_id) < ($4, $5))
        order by b.received_at desc, b.svix_id desc
        limit $6
    ) b
    union all
    select b.*
    from named n
    cross join lateral (
        select *
        from inbox b
        where b.detail ->> 'clerkUserId' = n.clerk_id
            and b.object_id is distinct from n.clerk_id
            and b.received_at <= coalesce($4, 'infinity')
            and ($4::timestamptz is null or (b.received_at, 'delivery:' || b.svix_id) < ($4, $5))
        order by b.received_at desc, b.svix_id desc
        limit $6
    ) b
    where $3 = 'user'
    union all
    select b.*
    from belonging g
    cross join lateral (
        select *
        from inbox b
        where b.object_id = g.clerk_id
            and b.received_at <= coalesce($4, 'infinity')
            and ($4::timestamptz is null or (b.received_at, 'delivery:' || b.svix_id) < ($4, $5))
        order by b.received_at desc, b.svix_id desc
        limit $6
    ) b
    where $3 = 'organization'
),
differing as (
    select d.* from subject s join drift d on d.row_id = s.id and (d.class <> 'missing' or d.state = 'repaired')
    union
    select d.*
    from named n
    join drift d on d.clerk_id = n.clerk_id and (d.class <> 'missing' or d.state = 'repaired')
    union
    select d.*
    from belonging g
    join drift d on d.row_id = g.id and (d.class <> 'missing' or d.state = 'repaired')
    where $3 = 'user'
),
entries as (
    select
        b.received_at as at,
        'delivery:' || b.svix_id as key,
        to_jsonb(b) - 'payload' || jsonb_build_object(
            'kind', 'delivery', 'is_payload_kept', b.payload is not null
        ) as entry
    from delivered b
    union all
    select
        c.at, 'role_change:' || c.id, to_jsonb(c) || jsonb_build_object('kind', 'role_change')
    from subject s
    join role_changes c on c.user_id = s.id
    where $3 = 'user'
    union all
    select
        e.created_at, 'profile_edit:' || e.id,
        jsonb_build_object(
            'kind', 'profile_edit', 'fields', e.fields, 'outcome', e.outcome, 'actor', e.actor,
            'request_id', e.request_id, 'closed_at', e.closed_at
        )
    from profile_edits e
    where $3 = 'user'
        and (
            e.user_id in (select s.id from subject s)
            -- Written down before there was a row.
            or (e.user_id is null and e.clerk_id in (select n.clerk_id from named n))
        )
    union all
    select
        c.created_at, 'email_change:' || c.id,
        jsonb_build_object(
            'kind', 'email_change', 'state', c.state, 'reason', c.reason, 'actor', c.actor,
            'request_id', c.request_id, 'old_clerk_id', c.old_clerk_id,
            'new_clerk_id', c.new_clerk_id, 'invited_at', c.invited_at, 'moved_at', c.moved_at,
            'closed_at', c.closed_at
        )
    from subject s
    join email_changes c on c.user_id = s.id
    where $3 = 'user'
    union all
    select
        o.created_at, 'push:' || o.id,
        jsonb_build_object(
            'kind', 'push',
            'state', case
                when o.dead_at is not null then 'dead'
                when o.completed_at is null then 'pending'
                when o.last_error = 'superseded in Clerk' then 'superseded'
                else 'delivered'
            end,
            'role', o.payload ->> 'role', 'n_attempts', o.n_attempts, 'last_error', o.last_error,
            'closed_at', coalesce(o.completed_at, o.dead_at)
        )
    from subject s
    join outbox o on o.user_id = s.id
    where $3 = 'user'
    union all
    select
        d.found_at, 'drift:' || d.id,
        jsonb_build_object(
            'kind', 'drift', 'run_id', d.run_id, 'class', d.class, 'object', d.object,
            'object_id', d.clerk_id, 'severity', d.severity, 'cause', d.cause, 'state', d.state,
            'since', d.since, 'repaired_at', d.repaired_at,
            'fields', (
                select coalesce(jsonb_agg(f.field -> 'name' order by f.n), '[]')
                from jsonb_array_elements(d.fields) with ordinality as f (field, n)
            )
        )
    from differing d
)
select e.at, e.key, e.entry, exists (select from subject) as is_known
from (select) as always
left join lateral (
    select *
    from entries e
    where $4::timestamptz is null or (e.at, e.key) < ($4, $5)
    order by e.at desc, e.key desc
    limit $6
) e on true
order by e.at desc, e.key desc
