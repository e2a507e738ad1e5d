-- Begins an edit of a profile, in the transaction that holds the lock on the address.
-- What Clerk has no part in is done here; for the rest an intent is written (R11). A refused edit
-- changes nothing.
with edit as (
    select $3::jsonb as columns, $4::boolean as has_password, lower($3::jsonb ->> 'email') as address
),
target as materialized (
    select u.*
    from users u
    where (u.id = $1 or u.clerk_id = $2) and u.deleted_at is null
    for update of u
),
judged as materialized (
    select
        t.id,
        t.clerk_id,
        case
            when e.address is distinct from lower(t.email) and (
                exists (
                    select
                    from users o
                    where lower(o.email) = e.address and o.deleted_at is null and o.id <> t.id
                )
                or exists (
                    select
                    from email_changes c
                    where lower(c.email) = e.address
                        and c.state in ('requested', 'invited')
                        and c.user_id <> t.id
                )
            )
            then 'email_taken'
            when t.clerk_id is null and e.has_password then 'password_requires_clerk'
            when t.clerk_id is null then 'done'
            when e.address <> coalesce(lower(t.email), '') then 'requires_invitation'
            when e.columns ?| array['first_name', 'last_name'] or e.has_password then 'ask_clerk'
            else 'done'
        end as code
    from target t
    cross join edit e
),
written as (
    update users u
    set
        first_name = case
            when e.columns ? 'first_name' then e.columns ->> 'first_name' else u.first_name
        end,
        last_name = case
            when e.columns ? 'last_name' then e.columns ->> 'last_name' else u.last_name
        end,
        builder_group_id = case
            when e.columns ? 'builder_group_id' then e.columns ->> 'builder_group_id'
            else u.builder_group_id
        end,
        email = case
            when u.clerk_id is null then coalesce(e.columns ->> 'email', u.email) else u.email
        end,
        email_verified = u.email_verified
            and (u.clerk_id is not null or e.address is null or e.address = lower(u.email)),
        updated_at = now()
    from judged j
    cross join edit e
    where u.id = j.id and j.code = 'done'
),
begun as (
    insert into profile_edits (
        user_id, clerk_id, fields, payload, actor, request_id, settle_at, closed_at, outcome
    )
    select
        j.id,
        case when j.code = 'ask_clerk' then j.clerk_id end,
        array(select jsonb_object_keys(e.columns) order by 1)
            || case when e.has_password then array['password'] else '{}' end,
        -- The address of a user with an account is as it was.
        case when j.code = 'ask_clerk' then e.columns - 'email' end,
        $5,
        $6,
        now() + make_interval(secs => $7),
        case when j.code = 'done' then now() end,
        case when j.code = 'done' then 'done' end
    from judged j
    cross join edit e
    where j.code in ('done', 'ask_clerk')
    returning id
)
select j.code, j.clerk_id, b.id
from judged j
left join begun b on true
