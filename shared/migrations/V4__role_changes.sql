-- Who changed which role when: append-only, written in the transaction of the change.

create table role_changes (
    id bigint generated always as identity primary key,
    user_id uuid not null references users (id),
    old_role user_role,
    new_role user_role not null,
    -- A Clerk user id, or `clerk` for what came from there.
    actor text not null,
    source text not null check (
        source in ('admin_panel', 'api', 'webhook', 'reconcile', 'migration')
    ),
    svix_id text,
    request_id text,
    at timestamptz not null default now()
);

create index role_changes_user on role_changes (user_id, id desc);
create index role_changes_actor on role_changes (actor, id desc);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;

create trigger role_changes_append_only
    before update or delete or truncate on role_changes
    for each statement execute function refuse_change();
