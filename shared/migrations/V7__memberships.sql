-- Who is in which organization, as what.

create table memberships (
    id uuid primary key default gen_random_uuid(),
    -- `orgmem_…`: who leaves and joins again has another one (R6). Null while it is provisional.
    clerk_id text unique,
    organization_id uuid not null references organizations (id),
    user_id uuid not null references users (id),
    -- As Clerk's API spells it, such as `org:admin`.
    role text not null,
    permissions text[] not null default '{}',
    public_metadata jsonb not null default '{}',
    -- Made while Clerk could not be asked (R17): the first real information replaces it.
    is_placeholder boolean not null default false,
    -- updated_at (ms) of the Clerk object that this row was last written from (R2).
    clerk_version bigint not null default 0,
    -- Set while Clerk has to be asked what is true; when to ask next, and how often it was asked.
    refetch_at timestamptz,
    n_refetches integer not null default 0,
    -- When the row was last known to be what Clerk has.
    confirmed_at timestamptz,
    -- When it came to be in Clerk: of the memberships of a pair, the one made last lives (R6).
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Its end: by its own deletion (R3), or by that of its user or organization (R6).
    deleted_at timestamptz,
    -- Nobody told of the end: Clerk did not show it when it was asked. If it shows it again, it lives.
    is_end_inferred boolean not null default false,
    check (clerk_id is not null or is_placeholder)
);

-- At most one live membership of a pair.
create unique index memberships_live on memberships (organization_id, user_id)
    where deleted_at is null;
-- All generations of a pair; the members of an organization.
create index memberships_organization on memberships (organization_id, user_id);
create index memberships_user on memberships (user_id);
create index memberships_refetch on memberships (refetch_at) where refetch_at is not null;

-- The walk over a user's organizations: set while it is owed, and when to try; how often Clerk gave
-- no answer; since when it lasts (what was not seen since then is asked about alone); and when the
-- last one ended.
alter table users
    add column organizations_refetch_at timestamptz,
    add column n_organizations_refetches integer not null default 0,
    add column organizations_walked_since timestamptz,
    add column organizations_confirmed_at timestamptz;

create index users_organizations_refetch on users (organizations_refetch_at)
    where organizations_refetch_at is not null;
