-- For each key: is the delivery known, which rows are the parents, which row is meant, and what else
-- is there of the same pair (R6)?
-- Takes no lock: `write.sql` refuses to write rows that have changed since.
select
    (
        select b.outcome
        from inbox b
        where b.svix_id = i.svix_id
            -- What is dead or parked is not taken in yet for whoever tries it again.
            and not (b.outcome in ('parked', 'dead') and b.n_attempts = i.n_attempts - 1)
    ) is not null as is_recorded,
    case
        when o.id is not null
        then jsonb_build_object(
            'id', o.id,
            'is_deleted', o.deleted_at is not null,
            'is_unknown', coalesce(o.is_placeholder and o.refetch_at <= now(), false),
            'walked_at', o.members_confirmed_at
        )
    end as organization,
    case
        when u.id is not null
        then jsonb_build_object(
            'id', u.id,
            'is_deleted', u.deleted_at is not null,
            'is_unknown', coalesce(u.is_placeholder and u.refetch_at <= now(), false),
            'walked_at', u.organizations_confirmed_at
        )
    end as "user",
    (
        select to_jsonb(m) || jsonb_build_object('row_version', m.xmin::text)
        from memberships m
        where m.clerk_id = i.clerk_id
    ) as row,
    (
        select to_jsonb(m) || jsonb_build_object('row_version', m.xmin::text)
        from memberships m
        where m.organization_id = o.id
            and m.user_id = u.id
            and m.deleted_at is null
            and m.clerk_id is distinct from i.clerk_id
    ) as rival,
    (
        select to_jsonb(max(m.created_at))
        from memberships m
        where m.organization_id = o.id and m.user_id = u.id and m.clerk_id <> i.clerk_id
    ) as last_created_at
from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[])
    with ordinality as i (svix_id, n_attempts, clerk_id, organization_clerk_id, user_clerk_id, n)
left join organizations o on o.clerk_id = i.organization_clerk_id
left join users u on u.clerk_id = i.user_clerk_id
order by i.n
