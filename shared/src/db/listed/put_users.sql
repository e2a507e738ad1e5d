-- Users that Clerk's list shows, if the run is still ours.
insert into listed_users as l (
    run_id, clerk_id, clerk_version, email, email_verified, first_name, last_name, username,
    image_url, external_id, clerk_role, role, public_metadata, banned, locked, deprovisioned,
    last_sign_in_at, created_at
)
-- One that two pages show is as the newer one shows it.
select distinct on (clerk_id)
    $1::uuid, clerk_id, clerk_version, email, email_verified, first_name, last_name, username,
    image_url, external_id, clerk_role, role::user_role, public_metadata::jsonb, banned, locked,
    deprovisioned, to_timestamp(last_sign_in_at / 1000.0), to_timestamp(created_at / 1000.0)
from unnest(
    $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::boolean[],
    $16::boolean[], $17::boolean[], $18::bigint[], $19::bigint[]
) as i (
    clerk_id, clerk_version, email, email_verified, first_name, last_name, username,
    image_url, external_id, clerk_role, role, public_metadata, banned, locked, deprovisioned,
    last_sign_in_at, created_at
)
where exists (select from reconcile_runs r where r.id = $1 and r.leased_by = $2)
order by clerk_id, clerk_version desc
on conflict (clerk_id) do update
set
    is_absent = false,
    clerk_version = excluded.clerk_version,
    email = excluded.email,
    email_verified = excluded.email_verified,
    first_name = excluded.first_name,
    last_name = excluded.last_name,
    username = excluded.username,
    image_url = excluded.image_url,
    external_id = excluded.external_id,
    clerk_role = excluded.clerk_role,
    role = excluded.role,
    public_metadata = excluded.public_metadata,
    banned = excluded.banned,
    locked = excluded.locked,
    deprovisioned = excluded.deprovisioned,
    last_sign_in_at = excluded.last_sign_in_at,
    created_at = excluded.created_at
where l.run_id = excluded.run_id
    and (l.is_absent or l.clerk_version < excluded.clerk_version)
