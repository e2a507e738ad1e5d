"""Reads the tables, and says where they differ from what Clerk has."""

import json
import socket
import struct
import urllib.parse

# What the three tables have of whom and what lives.
USERS = """
    select jsonb_build_object(
        'id', clerk_id, 'email', email, 'firstName', first_name, 'lastName', last_name,
        'username', username, 'externalId', external_id, 'role', role,
        'publicMetadata', public_metadata, 'banned', banned, 'locked', locked, 'version', clerk_version
    )
    from users
    where deleted_at is null"""
ORGANIZATIONS = """
    select jsonb_build_object(
        'id', clerk_id, 'name', name, 'slug', slug, 'imageUrl', image_url, 'createdBy', created_by,
        'maxAllowedMemberships', max_allowed_memberships, 'publicMetadata', public_metadata,
        'version', clerk_version
    )
    from organizations
    where deleted_at is null"""
MEMBERSHIPS = """
    select jsonb_build_object(
        'id', m.clerk_id, 'user', u.clerk_id, 'organization', o.clerk_id, 'role', m.role,
        'permissions', m.permissions, 'publicMetadata', m.public_metadata, 'version', m.clerk_version
    )
    from memberships m
    join users u on u.id = m.user_id
    join organizations o on o.id = m.organization_id
    where m.deleted_at is null"""
# Everything that is still to be asked of Clerk or to be told it.
OWED = """
    select to_jsonb(
        (select count(*) from outbox where completed_at is null and dead_at is null)
        + (select count(*) from users where refetch_at is not null or organizations_refetch_at is not null)
        + (select count(*) from organizations where refetch_at is not null or members_refetch_at is not null)
        + (select count(*) from memberships where refetch_at is not null)
        + (select count(*) from profile_edits where closed_at is null)
        + (select count(*) from email_changes where closed_at is null)
    )"""


class Refused(Exception):
    """Postgres did not answer what was asked."""


class Postgres:
    """As much of Postgres's protocol as it takes to ask a server that trusts this machine."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.stream = socket.create_connection((parts.hostname, parts.port or 5432), 15).makefile("rwb")
        startup = f"user\0{parts.username}\0database\0{parts.path.removeprefix('/')}\0\0".encode()
        self.stream.write(struct.pack("!ii", len(startup) + 8, 196608) + startup)
        self.answers()

    def rows(self, statement):
        """The first column of all rows, which is JSON."""
        text = statement.encode() + b"\0"
        self.stream.write(b"Q" + struct.pack("!i", len(text) + 4) + text)
        # A row is the number of its columns, the length of the first, the first.
        return [json.loads(row[6:]) for kind, row in self.answers() if kind == b"D"]

    def answers(self):
        """All messages until the server is ready for the next question."""
        self.stream.flush()
        answers = []
        while not answers or answers[-1][0] != b"Z":
            header = self.stream.read(5)
            if len(header) < 5:
                answers.append((b"E", b"it hung up"))
                break
            kind, length = struct.unpack("!ci", header)
            answers.append((kind, self.stream.read(length - 4)))
        errors = [body.replace(b"\0", b" ").decode() for kind, body in answers if kind == b"E"]
        if errors:
            raise Refused(f"Postgres: {errors[0]}")
        return answers


def user(there):
    """What the row of a user in Clerk has to say; said without the code of the functions."""
    emails = {email["id"]: email["email_address"] for email in there["email_addresses"]}
    role = (there["public_metadata"].get("role") or "STUDENT").upper()
    return {
        "id": there["id"],
        "email": emails.get(there["primary_email_address_id"]),
        "firstName": there["first_name"],
        "lastName": there["last_name"],
        "username": there["username"],
        "externalId": there["external_id"],
        "role": role if role in ("STUDENT", "INSTRUCTOR", "ADMIN") else "STUDENT",
        "publicMetadata": there["public_metadata"],
        "banned": there["banned"],
        "locked": there["locked"],
        "version": there["updated_at"],
    }


def organization(there):
    return {
        "id": there["id"],
        "name": there["name"],
        "slug": there["slug"],
        "imageUrl": there["image_url"],
        "createdBy": there.get("created_by"),
        "maxAllowedMemberships": there["max_allowed_memberships"],
        "publicMetadata": there["public_metadata"],
        "version": there["updated_at"],
    }


def membership(there):
    return {
        "id": there["id"],
        "user": there["public_user_data"]["user_id"],
        "organization": there["organization"]["id"],
        "role": there["role"],
        "permissions": sorted(there["permissions"]),
        "publicMetadata": there["public_metadata"],
        "version": there["updated_at"],
    }


def differences(what, here, there):
    """One sentence for each object that is not the same on both sides."""
    # Nothing else may be in the tables, so a row without an id of Clerk's is a difference, too.
    nameless = [f"{what}: the tables have a row that is not Clerk's: {row}" for row in here if row["id"] is None]
    here = {row["id"]: row for row in here if row["id"] is not None}
    there = {row["id"]: row for row in there}
    missing = [f"{what} {clerk_id}: Clerk has it, the tables do not" for clerk_id in sorted(there.keys() - here.keys())]
    left = [f"{what} {clerk_id}: the tables have it, Clerk does not" for clerk_id in sorted(here.keys() - there.keys())]
    unequal = [
        f"{what} {clerk_id}: {column} is {here[clerk_id][column]!r} here, {there[clerk_id][column]!r} in Clerk"
        for clerk_id in sorted(here.keys() & there.keys())
        for column in there[clerk_id]
        if here[clerk_id][column] != there[clerk_id][column]
    ]
    return nameless + missing + left + unequal


def compare(postgres, state):
    """How many objects Clerk's stand-in has of each kind, and all differences from the tables."""
    n_objects, found = {}, []
    for what, statement, as_row in [
        ("user", USERS, user),
        ("organization", ORGANIZATIONS, organization),
        ("membership", MEMBERSHIPS, membership),
    ]:
        there = [as_row(object) for object in state[f"{what}s"]]
        n_objects[what] = len(there)
        found += differences(what, postgres.rows(statement), there)
    return n_objects, found
