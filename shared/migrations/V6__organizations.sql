-- Our copy of Clerk's organizations.

create table organizations (
    id uuid primary key default gen_random_uuid(),
    -- Never reused, never cleared (R1).
    clerk_id text not null unique,
    name text,
    -- Null where the instance has slugs switched off.
    slug text,
    image_url text,
    -- The Clerk id of the user who made it.
    created_by text,
    -- 0 is no limit.
    max_allowed_memberships bigint,
    public_metadata jsonb not null default '{}',
    -- Made before the real information came (R4, R17).
    is_placeholder boolean not null default false,
    -- updated_at (ms) of the Clerk object that this row was last written from (R2).
    clerk_version bigint not null default 0,
    -- Set while Clerk has to be asked what is true; when to ask next, and how often it was asked.
    refetch_at timestamptz,
    n_refetches integer not null default 0,
    -- Set while a walk over all members is owed or under way: when to go on, how often Clerk gave
    -- no answer, from which place of Clerk's list, and since when. Who was not seen since then is
    -- asked about alone.
    members_refetch_at timestamptz,
    n_members_refetches integer not null default 0,
    members_offset bigint not null default 0,
    members_walked_since timestamptz,
    -- When the last walk over all members ended.
    members_confirmed_at timestamptz,
    -- When the row was last known to be what Clerk has.
    confirmed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- The tombstone (R3).
    deleted_at timestamptz
);

create index organizations_refetch on organizations (refetch_at) where refetch_at is not null;
create index organizations_members_refetch on organizations (members_refetch_at)
    where members_refetch_at is not null;
