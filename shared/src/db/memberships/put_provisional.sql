-- A membership that serves until Clerk can be asked (R17). Its parents live, and stay for so long.
with organization as materialized (
    select o.id from organizations o where o.clerk_id = $1 and o.deleted_at is null for share of o
),
member as materialized (
    select u.id from users u where u.clerk_id = $2 and u.deleted_at is null for share of u
)
insert into memberships (organization_id, user_id, role, is_placeholder, refetch_at)
select o.id, u.id, $3, true, now()
from organization o
cross join member u
where not $4
    or not exists (
        select from memberships m where m.organization_id = o.id and m.user_id = u.id
    )
on conflict (organization_id, user_id) where deleted_at is null
do update set role = excluded.role, updated_at = now(), refetch_at = now()
where memberships.clerk_id is null
