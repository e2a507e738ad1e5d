-- Compares some of the memberships that Clerk showed with the rows here, and puts down what differs.
-- The run, while it is ours, and while this step is not taken: if it is taken twice, nothing is put
-- down twice.
with r as materialized (
    select * from reconcile_runs
    where id = $1 and leased_by = $5 and position <> $6
    for update
)
insert into drift (
    run_id, class, object, clerk_id, row_id, clerk_organization_id, clerk_user_id, severity, cause,
    since, our_version, clerk_version, fields, action, priority
)
select
    $1, c.class, 'membership', l.clerk_id, m.id,
    coalesce(l.clerk_organization_id, h.clerk_organization_id),
    coalesce(l.clerk_user_id, h.clerk_user_id),
    case
        when c.class in ('stale_high', 'orphaned') then 'high'
        when c.class = 'missing' or m.role <> l.role then 'medium'
        else 'low'
    end,
    case
        when c.class = 'missing' and m.is_end_inferred then 'ended_too_early'
        when c.class = 'missing' and m.id is not null then 'ended_in_database'
        when b.is_dead then 'dead_event'
        when b.is_parked then 'parked_event'
        when c.class = 'missing' and b.n > 0 then 'deleted_in_database'
        when c.class = 'missing' and coalesce(l.created_at < i.first_at, true)
        then 'before_first_event'
        when c.class = 'missing' then 'lost_event'
        when c.class = 'orphaned' and (b.n > 0 or m.clerk_version > 0) then 'lost_event'
        when c.class = 'orphaned' then 'added_in_database'
        when e.is_moved then 'moved_in_database'
        when l.clerk_version > m.clerk_version and l.clerk_version > $4 then 'not_yet_received'
        when l.clerk_version > m.clerk_version then 'lost_event'
        when l.clerk_version < m.clerk_version then 'version_too_high'
        when m.refetch_at is not null then 'in_doubt'
        else 'edited_in_database'
    end,
    case
        when c.class = 'missing' then l.created_at
        when c.class = 'orphaned' then m.confirmed_at
        when l.clerk_version > m.clerk_version then to_timestamp(l.clerk_version / 1000.0)
        else m.confirmed_at
    end,
    m.clerk_version, l.clerk_version,
    case when c.class in ('stale', 'stale_high') then (
        select coalesce(jsonb_agg(
            jsonb_build_object('name', ours.key, 'ours', ours.value, 'clerk', theirs.value)
            order by ours.key
        ), '[]')
        from jsonb_each(jsonb_build_object(
            'role', m.role, 'permissions', m.permissions, 'publicMetadata', m.public_metadata,
            'clerkOrgId', h.clerk_organization_id, 'clerkUserId', h.clerk_user_id,
            'isPlaceholder', m.is_placeholder, 'clerkVersion', m.clerk_version
        )) ours
        join jsonb_each(jsonb_build_object(
            'role', l.role, 'permissions', l.permissions, 'publicMetadata', l.public_metadata,
            'clerkOrgId', l.clerk_organization_id, 'clerkUserId', l.clerk_user_id,
            'isPlaceholder', false, 'clerkVersion', l.clerk_version
        )) theirs using (key)
        where ours.value <> theirs.value
    ) else '[]' end,
    case c.class
        when 'missing' then case when m.id is null then 'create' else 'update' end
        when 'orphaned' then 'end'
        when 'stale_high' then 'demote'
        else 'update'
    end,
    case
        -- After that in which it lives.
        when lo.deleted_at is not null or lu.deleted_at is not null then 33
        when c.class = 'stale_high' then 12
        when c.class = 'orphaned' then 22
        when c.class = 'missing' then 32
        else 42
    end
from listed_memberships l
cross join r
cross join (select min(received_at) as first_at from inbox) i
left join memberships m on m.clerk_id = l.clerk_id
-- What it joins in Clerk.
left join organizations lo on lo.clerk_id = l.clerk_organization_id
left join users lu on lu.clerk_id = l.clerk_user_id
cross join lateral (
    select (m.organization_id, m.user_id) is distinct from (lo.id, lu.id) as is_moved
) e
cross join lateral (
    select
        case
            when l.is_absent and m.deleted_at is null and m.id is not null then 'orphaned'
            when l.is_absent then null
            -- In what is gone, and of whom is gone, nothing lives (R6); unless that itself is drift.
            when lu.deleted_at is not null and not exists (
                select
                from drift d
                where d.run_id = $1
                    and d.class = 'missing'
                    and d.object = 'user'
                    and d.clerk_id = l.clerk_user_id
            ) then null
            when lo.deleted_at is not null and not exists (
                select
                from drift d
                where d.run_id = $1
                    and d.class = 'missing'
                    and d.object = 'organization'
                    and d.clerk_id = l.clerk_organization_id
            ) then null
            when m.id is null then 'missing'
            -- A tombstone is final (R3), unless nobody told of the end.
            when m.deleted_at >= r.created_at then null
            when m.deleted_at is not null and not m.is_end_inferred and (
                exists (
                    select
                    from inbox b
                    where b.object_id = l.clerk_id
                        and b.event_type = 'organizationMembership.deleted'
                        and b.outcome <> 'dead'
                )
                -- Another one followed it (R6).
                or exists (
                    select
                    from memberships f
                    where f.organization_id = lo.id
                        and f.user_id = lu.id
                        and f.clerk_id <> m.clerk_id
                        and f.created_at >= m.created_at
                )
            ) then null
            when m.deleted_at is not null then 'missing'
            -- Somebody told us of something newer than the list.
            when m.clerk_version > l.clerk_version
                and greatest(m.updated_at, m.confirmed_at) >= r.created_at
            then null
            when not e.is_moved and (
                m.clerk_version, m.role, m.permissions, m.is_placeholder, m.public_metadata
            ) is not distinct from (
                l.clerk_version, l.role, l.permissions, false, l.public_metadata
            )
            then null
            when e.is_moved
                or (m.role = 'org:admin' and l.role <> 'org:admin')
                or not m.permissions <@ l.permissions
            then 'stale_high'
            else 'stale'
        end as class
) c
-- What it joins here.
left join lateral (
    select mo.clerk_id as clerk_organization_id, mu.clerk_id as clerk_user_id
    from organizations mo
    cross join users mu
    where c.class is not null and mo.id = m.organization_id and mu.id = m.user_id
) h on true
left join lateral (
    select
        count(*) as n,
        bool_or(b.outcome = 'dead') as is_dead,
        bool_or(b.outcome = 'parked') as is_parked
    from inbox b
    -- A database that starts empty has heard of nothing.
    where c.class is not null and i.first_at is not null and b.object_id = l.clerk_id
) b on true
where l.run_id = $1
    and l.clerk_id > $2
    and ($3::text is null or l.clerk_id <= $3)
    and c.class is not null
