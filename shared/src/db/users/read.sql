-- For each key: is the delivery known, which row is meant, and is a role push open for it?
-- Takes no lock: `write.sql` refuses to write rows that have changed since.
select
    i.n,
    (select b.outcome from inbox b where b.svix_id = i.svix_id) as recorded,
    u.row,
    (
        select p.id
        from users p
        where p.clerk_id = i.clerk_id and u.adopts and p.is_placeholder
    ) as placeholder,
    o.push
from unnest($1::text[], $2::text[], $3::text[])
    with ordinality as i (svix_id, clerk_id, verified_email, n)
left join lateral (
    select
        u.id,
        u.clerk_id is null as adopts,
        to_jsonb(u) || jsonb_build_object('row_version', u.xmin::text) as row
    from users u
    where u.clerk_id = i.clerk_id
        -- Adoption (R5): a row of a person who had no Clerk account until now.
        or (
            u.clerk_id is null
            and u.deleted_at is null
            and lower(u.email) = lower(i.verified_email)
        )
    order by
        case
            when u.clerk_id is null then 1
            -- A placeholder of which nothing is known, and to which nobody did anything yet.
            when u.is_placeholder
                and u.clerk_version = 0
                and u.deleted_at is null
                and not exists (select from role_changes c where c.user_id = u.id)
                and not exists (select from outbox x where x.user_id = u.id)
            then 2
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
