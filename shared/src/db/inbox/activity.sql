-- How many deliveries had which of the outcomes $4, in each of the last $2 spans of $1 seconds, of
-- which the last one is under way. At most $3 are counted of one outcome and span, each along its
-- index and without a look at the rows.
select
    s.at,
    jsonb_object_agg(
        o.outcome,
        (
            select count(*)
            from (
                select
                from inbox b
                where b.outcome = o.outcome
                    and b.received_at >= s.at
                    and b.received_at < s.at + make_interval(secs => $1)
                order by b.received_at desc
                limit $3
            ) c
        )
    ) as counts
from (
    select to_timestamp((floor(extract(epoch from now())::float8 / $1) - n) * $1) as at
    from generate_series(0, $2 - 1) n
) s
cross join unnest($4::text[]) o (outcome)
group by s.at
order by s.at
