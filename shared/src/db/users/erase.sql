-- Erases the personal data of users who were deleted long ago, and of addresses that led to nothing
-- (R3).
with due as (
    select id, clerk_id
    from users
    where deleted_at < now() - make_interval(days => $1)
        and erased_at is null
    order by deleted_at
    limit $2
    for update skip locked
),
payloads as (
    update inbox b
    set payload = null
    from due
    where b.outcome in ('parked', 'dead')
        and b.payload is not null
        and due.clerk_id in (
            b.object_id, b.payload #>> '{data,public_user_data,user_id}'
        )
),
memberships as (
    update memberships m
    set public_metadata = '{}'
    from due
    where m.user_id = due.id
),
addresses as (
    update email_changes c
    set email = null, carry = null
    from due
    where c.user_id = due.id
),
-- An address that led to nothing may be that of a stranger.
strangers as (
    update email_changes c
    set email = null
    where c.state in ('revoked', 'expired', 'failed')
        and c.email is not null
        and c.closed_at < now() - make_interval(days => $1)
        and c.user_id not in (select due.id from due)
),
edits as (
    update profile_edits e
    set payload = null
    from due
    where e.user_id = due.id
)
update users u
set
    email = null, email_verified = false, first_name = null, last_name = null,
    username = null, image_url = null, external_id = null, public_metadata = '{}',
    last_sign_in_at = null, erased_at = now()
from due
where u.id = due.id
