-- Memberships that Clerk's list shows, if the run is still ours.
insert into listed_memberships as l (
    run_id, clerk_id, clerk_version, clerk_organization_id, clerk_user_id, role, permissions,
    public_metadata, created_at
)
-- One that two pages show is as the newer one shows it.
select distinct on (clerk_id)
    $1::uuid, clerk_id, clerk_version, clerk_organization_id, clerk_user_id, role,
    string_to_array(permissions, chr(31)), public_metadata::jsonb,
    to_timestamp(created_at / 1000.0)
from unnest(
    $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bigint[]
) as i (
    clerk_id, clerk_version, clerk_organization_id, clerk_user_id, role, permissions,
    public_metadata, created_at
)
where exists (select from reconcile_runs r where r.id = $1 and r.leased_by = $2)
order by clerk_id, clerk_version desc
on conflict (clerk_id) do update
set
    is_absent = false,
    clerk_version = excluded.clerk_version,
    clerk_organization_id = excluded.clerk_organization_id,
    clerk_user_id = excluded.clerk_user_id,
    role = excluded.role,
    permissions = excluded.permissions,
    public_metadata = excluded.public_metadata,
    created_at = excluded.created_at
where l.run_id = excluded.run_id
    and (l.is_absent or l.clerk_version < excluded.clerk_version)
