-- Our copy of Clerk's users, and the rows of people who have no Clerk account yet.

create type user_role as enum ('STUDENT', 'INSTRUCTOR', 'ADMIN');

create table users (
    id uuid primary key default gen_random_uuid(),
    -- Null until the person has a Clerk account (R5). Never reused, never cleared (R1).
    clerk_id text unique,
    email text,
    email_verified boolean not null default false,
    first_name text,
    last_name text,
    name text generated always as (
        nullif(btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')), '')
    ) stored,
    username text,
    image_url text,
    external_id text,
    role user_role not null default 'STUDENT',
    -- The base of the three-way merge (R8): what Clerk's public_metadata.role was when last seen.
    -- Null: never seen there. Empty: seen before, and absent when last seen.
    clerk_role text,
    -- Clerk refused a role of ours because the user's directory (SCIM) owns it.
    role_owned_by_directory boolean not null default false,
    public_metadata jsonb not null default '{}',
    builder_group_id text,
    banned boolean not null default false,
    locked boolean not null default false,
    deprovisioned boolean not null default false,
    is_placeholder boolean not null default false,
    last_sign_in_at timestamptz,
    -- updated_at (ms) of the Clerk object that this row was last written from (R2).
    clerk_version bigint not null default 0,
    -- Set while Clerk has to be asked what is true (R2); when to ask next, and how often it was asked.
    refetch_at timestamptz,
    n_refetches integer not null default 0,
    -- When the row was last known to be what Clerk has.
    confirmed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- The tombstone (R3).
    deleted_at timestamptz,
    -- When the personal data of a deleted user was erased.
    erased_at timestamptz
);

-- Adoption (R5) and the list's order and search.
create index users_email on users (lower(email));
create index users_unlinked_email on users (lower(email))
    where clerk_id is null and deleted_at is null;
create index users_created on users (created_at, id);
-- The count that keeps the last admin (R13), and the statistics.
create index users_live_role on users (role) where deleted_at is null;
-- What `reconcile` has to look at.
create index users_refetch on users (refetch_at) where refetch_at is not null;
create index users_to_erase on users (deleted_at) where deleted_at is not null and erased_at is null;
