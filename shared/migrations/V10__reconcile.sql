-- Full comparisons with Clerk (R14, R15): how far each has come, what it found, and what became of it.

create table reconcile_runs (
    id uuid primary key default gen_random_uuid(),
    mode text not null check (mode in ('report', 'repair')),
    -- listing: Clerk's lists are read into the tables below. asking: about what they did not show.
    -- comparing: what was read with what is here. repairing: what was found.
    -- waiting: for an approval of what was withheld (R15).
    state text not null default 'listing' check (
        state in (
            'listing', 'asking', 'comparing', 'repairing', 'waiting', 'done', 'failed', 'cancelled'
        )
    ),
    -- A Clerk user id; `schedule`, or `command`.
    actor text not null,
    request_id text,
    -- Where each step goes on.
    position jsonb not null default '{}',
    -- How much is done, and how much there is: for people.
    progress jsonb not null default '{}',
    -- How many differences were found, by class and by what became of them, when that was counted last.
    drift jsonb not null default '{}',
    -- What may be repaired, and how much of it: the brake, or somebody's approval, which is a ceiling.
    approval jsonb not null default '{}',
    created_at timestamptz not null default now(),
    -- Clerk's lists were complete, and asked about, at this time.
    listed_at timestamptz,
    compared_at timestamptz,
    finished_at timestamptz,
    -- While it is in the future, one sandbox (`leased_by`) works on this run and no other may.
    leased_until timestamptz,
    leased_by uuid,
    -- After a failure, when to go on; how often it failed in a row, and why.
    next_attempt_at timestamptz not null default now(),
    n_failures integer not null default 0,
    last_error text,
    check ((finished_at is not null) = (state in ('waiting', 'done', 'failed', 'cancelled')))
);

-- One at a time: they share the tables below.
create unique index reconcile_runs_open on reconcile_runs ((true))
    where state in ('listing', 'asking', 'comparing', 'repairing');
create index reconcile_runs_created on reconcile_runs (created_at desc);

-- What Clerk showed to the last run, in the shape of our rows. Unlogged: after a crash of the server
-- they are empty, which the counts in `progress` give away, and the run begins anew.
create unlogged table listed_users (
    clerk_id text primary key,
    run_id uuid not null,
    -- Clerk was asked about this one alone, and does not know it.
    is_absent boolean not null default false,
    -- What follows is null for one that is absent.
    clerk_version bigint,
    email text,
    email_verified boolean,
    first_name text,
    last_name text,
    username text,
    image_url text,
    external_id text,
    -- As Clerk spells it, and what it grants: null if Clerk has none.
    clerk_role text,
    role user_role,
    public_metadata jsonb,
    banned boolean,
    locked boolean,
    deprovisioned boolean,
    last_sign_in_at timestamptz,
    created_at timestamptz
);

create unlogged table listed_organizations (
    clerk_id text primary key,
    run_id uuid not null,
    is_absent boolean not null default false,
    clerk_version bigint,
    name text,
    slug text,
    image_url text,
    created_by text,
    max_allowed_memberships bigint,
    public_metadata jsonb,
    created_at timestamptz
);

create unlogged table listed_memberships (
    -- Of one that is absent: of our row, which has one.
    clerk_id text primary key,
    run_id uuid not null,
    is_absent boolean not null default false,
    clerk_version bigint,
    clerk_organization_id text,
    clerk_user_id text,
    role text,
    permissions text[],
    public_metadata jsonb,
    created_at timestamptz
);

-- What differed, of the last runs.
create table drift (
    id bigint generated always as identity primary key,
    -- Of a run; not as a foreign key, which would be looked up for each of a hundred thousand rows.
    run_id uuid not null,
    class text not null check (
        class in ('missing', 'stale', 'stale_high', 'orphaned', 'duplicate_email', 'unknown_role')
    ),
    object text not null check (object in ('user', 'organization', 'membership')),
    -- Clerk's id of the object; null for a membership that is provisional, and a user without account.
    clerk_id text,
    -- Our row, if there is one.
    row_id uuid,
    -- Of a membership: what it joins.
    clerk_organization_id text,
    clerk_user_id text,
    severity text not null check (severity in ('high', 'medium', 'low')),
    -- The most likely one: such as `lost_event`.
    cause text not null,
    -- Since when the two differ, as far as anybody can tell.
    since timestamptz,
    our_version bigint,
    clerk_version bigint,
    -- What differs: `[{"name", "ours", "clerk"}]`.
    fields jsonb not null default '[]',
    -- What a repair does: create, update, demote, end; or none, where a person has to.
    action text not null check (action in ('create', 'update', 'demote', 'end', 'none')),
    -- The lowest is repaired first.
    priority smallint not null,
    -- found: nothing was done yet. withheld: by the brake. repaired. gone: it was so no longer.
    -- failed: see `last_error`.
    state text not null default 'found' check (
        state in ('found', 'withheld', 'repaired', 'gone', 'failed')
    ),
    last_error text,
    found_at timestamptz not null default now(),
    repaired_at timestamptz
);

create index drift_run on drift (run_id, priority, id);
-- Of a database that starts empty, all is missing: that is no history until it is mended.
create index drift_object on drift (clerk_id, id desc) where class <> 'missing' or state = 'repaired';
create index drift_row on drift (row_id, id desc)
    where row_id is not null and (class <> 'missing' or state = 'repaired');
create index drift_lost on drift (found_at) where cause = 'lost_event';

-- What all sandboxes together may still ask of Clerk; negative if it is promised already.
create table clerk_tokens (
    is_only boolean primary key default true check (is_only),
    n_tokens double precision not null,
    counted_at timestamptz not null default now()
);

-- Nobody told of the end: Clerk did not know it when it was asked. If it shows it again, it lives.
alter table users add column is_end_inferred boolean not null default false;
alter table organizations add column is_end_inferred boolean not null default false;

-- The pushes of a user, the last one first.
create index outbox_user on outbox (user_id, id desc);

-- What the panel shows of deliveries: the last ones, those of an outcome, and of a member.
create index inbox_received on inbox (received_at desc, svix_id);
create index inbox_outcome on inbox (outcome, received_at desc);
create index inbox_type on inbox (event_type, received_at desc);
create index inbox_member on inbox ((detail ->> 'clerkUserId'), received_at desc)
    where detail ->> 'clerkUserId' is not null;
