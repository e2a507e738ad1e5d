-- A new address for a user who has a Clerk account (R12): an invitation to the address, and the row
-- moves to the account of whoever follows it.

create table email_changes (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users (id),
    -- The account that the row leaves.
    old_clerk_id text not null,
    -- The account that it has moved to.
    new_clerk_id text,
    -- The new address; null once the user's personal data is erased.
    email text,
    -- requested: Clerk is being asked for an invitation. invited: it was sent. moved: the row is on
    -- the new account, and the old one is still to be removed. done: it is removed.
    -- revoked, expired, failed: nothing changed, and nothing will.
    state text not null default 'requested' check (
        state in ('requested', 'invited', 'moved', 'done', 'revoked', 'expired', 'failed')
    ),
    -- Why it failed: a code, for people.
    reason text,
    invitation_id text,
    -- What the new account shall get: what the row had before the move, and then what Clerk showed of
    -- the old account before that was removed (names, external id, metadata, role, memberships).
    carry jsonb,
    -- A Clerk user id.
    actor text not null,
    request_id text,
    created_at timestamptz not null default now(),
    -- When the invitation was made, and when it ends, by Clerk's clock.
    invited_at timestamptz,
    expires_at timestamptz,
    moved_at timestamptz,
    closed_at timestamptz,
    -- When Clerk has to be asked, or told, next, and how often it was; null once it is closed.
    settle_at timestamptz default now(),
    n_settles integer not null default 0,
    last_error text,
    check ((closed_at is not null) = (state in ('done', 'revoked', 'expired', 'failed'))),
    check ((closed_at is null) = (settle_at is not null)),
    check (closed_at is null or carry is null),
    check ((new_clerk_id is not null) = (state in ('moved', 'done')))
);

-- At most one address for a user, and one user for an address.
create unique index email_changes_open_user on email_changes (user_id)
    where state in ('requested', 'invited');
create unique index email_changes_open_email on email_changes (lower(email))
    where state in ('requested', 'invited');
create index email_changes_settle on email_changes (settle_at) where settle_at is not null;
create index email_changes_user on email_changes (user_id, created_at desc);
