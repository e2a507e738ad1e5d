-- What no list shows: roles in Clerk that are none, and people of whom there is more than one row.
-- The run, while it is ours, and while this step is not taken: if it is taken twice, nothing is put
-- down twice.
with r as materialized (
    select * from reconcile_runs
    where id = $1 and leased_by = $2 and position <> $3
    for update
),
unknown_roles as (
    insert into drift (
        run_id, class, object, clerk_id, row_id, severity, cause, since, our_version,
        clerk_version, fields, action, priority
    )
    select
        $1, 'unknown_role', 'user', l.clerk_id, u.id, 'medium', 'unknown_role',
        to_timestamp(l.clerk_version / 1000.0), u.clerk_version, l.clerk_version,
        jsonb_build_array(
            jsonb_build_object('name', 'role', 'ours', u.role, 'clerk', l.clerk_role)
        ),
        'none', 50
    from listed_users l
    cross join r
    left join users u on u.clerk_id = l.clerk_id
    where l.run_id = $1 and l.clerk_role is not null and l.role is null
),
-- With the addresses that they will have when all is as Clerk shows it.
addresses as materialized (
    select
        u.id, u.clerk_id, u.clerk_version, u.created_at,
        case when l.clerk_id is null then u.email else l.email end as email
    from users u
    left join listed_users l
        on l.clerk_id = u.clerk_id and l.run_id = $1 and not l.is_absent
    where u.deleted_at is null
        and not exists (
            select
            from listed_users a
            where a.clerk_id = u.clerk_id and a.run_id = $1 and a.is_absent
        )
),
doubles as (
    select lower(a.email) as email
    from addresses a
    where a.email is not null
    group by 1
    having count(*) > 1
)
insert into drift (
    run_id, class, object, clerk_id, row_id, severity, cause, since, our_version, fields, action,
    priority
)
select
    $1, 'duplicate_email', 'user', a.clerk_id, a.id, 'medium',
    case when a.clerk_id is null then 'row_without_account' else 'row_with_account' end,
    a.created_at, a.clerk_version,
    jsonb_build_array(
        jsonb_build_object(
            'name', 'email', 'ours', a.email,
            'clerk', case when a.clerk_id is not null then a.email end
        )
    ),
    'none', 60
from doubles d
cross join r
join addresses a on lower(a.email) = d.email
