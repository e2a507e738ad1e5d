-- Closes edits with what became of them, in the transaction that holds their rows. Of those that
-- were done, what Clerk has no part in is written, unless a later edit has done so before.
with verdict as (
    select v.id, v.outcome
    from jsonb_to_recordset($1::jsonb) as v (id bigint, outcome text)
),
open as materialized (
    select e.id, e.user_id, e.fields, e.payload, v.outcome
    from profile_edits e
    join verdict v using (id)
    where e.closed_at is null
    order by e.id
    for update of e
),
last_group as (
    select distinct on (o.user_id) o.user_id, o.id, o.payload ->> 'builder_group_id' as value
    from open o
    where o.outcome = 'done' and 'builder_group_id' = any (o.fields)
    order by o.user_id, o.id desc
),
grouped as (
    update users u
    set builder_group_id = g.value, updated_at = now()
    from last_group g
    where u.id = g.user_id
        and u.deleted_at is null
        and not exists (
            select
            from profile_edits l
            where l.user_id = g.user_id
                and l.id > g.id
                and l.outcome = 'done'
                and 'builder_group_id' = any (l.fields)
        )
)
update profile_edits e
set closed_at = now(), outcome = o.outcome, payload = null
from open o
where e.id = o.id
