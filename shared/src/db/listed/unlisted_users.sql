-- Users who live here and whom Clerk's list did not show.
select jsonb_build_object('clerk_id', u.clerk_id) as unlisted
from users u
join reconcile_runs r on r.id = $1
where u.deleted_at is null
    and u.clerk_id > $2
    -- Whoever was made after the list was begun need not be in it.
    and (u.created_at < r.created_at or u.created_at > now() + interval '1 day')
    and not exists (
        select from listed_users l where l.clerk_id = u.clerk_id and l.run_id = $1
    )
order by u.clerk_id
limit $3
