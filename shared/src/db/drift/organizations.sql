-- Compares some of the organizations that Clerk showed with the rows here, and puts down what differs.
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
    $1, c.class, 'organization', l.clerk_id, o.id,
    case c.class when 'orphaned' then 'high' when 'missing' then 'medium' else 'low' end,
    case
        when c.class = 'missing' and o.is_end_inferred then 'ended_too_early'
        when c.class = 'missing' and o.id is not null then 'ended_in_database'
        when b.is_dead then 'dead_event'
        when b.is_parked then 'parked_event'
        when c.class = 'missing' and b.n > 0 then 'deleted_in_database'
        when c.class = 'missing' and coalesce(l.created_at < i.first_at, true)
        then 'before_first_event'
        when c.class = 'missing' then 'lost_event'
        when c.class = 'orphaned' and o.is_placeholder then 'never_in_clerk'
        when c.class = 'orphaned' and (b.n > 0 or o.clerk_version > 0) then 'lost_event'
        when c.class = 'orphaned' then 'added_in_database'
        when l.clerk_version > o.clerk_version and l.clerk_version > $4 then 'not_yet_received'
        when l.clerk_version > o.clerk_version then 'lost_event'
        when l.clerk_version < o.clerk_version then 'version_too_high'
        when o.refetch_at is not null then 'in_doubt'
        else 'edited_in_database'
    end,
    case
        when c.class = 'missing' then l.created_at
        when c.class = 'orphaned' then o.confirmed_at
        when l.clerk_version > o.clerk_version then to_timestamp(l.clerk_version / 1000.0)
        else o.confirmed_at
    end,
    o.clerk_version, l.clerk_version,
    case when c.class = 'stale' then (
        select coalesce(jsonb_agg(
            jsonb_build_object('name', ours.key, 'ours', ours.value, 'clerk', theirs.value)
            order by ours.key
        ), '[]')
        from jsonb_each(jsonb_build_object(
            'name', o.name, 'slug', o.slug, 'imageUrl', o.image_url, 'createdBy', o.created_by,
            'maxAllowedMemberships', o.max_allowed_memberships,
            'publicMetadata', o.public_metadata, 'isPlaceholder', o.is_placeholder,
            'clerkVersion', o.clerk_version
        )) ours
        join jsonb_each(jsonb_build_object(
            'name', l.name, 'slug', l.slug, 'imageUrl', l.image_url, 'createdBy', l.created_by,
            'maxAllowedMemberships', l.max_allowed_memberships,
            'publicMetadata', l.public_metadata, 'isPlaceholder', false,
            'clerkVersion', l.clerk_version
        )) theirs using (key)
        where ours.value <> theirs.value
    ) else '[]' end,
    case c.class
        when 'missing' then case when o.id is null then 'create' else 'update' end
        when 'orphaned' then 'end'
        else 'update'
    end,
    case c.class when 'orphaned' then 21 when 'missing' then 31 else 41 end
from listed_organizations l
cross join r
cross join (select min(received_at) as first_at from inbox) i
left join organizations o on o.clerk_id = l.clerk_id
cross join lateral (
    select
        case
            when l.is_absent and o.deleted_at is null and o.id is not null then 'orphaned'
            when l.is_absent then null
            when o.id is null then 'missing'
            -- A tombstone is final (R3), unless nobody told of the end.
            when o.deleted_at >= r.created_at then null
            when o.deleted_at is not null and exists (
                select
                from inbox b
                where b.object_id = l.clerk_id
                    and b.event_type = 'organization.deleted'
                    and b.outcome <> 'dead'
            ) then null
            when o.deleted_at is not null then 'missing'
            -- Somebody told us of something newer than the list.
            when o.clerk_version > l.clerk_version
                and greatest(o.updated_at, o.confirmed_at) >= r.created_at
            then null
            when (
                o.clerk_version, o.name, o.slug, o.image_url, o.created_by,
                o.max_allowed_memberships, o.is_placeholder, o.public_metadata
            ) is distinct from (
                l.clerk_version, l.name, l.slug, l.image_url, l.created_by,
                l.max_allowed_memberships, false, l.public_metadata
            )
            then 'stale'
        end as class
) c
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
