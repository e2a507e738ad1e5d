-- Deliveries taken in, one row for each svix id, in the transaction of their effects (R7).

create table inbox (
    svix_id text primary key,
    event_type text not null,
    object_id text,
    instance_id text,
    -- When Clerk says that it happened.
    event_at timestamptz,
    received_at timestamptz not null default now(),
    outcome text not null check (
        outcome in ('applied', 'stale', 'ignored', 'parked', 'dead', 'queued')
    ),
    -- The rule of DESIGN that decided, such as R2.
    rule text,
    -- Names of the columns that changed and the versions that were compared: no personal data.
    detail jsonb not null default '{}',
    -- The body, kept only while the event is parked or dead.
    payload jsonb,
    n_attempts integer not null default 1,
    last_error text,
    applied_at timestamptz,
    check (payload is null or outcome in ('parked', 'dead'))
);

create index inbox_object on inbox (object_id, received_at desc);
create index inbox_open on inbox (outcome, received_at) where outcome in ('parked', 'dead');
