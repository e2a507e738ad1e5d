-- Withholds deletions and demotions above the ceilings (R15), and gives the rest free.
-- Without somebody's approval each kind of object has its own ceiling, and what was withheld once
-- stays so until an approval names a ceiling for it; such ceilings are for all kinds together.
with approval as (
    select
        ($3::jsonb ->> 'isExplicit')::boolean as is_explicit,
        nullif($3 -> 'classes', 'null') as classes,
        ($3 ->> 'maxDeletions')::bigint as max_deletions,
        ($3 ->> 'maxDemotions')::bigint as max_demotions,
        ($3 ->> 'usualCount')::bigint as usual_count,
        ($3 ->> 'usualPercent')::double precision as usual_percent
),
usual as (
    select
        k.object,
        greatest(a.usual_count, floor(k.n_rows * a.usual_percent / 100))::bigint as ceiling
    from approval a
    cross join lateral (
        values
            ('user', (select count(*) from users where deleted_at is null)),
            ('organization', (select count(*) from organizations where deleted_at is null)),
            ('membership', (select count(*) from memberships where deleted_at is null))
    ) as k (object, n_rows)
),
-- The last run before this one that was held back, or could have been.
earlier as (
    select e.id
    from reconcile_runs e
    where e.id <> $1 and e.mode = 'repair' and e.compared_at is not null
    order by e.created_at desc
    limit 1
),
ranked as (
    select
        d.id,
        d.action,
        d.object,
        d.state,
        case d.action when 'end' then a.max_deletions when 'demote' then a.max_demotions end
            as approved,
        row_number() over (partition by d.action order by d.priority, d.id) as place,
        row_number() over (partition by d.action, d.object order by d.priority, d.id)
            as place_of_kind,
        -- With an organization all of its memberships end.
        sum(
            case when d.action = 'end' and d.object = 'organization' then (
                select count(*)
                from memberships m
                where m.organization_id = d.row_id and m.deleted_at is null
            ) else 0 end
        ) over (partition by d.action, d.object order by d.priority, d.id) as n_members,
        -- Clerk still has the role that it refused to change: only a person can want it back.
        (
            d.cause = 'push_refused'
            and d.class = 'stale'
            and not coalesce(a.is_explicit and a.classes ? 'stale', false)
        )
        or (
            d.action in ('end', 'demote')
            and case d.action when 'end' then a.max_deletions else a.max_demotions end is null
            and (
                d.state = 'withheld'
                or exists (
                    select
                    from drift b
                    where b.run_id = (select e.id from earlier e)
                        and b.state = 'withheld'
                        and b.class in ('stale_high', 'orphaned')
                        and b.class = d.class
                        and b.clerk_id = d.clerk_id
                )
            )
        ) as must_wait
    from drift d
    cross join approval a
    where d.run_id = $1
        and d.state in ('found', 'withheld')
        and (d.action in ('end', 'demote') or d.cause = 'push_refused' or d.state = 'withheld')
        and d.action <> 'none'
        and (a.classes is null or a.classes ? d.class)
),
decided as (
    select
        k.id,
        k.action,
        k.object,
        k.state as old_state,
        case
            when k.must_wait then 'withheld'
            when k.action not in ('end', 'demote') then 'found'
            when k.approved is not null and k.place <= k.approved then 'found'
            when k.approved is null
                and k.place_of_kind <= u.ceiling
                and k.n_members <= (select m.ceiling from usual m where m.object = 'membership')
            then 'found'
            else 'withheld'
        end as state
    from ranked k
    join usual u using (object)
),
changed as (
    update drift d
    set state = c.state
    from decided c
    where d.id = c.id and c.old_state <> c.state and $2
),
-- What no ceiling is about.
free as (
    select d.action, d.object, count(*) as n
    from drift d
    cross join approval a
    where d.run_id = $1
        and d.state = 'found'
        and d.action in ('create', 'update')
        and d.cause <> 'push_refused'
        and (a.classes is null or a.classes ? d.class)
    group by 1, 2
)
select
    coalesce(jsonb_object_agg(p.key, p.n) filter (where not p.is_withheld), '{}') as planned,
    coalesce(jsonb_object_agg(p.key, p.n) filter (where p.is_withheld), '{}') as withheld
from (
    select c.action || ' ' || c.object as key, c.state = 'withheld' as is_withheld, count(*) as n
    from decided c
    group by 1, 2
    union all
    select f.action || ' ' || f.object, false, f.n from free f
) p
