-- Organizations that Clerk's list shows, if the run is still ours.
insert into listed_organizations as l (
    run_id, clerk_id, clerk_version, name, slug, image_url, created_by, max_allowed_memberships,
    public_metadata, created_at
)
-- One that two pages show is as the newer one shows it.
select distinct on (clerk_id)
    $1::uuid, clerk_id, clerk_version, name, slug, image_url, created_by, max_allowed_memberships,
    public_metadata::jsonb, to_timestamp(created_at / 1000.0)
from unnest(
    $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
    $10::text[], $11::bigint[]
) as i (
    clerk_id, clerk_version, name, slug, image_url, created_by, max_allowed_memberships,
    public_metadata, created_at
)
where exists (select from reconcile_runs r where r.id = $1 and r.leased_by = $2)
order by clerk_id, clerk_version desc
on conflict (clerk_id) do update
set
    is_absent = false,
    clerk_version = excluded.clerk_version,
    name = excluded.name,
    slug = excluded.slug,
    image_url = excluded.image_url,
    created_by = excluded.created_by,
    max_allowed_memberships = excluded.max_allowed_memberships,
    public_metadata = excluded.public_metadata,
    created_at = excluded.created_at
where l.run_id = excluded.run_id
    and (l.is_absent or l.clerk_version < excluded.clerk_version)
