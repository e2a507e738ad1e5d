-- Records that a user shall have another address, in the transaction that holds the locks on the
-- address and on the user: so this sees what others did until they let these go.
with target as materialized (
    select u.*
    from users u
    where (u.id = $1 or u.clerk_id = $2) and u.deleted_at is null
),
open as (
    select c.*
    from email_changes c
    join target t on t.id = c.user_id
    where c.state in ('requested', 'invited') or (
            c.state = 'moved' and c.carry ->> 'is_given' = 'false'
        )
    order by c.state = 'moved' desc
    limit 1
),
judged as materialized (
    select
        t.id,
        t.clerk_id,
        t.public_metadata,
        case
            when t.clerk_id is null then 'no_clerk_account'
            when t.banned or t.deprovisioned then 'disabled'
            when o.state = 'moved' then 'moving'
            when lower(t.email) = lower($3) then 'same_address'
            when exists (
                select
                from users u
                where lower(u.email) = lower($3) and u.deleted_at is null and u.id <> t.id
            )
            or exists (
                select
                from email_changes c
                where lower(c.email) = lower($3)
                    and c.state in ('requested', 'invited')
                    and c.user_id <> t.id
            )
            then 'email_taken'
            when lower(o.email) <> lower($3) then 'other'
            when o.state = 'invited' then 'invited'
            when o.state = 'requested' then 'unanswered'
            else 'recorded'
        end as code,
        to_jsonb(o) as change
    from target t
    left join open o on true
),
recorded as (
    insert into email_changes (
        user_id, old_clerk_id, email, actor, request_id, settle_at
    )
    select j.id, j.clerk_id, $3, $4, $5, now() + interval '30 seconds'
    from judged j
    where j.code = 'recorded'
    returning *
)
select j.code, coalesce(j.change, to_jsonb(r)) as change, j.public_metadata - 'role' as public_metadata
from judged j
left join recorded r on true
