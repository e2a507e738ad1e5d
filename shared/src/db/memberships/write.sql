-- Writes memberships together with their inbox rows, or neither, and ends those that they follow.
-- Answers with the places of what was written: the rest had changed since it was read.
with input as materialized (
    select
        t.n,
        nullif(t.w -> 'inbox', 'null') as inbox,
        nullif(t.w -> 'row', 'null') as new,
        (t.w -> 'row' ->> 'id')::uuid as id,
        t.w -> 'row' ->> 'row_version' as row_version,
        (t.w -> 'row' ->> 'user_id')::uuid as user_id,
        t.w ->> 'user_clerk_id' as user_clerk_id,
        (t.w -> 'row' ->> 'organization_id')::uuid as organization_id,
        t.w -> 'row' ->> 'deleted_at' is null as is_live,
        (t.w ->> 'ends')::uuid as ends,
        t.w ->> 'confirms' as confirms,
        (t.w ->> 'touches')::boolean as touches,
        (t.w ->> 'settles')::boolean as settles
    from jsonb_array_elements($1::jsonb) with ordinality as t (w, n)
),
-- Nobody lives in what is gone (R6): whoever buries a parent waits for us, or we see it buried.
-- A row that has moved to another account (R12) is no longer the one that was meant.
live_users as materialized (
    select u.id
    from users u
    where (u.id, u.clerk_id) in (select i.user_id, i.user_clerk_id from input i)
        and u.deleted_at is null
    order by u.id
    for share of u
),
live_organizations as materialized (
    select o.id
    from organizations o
    where o.id in (select i.organization_id from input i) and o.deleted_at is null
    order by o.id
    for share of o
),
possible as materialized (
    select i.*
    from input i
    where i.new is null
        -- One that is over, unless Clerk shall be asked whether it is.
        or (not i.is_live and i.new ->> 'refetch_at' is null)
        or (
            i.user_id in (select u.id from live_users u)
            and i.organization_id in (select o.id from live_organizations o)
        )
),
-- Rows that are still as they were read, locked in one order so that two batches cannot deadlock.
kept as materialized (
    select p.n
    from possible p
    join memberships m on m.id = p.id
    where m.xmin::text = p.row_version
    order by m.id
    for update of m
),
-- A membership that has a successor is over, whoever writes that one.
ended as (
    update memberships m
    set
        deleted_at = now(),
        updated_at = now(),
        refetch_at = null,
        n_refetches = 0,
        -- Where the successor was here all the time, somebody may only have put this one in its place.
        is_end_inferred = p.row_version is not null and m.clerk_id is not null
    from possible p
    where m.id = p.ends and m.deleted_at is null
    returning m.clerk_id
),
created as (
    insert into memberships (
        id, clerk_id, organization_id, user_id, role, permissions, public_metadata, is_placeholder,
        clerk_version, refetch_at, created_at, confirmed_at, deleted_at
    )
    select
        r.id, r.clerk_id, r.organization_id, r.user_id, r.role, r.permissions, r.public_metadata,
        r.is_placeholder, r.clerk_version, r.refetch_at, r.created_at,
        case p.confirms
            when 'now' then now()
            when 'as_of_version' then least(now(), to_timestamp(r.clerk_version / 1000.0))
        end,
        r.deleted_at
    from possible p
    cross join jsonb_populate_record(null::memberships, p.new) r
    where p.new is not null
        and p.row_version is null
        -- After the predecessors have made room.
        and (select count(*) from ended) >= 0
    order by r.clerk_id
    on conflict (clerk_id) do nothing
    returning id
),
held as (
    select n from kept
    union all
    select p.n from possible p join created c using (id)
    union all
    select p.n from possible p where p.new is null
),
-- Once (R7): the first transaction that takes the delivery in is the one that has its effects.
taken as (
    insert into inbox as k (
        svix_id, event_type, object_id, instance_id, event_at, outcome, rule, detail, payload,
        n_attempts, last_error, applied_at
    )
    select
        b.svix_id, b.event_type, b.object_id, b.instance_id, b.event_at, b.outcome, b.rule,
        b.detail, b.payload, b.n_attempts, b.last_error,
        case when b.outcome = 'applied' then now() end
    from held h
    join possible p using (n)
    cross join jsonb_populate_record(null::inbox, p.inbox) b
    where p.inbox is not null
    on conflict (svix_id) do update
    set
        event_type = excluded.event_type,
        object_id = excluded.object_id,
        instance_id = excluded.instance_id,
        event_at = excluded.event_at,
        outcome = excluded.outcome,
        rule = excluded.rule,
        detail = excluded.detail || '{"replayed": true}',
        payload = excluded.payload,
        n_attempts = excluded.n_attempts,
        last_error = excluded.last_error,
        applied_at = excluded.applied_at
    -- Only a replay: a second delivery is a first attempt as well.
    where k.outcome in ('parked', 'dead') and k.n_attempts = excluded.n_attempts - 1
    returning k.svix_id
),
live as materialized (
    select p.*
    from held h
    join possible p using (n)
    where p.inbox is null or p.inbox ->> 'svix_id' in (select t.svix_id from taken t)
),
updated as (
    update memberships m
    set
        -- A provisional one learns which it is.
        clerk_id = r.clerk_id,
        organization_id = r.organization_id,
        user_id = r.user_id,
        role = r.role,
        permissions = r.permissions,
        public_metadata = r.public_metadata,
        is_placeholder = r.is_placeholder,
        clerk_version = r.clerk_version,
        refetch_at = r.refetch_at,
        n_refetches = r.n_refetches,
        confirmed_at = case l.confirms
            when 'now' then now()
            when 'as_of_version' then greatest(
                m.confirmed_at, least(now(), to_timestamp(r.clerk_version / 1000.0))
            )
            else m.confirmed_at
        end,
        created_at = r.created_at,
        updated_at = case when l.touches then now() else m.updated_at end,
        deleted_at = r.deleted_at,
        is_end_inferred = r.is_end_inferred
    from live l
    cross join jsonb_populate_record(null::memberships, l.new) r
    where l.row_version is not null
        and m.id = l.id
        -- After the predecessors have made room.
        and (select count(*) from ended) >= 0
),
-- A re-read object settles what waited for it (R2), and for what it follows.
settled as (
    update inbox b
    set outcome = 'applied', applied_at = now(), payload = null
    where b.outcome = 'parked'
        and (
            array[b.object_id, b.detail ->> 'waitsFor']
            && (
                select array_agg(s.clerk_id)
                from (
                    select l.new ->> 'clerk_id' as clerk_id from live l where l.settles
                    union all
                    select e.clerk_id from ended e
                ) s
            )
        )
)
select l.n from live l order by l.n
