-- Notes failed attempts. An entry that a newer role has replaced meanwhile is only given back.
with failure as materialized (
    select f.*
    from jsonb_to_recordset($1::jsonb) as f (
        id bigint,
        generation integer,
        lease uuid,
        last_error text,
        next_attempt_in_ms bigint,
        is_permanent boolean,
        is_owned_by_directory boolean
    )
),
noted as (
    update outbox o
    set
        leased_until = null,
        leased_by = null,
        last_error = f.last_error,
        n_attempts = case when o.generation = f.generation then o.n_attempts else 0 end,
        next_attempt_at = case
            when o.generation = f.generation
            then now() + make_interval(secs => f.next_attempt_in_ms / 1000.0)
            else now()
        end,
        dead_at = case
            when o.generation = f.generation
                and (f.is_permanent or o.created_at < now() - make_interval(hours => $2))
            then now()
        end
    from failure f
    where o.id = f.id and o.leased_by = f.lease and o.completed_at is null and o.dead_at is null
    returning o.user_id, o.dead_at, f.is_owned_by_directory
),
-- The directory owns the role: what Clerk has is taken back, so that nobody keeps what it refused.
mirrored as (
    select
        u.id,
        u.role as old_role,
        case
            when upper(btrim(u.clerk_role)) in ('STUDENT', 'INSTRUCTOR', 'ADMIN')
            then upper(btrim(u.clerk_role))::user_role
            else 'STUDENT'::user_role
        end as new_role
    from noted n
    join users u on u.id = n.user_id
    where n.is_owned_by_directory and n.dead_at is not null
    order by u.id
    for update of u
),
reverted as (
    update users u
    set role = m.new_role, role_owned_by_directory = true, updated_at = now()
    from mirrored m
    where u.id = m.id
)
insert into role_changes (user_id, old_role, new_role, actor, source)
select m.id, m.old_role, m.new_role, 'clerk', 'reconcile'
from mirrored m
where m.old_role <> m.new_role
