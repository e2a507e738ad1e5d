-- Writes organizations together with their inbox rows, or neither.
-- Answers with the places of what was written: the rest had changed since it was read.
with input as materialized (
    select
        t.n,
        nullif(t.w -> 'inbox', 'null') as inbox,
        nullif(t.w -> 'row', 'null') as new,
        (t.w -> 'row' ->> 'id')::uuid as id,
        t.w -> 'row' ->> 'row_version' as row_version,
        t.w ->> 'confirms' as confirms,
        (t.w ->> 'touches')::boolean as touches,
        (t.w ->> 'owes_walk')::boolean as owes_walk,
        (t.w ->> 'settles')::boolean as settles
    from jsonb_array_elements($1::jsonb) with ordinality as t (w, n)
),
-- Rows that are still as they were read, locked in one order so that two batches cannot deadlock.
kept as materialized (
    select i.n
    from input i
    join organizations o on o.id = i.id
    where o.xmin::text = i.row_version
    order by o.id
    for update of o
),
created as (
    insert into organizations (
        id, clerk_id, name, slug, image_url, created_by, max_allowed_memberships, public_metadata,
        is_placeholder, clerk_version, refetch_at, members_refetch_at, members_walked_since,
        created_at, confirmed_at, deleted_at, is_end_inferred
    )
    select
        r.id, r.clerk_id, r.name, r.slug, r.image_url, r.created_by, r.max_allowed_memberships,
        r.public_metadata, r.is_placeholder, r.clerk_version, r.refetch_at,
        case when i.owes_walk then now() end, case when i.owes_walk then now() end, r.created_at,
        case i.confirms
            when 'now' then now()
            when 'as_of_version' then least(now(), to_timestamp(r.clerk_version / 1000.0))
        end,
        r.deleted_at, r.is_end_inferred
    from input i
    cross join jsonb_populate_record(null::organizations, i.new) r
    where i.new is not null and i.row_version is null
    order by r.clerk_id
    on conflict (clerk_id) do nothing
    returning id
),
held as (
    select n from kept
    union all
    select i.n from input i join created c using (id)
    union all
    select i.n from input i where i.new is null
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
    join input i using (n)
    cross join jsonb_populate_record(null::inbox, i.inbox) b
    where i.inbox is not null
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
    select i.*
    from held h
    join input i using (n)
    where i.inbox is null or i.inbox ->> 'svix_id' in (select t.svix_id from taken t)
),
updated as (
    update organizations o
    set
        name = r.name,
        slug = r.slug,
        image_url = r.image_url,
        created_by = r.created_by,
        max_allowed_memberships = r.max_allowed_memberships,
        public_metadata = r.public_metadata,
        is_placeholder = r.is_placeholder,
        clerk_version = r.clerk_version,
        refetch_at = r.refetch_at,
        n_refetches = r.n_refetches,
        members_refetch_at = case
            when r.deleted_at is not null then null
            when l.owes_walk then now()
            else o.members_refetch_at
        end,
        members_walked_since = case when l.owes_walk then now() else o.members_walked_since end,
        members_offset = case when l.owes_walk then 0 else o.members_offset end,
        confirmed_at = case l.confirms
            when 'now' then now()
            when 'as_of_version' then greatest(
                o.confirmed_at, least(now(), to_timestamp(r.clerk_version / 1000.0))
            )
            else o.confirmed_at
        end,
        created_at = r.created_at,
        updated_at = case when l.touches then now() else o.updated_at end,
        deleted_at = r.deleted_at,
        is_end_inferred = r.is_end_inferred
    from live l
    cross join jsonb_populate_record(null::organizations, l.new) r
    where l.row_version is not null and o.id = l.id
),
-- A re-read object settles what waited for it (R2).
settled as (
    update inbox b
    set outcome = 'applied', applied_at = now(), payload = null
    from live l
    where l.settles
        and b.object_id = l.new ->> 'clerk_id'
        and b.outcome = 'parked'
)
select l.n from live l order by l.n
