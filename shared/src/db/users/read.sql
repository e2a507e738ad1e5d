-- For each key: is the delivery known, which row is meant, is a role push open for it, and does it
-- come to this account from another one (R12)?
-- Takes no lock: `write.sql` refuses to write rows that have changed since.
select
    i.n,
    (
        select b.outcome
        from inbox b
        where b.svix_id = i.svix_id
            -- What is dead or parked is not taken in yet for whoever tries it again.
            and not (b.outcome in ('parked', 'dead') and b.n_attempts = i.n_attempts - 1)
    ) as recorded,
    u.row,
    (
        select p.id
        from users p
        where p.clerk_id = i.clerk_id and u.is_elsewhere and p.is_placeholder
    ) as placeholder,
    case when u.is_elsewhere then u.email_change end as email_change,
    (
        select c.id
        from email_changes c
        where c.user_id = u.id and c.state = 'moved' and c.new_clerk_id = i.clerk_id
        limit 1
    ) as unfinished_move,
    o.push
from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::bigint[])
    with ordinality as i (svix_id, n_attempts, clerk_id, verified_email, created_at, n)
-- The address was promised to a user of ours (R12), and the account was made for it: after the
-- invitation and before its end, by Clerk's clock. While we do not know of the invitation, after it
-- was asked for.
left join email_changes e
    on lower(e.email) = lower(i.verified_email)
    and (
        (
            e.state = 'invited'
            and coalesce(i.created_at >= extract(epoch from e.invited_at) * 1000, true)
            and coalesce(i.created_at <= extract(epoch from e.expires_at) * 1000, true)
        )
        or (e.state = 'requested' and i.created_at >= extract(epoch from e.created_at) * 1000)
    )
left join lateral (
    select
        u.id,
        u.clerk_id is distinct from i.clerk_id as is_elsewhere,
        case when u.clerk_id is not null then e.id end as email_change,
        to_jsonb(u) || jsonb_build_object('row_version', u.xmin::text) as row
    from users u
    where u.clerk_id = i.clerk_id
        -- Adoption (R5): a row of a person who had no Clerk account until now.
        or (
            u.clerk_id is null
            and u.deleted_at is null
            and lower(u.email) = lower(i.verified_email)
        )
        -- Nobody leaves a ban behind.
        or (
            u.id = e.user_id
            and u.clerk_id is not null
            and u.deleted_at is null
            and not u.banned
            and not u.deprovisioned
        )
    order by
        case
            when u.clerk_id is null then 2
            when u.clerk_id <> i.clerk_id then 1
            -- A placeholder of which nothing is known, and to which nobody did anything yet.
            when u.is_placeholder
                and u.clerk_version = 0
                and u.deleted_at is null
                and not exists (select from role_changes c where c.user_id = u.id)
                and not exists (select from outbox x where x.user_id = u.id)
                and not exists (select from profile_edits x where x.user_id = u.id)
                and not exists (select from email_changes x where x.user_id = u.id)
            then 3
            else 0
        end,
        u.created_at,
        u.id
    limit 1
) u on true
left join lateral (
    select to_jsonb(o) as push
    from outbox o
    where o.user_id = u.id and o.kind = 'role' and o.completed_at is null and o.dead_at is null
) o on true
order by i.n
