-- How many live users of each role there were when each of the last $1 days was over (UTC). The last
-- one is today, as far as it has come: its counts are those of now.
with span as (
    select today - ($1::int - 1) as first_day, today
    from (select (now() at time zone 'UTC')::date as today) t
),
-- From which day on each user counts, and from which day on no more; before the first day is on it.
lives as materialized (
    select
        u.id,
        u.role,
        least(s.today, greatest(s.first_day, (u.created_at at time zone 'UTC')::date)) as since,
        case
            when u.deleted_at is null then 'infinity'
            else least(s.today, greatest(s.first_day, (u.deleted_at at time zone 'UTC')::date))
        end as until
    from users u
    cross join span s
),
-- The role that a change ended: it held at the end of the days that came before the change, and not
-- before that of any earlier change. The id tells which is earlier: of two transactions, the one that
-- began first may have come second. A role that nothing came before is the one that the user began
-- with.
earlier as (
    select
        c.user_id,
        coalesce(c.old_role, c.new_role) as role,
        max(c.day) over (
            partition by c.user_id order by c.id rows between unbounded preceding and 1 preceding
        ) as since,
        c.day as until
    from (
        select c.*, least(s.today, (c.at at time zone 'UTC')::date) as day
        from role_changes c
        cross join span s
        where c.at >= s.first_day::timestamp at time zone 'UTC'
    ) c
),
-- Each user as what they are now; and where they were something else, that instead.
counted as (
    select l.role, l.since, l.until, count(*) as n
    from lives l
    where l.since < l.until
    group by l.role, l.since, l.until
    union all
    select t.role, greatest(l.since, e.since), least(l.until, e.until), t.n
    from earlier e
    join lives l on l.id = e.user_id and l.role <> e.role
    cross join lateral (values (e.role, 1), (l.role, -1)) t (role, n)
    where greatest(l.since, e.since) < least(l.until, e.until)
),
-- By how much the counts of a day differ from those of the day before it.
steps as (
    select t.day, c.role, t.n
    from counted c
    cross join lateral (values (c.since, c.n), (c.until, -c.n)) t (day, n)
)
select
    d.day as date,
    coalesce(sum(sum(t.n)) over so_far, 0)::bigint as n_users,
    coalesce(sum(sum(t.n) filter (where t.role = 'ADMIN')) over so_far, 0)::bigint as n_admins,
    coalesce(sum(sum(t.n) filter (where t.role = 'INSTRUCTOR')) over so_far, 0)::bigint
        as n_instructors,
    coalesce(sum(sum(t.n) filter (where t.role = 'STUDENT')) over so_far, 0)::bigint as n_students
from span s
cross join lateral (
    select s.first_day + i as day from generate_series(0, $1::int - 1) i
) d
left join steps t using (day)
group by d.day
window so_far as (order by d.day)
order by d.day
