-- Organizations that live here and that Clerk's list did not show.
select jsonb_build_object('clerk_id', o.clerk_id) as unlisted
from organizations o
join reconcile_runs r on r.id = $1
where o.deleted_at is null
    and o.clerk_id > $2
    -- What was made after the list was begun need not be in it.
    and (o.created_at < r.created_at or o.created_at > now() + interval '1 day')
    and not exists (
        select from listed_organizations l where l.clerk_id = o.clerk_id and l.run_id = $1
    )
order by o.clerk_id
limit $3
