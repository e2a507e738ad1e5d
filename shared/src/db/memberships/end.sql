-- Ends memberships that Clerk does not show, and settles what waited for the answer.
-- One that has become another since it was listed is left alone: nobody asked about that one.
with gone as materialized (
    select m.id, m.clerk_id, m.deleted_at is null as is_live
    from unnest($1::uuid[], $2::text[]) as g (id, clerk_id)
    join memberships m on m.id = g.id and m.clerk_id is not distinct from g.clerk_id
    order by m.id
    for update of m
),
ended as (
    update memberships m
    set
        deleted_at = coalesce(m.deleted_at, now()),
        is_end_inferred = g.is_live or m.is_end_inferred,
        updated_at = case when g.is_live then now() else m.updated_at end,
        refetch_at = null,
        n_refetches = 0
    from gone g
    where m.id = g.id
),
settled as (
    update inbox b
    set outcome = 'applied', applied_at = now(), payload = null
    where b.outcome = 'parked'
        and array[b.object_id, b.detail ->> 'waitsFor'] && (select array_agg(g.clerk_id) from gone g)
)
select count(*) filter (where g.is_live) from gone g
