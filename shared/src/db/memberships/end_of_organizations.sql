-- The memberships of organizations that are gone end with them (R6), and nothing waits for them.
with ended as (
    update memberships m
    set
        deleted_at = coalesce(m.deleted_at, o.deleted_at),
        -- As much as is known of the end of the one is known of the other's.
        is_end_inferred = o.is_end_inferred and (m.deleted_at is null or m.is_end_inferred),
        updated_at = now(),
        refetch_at = null,
        n_refetches = 0
    from organizations o
    where o.id = any($1)
        and o.deleted_at is not null
        and m.organization_id = o.id
        and (m.deleted_at is null or m.refetch_at is not null)
    returning m.clerk_id
)
update inbox b
set outcome = 'applied', applied_at = now(), payload = null
where b.outcome = 'parked'
    and array[b.object_id, b.detail ->> 'waitsFor'] && (select array_agg(e.clerk_id) from ended e)
