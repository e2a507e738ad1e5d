-- For each key: is the delivery known, and which row is meant?
-- Takes no lock: `write.sql` refuses to write rows that have changed since.
select
    (
        select b.outcome
        from inbox b
        where b.svix_id = i.svix_id
            -- What is dead or parked is not taken in yet for whoever tries it again.
            and not (b.outcome in ('parked', 'dead') and b.n_attempts = i.n_attempts - 1)
    ) is not null as is_recorded,
    (
        select to_jsonb(o) || jsonb_build_object('row_version', o.xmin::text)
        from organizations o
        where o.clerk_id = i.clerk_id
    ) as row
from unnest($1::text[], $2::integer[], $3::text[])
    with ordinality as i (svix_id, n_attempts, clerk_id, n)
order by i.n
