-- Memberships that live here and that Clerk's list did not show; but for those whose user or
-- organization Clerk does not know: they end with these (R6).
select
    jsonb_build_object(
        'clerk_id', m.clerk_id, 'organization', o.clerk_id, 'user', u.clerk_id
    ) as unlisted
from memberships m
join reconcile_runs r on r.id = $1
join organizations o on o.id = m.organization_id
join users u on u.id = m.user_id
where m.deleted_at is null
    and m.clerk_id > $2
    -- What was made after the list was begun need not be in it.
    and (m.created_at < r.created_at or m.created_at > now() + interval '1 day')
    and not exists (
        select from listed_memberships l where l.clerk_id = m.clerk_id and l.run_id = $1
    )
    and not exists (
        select from listed_users l
        where l.clerk_id = u.clerk_id and l.run_id = $1 and l.is_absent
    )
    and not exists (
        select from listed_organizations l
        where l.clerk_id = o.clerk_id and l.run_id = $1 and l.is_absent
    )
order by m.clerk_id
limit $3
