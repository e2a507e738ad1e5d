-- Writes rows together with their inbox row, audit row and outbox entry, or none of these.
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
        (t.w ->> 'absorbs')::uuid as absorbs,
        nullif(t.w -> 'moves', 'null') as moves,
        nullif(t.w -> 'role_change', 'null') as role_change,
        nullif(t.w -> 'push', 'null') as push,
        (t.w ->> 'settles')::boolean as settles
    from jsonb_array_elements($1::jsonb) with ordinality as t (w, n)
),
-- Who revokes a change of address waits for us, or we for them.
open_changes as materialized (
    select c.id
    from email_changes c
    where c.id in (select (i.moves ->> 'change')::uuid from input i)
        and c.state in ('requested', 'invited')
    order by c.id
    for update of c
),
-- Rows that are still as they were read, locked in one order so that two batches cannot deadlock.
kept as materialized (
    select i.n
    from input i
    join users u on u.id = i.id
    where u.xmin::text = i.row_version
        and (i.moves is null or (i.moves ->> 'change')::uuid in (select c.id from open_changes c))
    order by u.id
    for update of u
),
created as (
    insert into users (
        id, clerk_id, email, email_verified, first_name, last_name, username, image_url,
        external_id, role, clerk_role, role_owned_by_directory, public_metadata, banned, locked,
        deprovisioned, is_placeholder, last_sign_in_at, clerk_version, refetch_at,
        organizations_refetch_at, organizations_walked_since, created_at, confirmed_at, deleted_at,
        is_end_inferred
    )
    select
        r.id, r.clerk_id, r.email, r.email_verified, r.first_name, r.last_name, r.username,
        r.image_url, r.external_id, r.role, r.clerk_role, r.role_owned_by_directory,
        r.public_metadata, r.banned, r.locked, r.deprovisioned, r.is_placeholder,
        r.last_sign_in_at, r.clerk_version, r.refetch_at, r.organizations_refetch_at,
        case when r.organizations_refetch_at is not null then now() end, r.created_at,
        case i.confirms
            when 'now' then now()
            when 'as_of_version' then least(now(), to_timestamp(r.clerk_version / 1000.0))
        end,
        r.deleted_at, r.is_end_inferred
    from input i
    cross join jsonb_populate_record(null::users, i.new) r
    where i.new is not null
        and i.row_version is null
        -- A row of the same person who had no account until now is adopted (R5), not doubled.
        and not exists (
            select
            from users e
            where lower(e.email) = lower(r.email)
                and r.email_verified
                and e.clerk_id is null
                and e.deleted_at is null
        )
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
absorbed as (
    delete from users p
    using live l
    where p.id = l.absorbs
        and p.is_placeholder
        and p.clerk_version = 0
        and p.deleted_at is null
    returning l.id, p.organizations_refetch_at
),
updated as (
    update users u
    set
        clerk_id = r.clerk_id,
        email = r.email,
        email_verified = r.email_verified,
        first_name = r.first_name,
        last_name = r.last_name,
        username = r.username,
        image_url = r.image_url,
        external_id = r.external_id,
        role = r.role,
        clerk_role = r.clerk_role,
        role_owned_by_directory = r.role_owned_by_directory,
        public_metadata = r.public_metadata,
        banned = r.banned,
        locked = r.locked,
        deprovisioned = r.deprovisioned,
        is_placeholder = r.is_placeholder,
        last_sign_in_at = r.last_sign_in_at,
        clerk_version = r.clerk_version,
        refetch_at = r.refetch_at,
        n_refetches = r.n_refetches,
        -- What the placeholder owed is owed by this row.
        organizations_refetch_at = coalesce(
            r.organizations_refetch_at,
            (select a.organizations_refetch_at from absorbed a where a.id = l.id)
        ),
        organizations_walked_since = case
            when r.organizations_refetch_at is distinct from u.organizations_refetch_at
                or l.absorbs is not null
            then now()
            else u.organizations_walked_since
        end,
        confirmed_at = case l.confirms
            when 'now' then now()
            when 'as_of_version' then greatest(
                u.confirmed_at, least(now(), to_timestamp(r.clerk_version / 1000.0))
            )
            else u.confirmed_at
        end,
        updated_at = case when l.touches then now() else u.updated_at end,
        deleted_at = r.deleted_at,
        is_end_inferred = r.is_end_inferred,
        erased_at = case when r.deleted_at is not null then u.erased_at end
    from live l
    cross join jsonb_populate_record(null::users, l.new) r
    where l.row_version is not null
        and u.id = l.id
        -- After the placeholder has given its Clerk id back.
        and (select count(*) from absorbed) >= 0
    returning u.id
),
-- A row that moves to another account (R12) leaves a tombstone on the old one, so that nothing that
-- is still said of that one makes a row of it again; what hangs on the account stays with it.
left_behind as (
    insert into users (id, clerk_id, is_placeholder, deleted_at)
    select (l.moves ->> 'left_behind')::uuid, l.moves ->> 'old_clerk_id', true, now()
    from live l
    join updated u using (id)
    where l.moves is not null
    returning id
),
parted as (
    update memberships m
    set user_id = b.id
    from live l
    join left_behind b on b.id = (l.moves ->> 'left_behind')::uuid
    where m.user_id = l.id
    returning m.id
),
-- A row that is adopted takes up the placeholder that a membership has made of the same user (R5).
moved as (
    update memberships m
    set user_id = l.id
    from live l
    where m.user_id = l.absorbs
        -- After those of the old account have made room.
        and (select count(*) from parted) >= 0
),
arrived as (
    update email_changes c
    set
        state = 'moved',
        new_clerk_id = l.new ->> 'clerk_id',
        carry = l.moves -> 'carry',
        moved_at = now(),
        settle_at = now(),
        n_settles = 0,
        last_error = null
    from live l
    where c.id = (l.moves ->> 'change')::uuid
),
-- Nobody who is out may come back by an invitation.
recalled as (
    update email_changes c
    set settle_at = now()
    from live l
    where c.user_id = l.id
        and l.moves is null
        and c.state in ('requested', 'invited')
        and (
            l.new ->> 'deleted_at' is not null
            or (l.new ->> 'banned')::boolean
            or (l.new ->> 'deprovisioned')::boolean
        )
),
audited as (
    insert into role_changes (user_id, old_role, new_role, actor, source, svix_id, request_id)
    select
        l.id, c.old_role, c.new_role, c.actor, c.source, c.svix_id, c.request_id
    from live l
    cross join jsonb_populate_record(null::role_changes, l.role_change) c
    where l.role_change is not null
),
opened as (
    -- Nobody chose this role just now: it fills a gap, as of the version that has the gap.
    insert into outbox (kind, user_id, payload, decided_at)
    select
        'role', l.id, jsonb_build_object('role', l.new ->> 'role'),
        to_timestamp((l.new ->> 'clerk_version')::bigint / 1000.0)
    from live l
    where l.push ->> 'action' = 'open'
    on conflict (user_id) where kind = 'role' and completed_at is null and dead_at is null
    do nothing
),
-- A role that was on its way to the old account is owed to the new one, whoever was delivering it.
redirected as (
    update outbox o
    set
        generation = o.generation + 1,
        n_attempts = 0,
        sent_role = null,
        leased_by = null,
        leased_until = null,
        next_attempt_at = now(),
        last_error = null,
        created_at = now()
    from live l
    where o.user_id = l.id
        and l.moves is not null
        and l.push is null
        and o.kind = 'role'
        and o.completed_at is null
        and o.dead_at is null
),
closed as (
    update outbox o
    set
        completed_at = now(),
        leased_until = null,
        last_error = case when l.push ->> 'action' = 'cancel' then 'superseded in Clerk' end
    from live l
    where l.push ->> 'action' in ('complete', 'cancel')
        and o.id = (l.push ->> 'id')::bigint
        and o.completed_at is null
        and o.dead_at is null
),
-- A re-read object settles what waited for it (R2).
settled as (
    update inbox b
    set outcome = 'applied', applied_at = now(), payload = null
    from live l
    -- What waited for a placeholder waits for nothing once the row has taken that up.
    where (l.settles or l.absorbs is not null)
        and b.object_id in (l.new ->> 'clerk_id', l.moves ->> 'old_clerk_id')
        and b.outcome = 'parked'
)
select l.n from live l order by l.n
