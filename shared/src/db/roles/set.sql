-- Sets the role of users, in the transaction that holds the lock on admins (R13).
-- Row, audit row and outbox entry change together (R9); a refused user changes in nothing.
with actor as (
    select
    from users u
    where u.id = $5 and u.role = 'ADMIN' and u.deleted_at is null and not u.banned
        and not u.deprovisioned
),
wanted as materialized (
    select w.n, u.id
    from unnest($1::uuid[], $2::text[]) with ordinality as w (id, clerk_id, n)
    left join users u on u.deleted_at is null and (u.id = w.id or u.clerk_id = w.clerk_id)
),
-- Locked in one order, so that two requests cannot deadlock.
target as materialized (
    select u.*
    from users u
    where u.id in (select id from wanted)
    order by u.id
    for update of u
),
-- The rows that were waited for may be newer than the others: each is counted as it is judged.
admins as (
    select count(*) as n_live
    from (
        select t.role, t.banned, t.deprovisioned, t.clerk_id from target t
        union all
        select u.role, u.banned, u.deprovisioned, u.clerk_id
        from users u
        where u.deleted_at is null and u.id not in (select t.id from target t)
    ) u
    where u.role = 'ADMIN' and not u.banned and not u.deprovisioned and u.clerk_id is not null
),
-- Each user once, at the place where the request names them first.
judged as (
    select
        t.*,
        f.n,
        case
            when not exists (select from actor) then 'admin_required'
            when t.role = $3::text::user_role then 'unchanged'
            when t.role_owned_by_directory then 'role_owned_by_directory'
            when t.role <> $4::text::user_role then 'role_changed'
            else 'ok'
        end as code,
        t.role = 'ADMIN' and not t.banned and not t.deprovisioned and t.clerk_id is not null
            as is_live_admin
    from target t
    join (select w.id, min(w.n) as n from wanted w group by w.id) f on f.id = t.id
),
-- As if one after the other: demotions go through until one live admin is left.
verdict as materialized (
    select
        j.id,
        j.clerk_id,
        j.clerk_role,
        j.role as old_role,
        case
            when j.code = 'ok'
                and j.is_live_admin
                and row_number() over (
                    partition by j.code = 'ok' and j.is_live_admin order by j.n
                ) >= (select a.n_live from admins a)
            then 'last_admin'
            else j.code
        end as code
    from judged j
),
-- A row whose debt is only renewed gets a new version, too: who decided about it before has to
-- read again.
changed as (
    update users u
    set
        role = $3::text::user_role,
        updated_at = case when v.code = 'ok' then now() else u.updated_at end
    from verdict v
    where u.id = v.id
        and (v.code = 'ok' or (v.code = 'unchanged' and v.clerk_role is distinct from $3))
),
audited as (
    insert into role_changes (user_id, old_role, new_role, actor, source, request_id)
    select v.id, v.old_role, $3::text::user_role, $6, $7, $8
    from verdict v
    where v.code = 'ok'
),
-- Asking again for a role that Clerk does not have yet owes it anew.
owed as (
    insert into outbox (
        kind, user_id, payload, n_attempts, sent_role, leased_until, leased_by
    )
    select
        'role', v.id, jsonb_build_object('role', $3::text), 1, $3,
        now() + make_interval(secs => $10), $9
    from verdict v
    where v.clerk_id is not null
        and (v.code = 'ok' or (v.code = 'unchanged' and v.clerk_role is distinct from $3))
    on conflict (user_id) where kind = 'role' and completed_at is null and dead_at is null
    do update set
        payload = excluded.payload,
        generation = outbox.generation + 1,
        -- Whoever is delivering the older role goes on to the newer one.
        n_attempts = case when outbox.leased_until > now() then 0 else 1 end,
        sent_role = case
            when outbox.leased_until > now() then outbox.sent_role
            else excluded.sent_role
        end,
        leased_by = case
            when outbox.leased_until > now() then outbox.leased_by
            else excluded.leased_by
        end,
        leased_until = case
            when outbox.leased_until > now() then outbox.leased_until
            else excluded.leased_until
        end,
        next_attempt_at = now(),
        last_error = null,
        decided_at = now(),
        created_at = now()
    returning outbox.*
)
select
    w.n,
    w.id,
    coalesce(v.code, 'not_found') as code,
    case when o.leased_by = $9 then to_jsonb(o) || jsonb_build_object('clerk_id', v.clerk_id) end
        as owed,
    o.id is not null or (v.id is not null and v.clerk_id is null) as is_pending
from wanted w
left join verdict v using (id)
left join owed o on o.user_id = v.id
order by w.n
