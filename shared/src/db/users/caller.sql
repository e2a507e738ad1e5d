-- Who asks ($1), in which organization ($2, if they act in one), and whether their row and their
-- membership were confirmed within $3 seconds.
select
    case
        when u.id is not null
        then to_jsonb(u) || jsonb_build_object('row_version', u.xmin::text)
    end as "user",
    coalesce(u.confirmed_at > now() - make_interval(secs => $3), false) as is_fresh,
    to_jsonb(o) as organization,
    to_jsonb(m) as membership,
    coalesce(m.confirmed_at > now() - make_interval(secs => $3), false) as is_membership_fresh,
    exists (
        select from memberships e where e.organization_id = o.id and e.user_id = u.id
    ) as was_member
from (select $1::text as user_id, $2::text as organization_id) as asked
left join users u on u.clerk_id = asked.user_id
left join organizations o on o.clerk_id = asked.organization_id
left join memberships m
    on m.organization_id = o.id and m.user_id = u.id and m.deleted_at is null
