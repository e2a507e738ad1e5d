-- Who edited which profile, and what became of it. Of an edit that Clerk is asked for first (R11),
-- the intent is here before the call, and is closed after it.

create table profile_edits (
    -- Of two edits of one user the one with the higher id is the later one.
    id bigint generated always as identity primary key,
    -- Null if Clerk knows the user and we do not yet.
    user_id uuid references users (id),
    -- Whom Clerk was asked to change; null if only the row was changed.
    clerk_id text,
    -- When Clerk had last changed the password before it was asked to, in ms by its clock; 0 if never,
    -- null if that is not known. Another time later means that the edit was made.
    password_changed_at bigint,
    -- The columns that shall change; `password` is not one, and stands for itself.
    fields text[] not null,
    -- Their values, until the edit is closed. Never a password.
    payload jsonb,
    -- A Clerk user id.
    actor text not null,
    request_id text,
    created_at timestamptz not null default now(),
    -- When Clerk is asked what became of an edit that nobody closed, and how often it was.
    settle_at timestamptz not null default now(),
    n_settles integer not null default 0,
    closed_at timestamptz,
    -- `refused`: Clerk said so. `not_done`: nobody said, and Clerk does not show it.
    outcome text check (outcome in ('done', 'refused', 'not_done')),
    check ((closed_at is null) = (outcome is null)),
    check (closed_at is null or payload is null)
);

create index profile_edits_open on profile_edits (settle_at) where closed_at is null;
create index profile_edits_user on profile_edits (user_id, id desc);
