-- Compares some of the users that Clerk showed with the rows here, and puts down what differs.
-- The run, while it is ours, and while this step is not taken: if it is taken twice, nothing is put
-- down twice.
with r as materialized (
    select * from reconcile_runs
    where id = $1 and leased_by = $5 and position <> $6
    for update
)
insert into drift (
    run_id, class, object, clerk_id, row_id, severity, cause, since, our_version, clerk_version,
    fields, action, priority
)
select
    $1, c.class, 'user', l.clerk_id, coalesce(u.id, n.unlinked),
    case
        when c.class in ('stale_high', 'orphaned') then 'high'
        when c.class = 'missing' or u.role < e.role or not u.email_verified = l.email_verified
            or u.email is distinct from l.email
        then 'medium'
        else 'low'
    end,
    case
        when c.class = 'missing' and n.unlinked is not null then 'not_linked'
        when c.class = 'missing' and u.is_end_inferred then 'ended_too_early'
        when c.class = 'missing' and u.id is not null then 'ended_in_database'
        when b.is_dead then 'dead_event'
        when b.is_parked then 'parked_event'
        when c.class = 'missing' and b.n > 0 then 'deleted_in_database'
        when c.class = 'missing' and coalesce(l.created_at < i.first_at, true)
        then 'before_first_event'
        when c.class = 'missing' then 'lost_event'
        when c.class = 'orphaned' and u.is_placeholder then 'never_in_clerk'
        when c.class = 'orphaned' and (b.n > 0 or u.clerk_version > 0) then 'lost_event'
        when c.class = 'orphaned' then 'added_in_database'
        when u.role <> e.role
            and d.is_refused
            and e.clerk_role is not distinct from u.clerk_role
        then 'push_refused'
        when l.clerk_version > u.clerk_version and l.clerk_version > $4 then 'not_yet_received'
        when l.clerk_version > u.clerk_version then 'lost_event'
        when l.clerk_version < u.clerk_version then 'version_too_high'
        when u.refetch_at is not null then 'in_doubt'
        when c.class = 'stale_high' and l.clerk_role is not null and l.role is null
        then 'unknown_role'
        else 'edited_in_database'
    end,
    case
        when c.class = 'missing' then l.created_at
        when c.class = 'orphaned' then u.confirmed_at
        when l.clerk_version > u.clerk_version then to_timestamp(l.clerk_version / 1000.0)
        else u.confirmed_at
    end,
    u.clerk_version, l.clerk_version,
    case when c.class in ('stale', 'stale_high') then (
        select coalesce(jsonb_agg(
            jsonb_build_object('name', ours.key, 'ours', ours.value, 'clerk', theirs.value)
            order by ours.key
        ), '[]')
        from jsonb_each(jsonb_build_object(
            'email', u.email, 'emailVerified', u.email_verified, 'firstName', u.first_name,
            'lastName', u.last_name, 'username', u.username, 'imageUrl', u.image_url,
            'externalId', u.external_id, 'role', u.role, 'clerkRole', u.clerk_role,
            'publicMetadata', u.public_metadata, 'banned', u.banned, 'locked', u.locked,
            'deprovisioned', u.deprovisioned, 'isPlaceholder', u.is_placeholder,
            'clerkVersion', u.clerk_version
        )) ours
        join jsonb_each(jsonb_build_object(
            'email', l.email, 'emailVerified', l.email_verified, 'firstName', l.first_name,
            'lastName', l.last_name, 'username', l.username, 'imageUrl', l.image_url,
            'externalId', l.external_id, 'role', e.role, 'clerkRole', e.clerk_role,
            'publicMetadata', l.public_metadata, 'banned', l.banned, 'locked', l.locked,
            'deprovisioned', l.deprovisioned, 'isPlaceholder', false,
            'clerkVersion', l.clerk_version
        )) theirs using (key)
        where ours.value <> theirs.value
    ) else '[]' end,
    case c.class
        when 'missing' then case when u.id is null and n.unlinked is null then 'create' else 'update' end
        when 'orphaned' then 'end'
        when 'stale_high' then 'demote'
        else 'update'
    end,
    case c.class
        when 'stale_high' then 10 when 'orphaned' then 20 when 'missing' then 30 else 40
    end
from listed_users l
cross join r
cross join (select min(received_at) as first_at from inbox) i
left join users u on u.clerk_id = l.clerk_id
left join outbox p
    on p.user_id = u.id and p.kind = 'role' and p.completed_at is null and p.dead_at is null
-- The role that it should have here (R8). One that is on its way to Clerk is no drift.
cross join lateral (
    select
        case
            when p.id is not null then u.role
            when l.clerk_role is not null then coalesce(l.role, 'STUDENT')
            when u.clerk_role is not null then 'STUDENT'
            else u.role
        end as role,
        coalesce(l.clerk_role, case when u.clerk_role is not null then '' end) as clerk_role
) e
cross join lateral (
    select
        case
            when l.is_absent and u.deleted_at is null and u.id is not null then 'orphaned'
            when l.is_absent then null
            when u.id is null then 'missing'
            -- A tombstone is final (R3), unless nobody told of the end.
            when u.deleted_at >= r.created_at then null
            when u.deleted_at is not null and (
                exists (
                    select
                    from inbox b
                    where b.object_id = l.clerk_id
                        and b.event_type = 'user.deleted'
                        and b.outcome <> 'dead'
                )
                or exists (
                    select
                    from email_changes x
                    where x.old_clerk_id = l.clerk_id and x.state in ('moved', 'done')
                )
            ) then null
            when u.deleted_at is not null then 'missing'
            -- Somebody told us of something newer than the list.
            when u.clerk_version > l.clerk_version
                and greatest(u.updated_at, u.confirmed_at) >= r.created_at
            then null
            when u.role > e.role
                or (l.banned and not u.banned)
                or (l.deprovisioned and not u.deprovisioned)
            then 'stale_high'
            when (
                u.clerk_version, u.email, u.email_verified, u.first_name, u.last_name, u.username,
                u.image_url, u.external_id, u.role, u.clerk_role, u.banned, u.locked,
                u.deprovisioned, u.is_placeholder, u.public_metadata
            ) is distinct from (
                l.clerk_version, l.email, l.email_verified, l.first_name, l.last_name, l.username,
                l.image_url, l.external_id, e.role, e.clerk_role, l.banned, l.locked,
                l.deprovisioned, false, l.public_metadata
            )
            then 'stale'
        end as class
) c
-- A row of the same person who has no account here (R5).
left join lateral (
    select o.id as unlinked
    from users o
    where c.class = 'missing'
        and l.email_verified
        and lower(o.email) = lower(l.email)
        and o.clerk_id is null
        and o.deleted_at is null
    order by o.created_at, o.id
    limit 1
) n on true
left join lateral (
    select
        count(*) as n,
        bool_or(b.outcome = 'dead') as is_dead,
        bool_or(b.outcome = 'parked') as is_parked
    from inbox b
    -- A database that starts empty has heard of nothing.
    where c.class is not null and i.first_at is not null and b.object_id = l.clerk_id
) b on true
left join lateral (
    select x.dead_at is not null as is_refused
    from outbox x
    where c.class is not null and x.user_id = u.id
    order by x.id desc
    limit 1
) d on true
where l.run_id = $1
    and l.clerk_id > $2
    and ($3::text is null or l.clerk_id <= $3)
    and c.class is not null
