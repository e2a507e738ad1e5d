-- What we owe Clerk (R9).

create table outbox (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('role')),
    user_id uuid not null references users (id),
    payload jsonb not null,
    -- Counts the changes of an open entry: who delivers an older one does not close the newer.
    generation integer not null default 1,
    n_attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    -- While it is in the future, one sandbox (`leased_by`) is delivering this entry and no other may.
    leased_until timestamptz,
    leased_by uuid,
    -- When the role was decided: a role that Clerk shows later than this is newer (R8).
    decided_at timestamptz not null default now(),
    -- The role of the last attempt: it may have reached Clerk even if no answer came (R10).
    sent_role text,
    last_error text,
    -- When the change was asked for; a newer change of an open entry asks anew.
    created_at timestamptz not null default now(),
    completed_at timestamptz,
    dead_at timestamptz,
    check (completed_at is null or dead_at is null)
);

-- At most one open role entry for a user: a newer role replaces it.
create unique index outbox_open_role on outbox (user_id)
    where kind = 'role' and completed_at is null and dead_at is null;
create index outbox_due on outbox (next_attempt_at)
    where completed_at is null and dead_at is null;
create index outbox_dead on outbox (user_id, dead_at) where dead_at is not null;
