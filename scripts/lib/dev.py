"""Runs the emulator of Clerk, all functions and the panel, drives the main job once in both
directions, and compares the tables with what Clerk has.

Started by scripts/dev, which has built everything and exported DATABASE_URL.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser

import tables

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / ".dev" / "logs"

# Whom the emulator's demo seed holds.
ADMIN = "user_2demoAda0000000000000000001"
GRACE = "user_2demoGrace00000000000000002"
EDSGER = "user_2demoEdsger0000000000000003"
ALAN = "user_2demoAlan000000000000000004"
BARBARA = "user_2demoBarbara000000000000005"
DONALD = "user_2demoDonald0000000000000006"
ACME = "org_2demoAcme000000000000000001"

# update-clerk-user answers at its own address, too, as whoever deploys to Netlify calls it.
NATIVE = "/.netlify/functions/update-clerk-user"

EVENT_TYPES = [
    f"{kind}.{what}"
    for kind in ("user", "organization", "organizationMembership")
    for what in ("created", "updated", "deleted")
]

# Under cargo lambda watch a crashed function never answers, so nobody waits for ever.
TIMEOUT_SECONDS = 15
# Where `npm run dev` serves the panel while somebody works on it.
VITE = "http://localhost:5173"
SECONDS_BETWEEN_TICKS = 5
# Who waits for a command waits for what the schedule does, too.
SECONDS_BETWEEN_TICKS_MEANWHILE = 1


class Failed(Exception):
    """A step did not show what it must."""


class Stopped(BaseException):
    """Somebody asked the script to end."""


def say(line=""):
    print(line, flush=True)


def free_port(wanted=0):
    """The wanted port of the loopback address, or any other when it is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        return listener.getsockname()[1]


def http(method, url, body=None, headers=None, token=None, timeout=TIMEOUT_SECONDS):
    """Status and JSON of the answer."""
    headers = dict(headers or {})
    if token:
        headers["authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    # Loopback only: no proxy of the environment stands between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except (OSError, TimeoutError) as error:
        raise Failed(f"{method} {url}: {error}") from error
    try:
        return status, json.loads(text) if text else None
    except ValueError:
        return status, text.decode(errors="replace")


def must(answer, status=200):
    """The body of an answer that has this status."""
    if answer[0] != status:
        raise Failed(f"expected {status}, got {answer[0]}: {answer[1]}")
    return answer[1]


def expect(what, found, wanted):
    if found != wanted:
        raise Failed(f"{what}: expected {wanted!r}, found {found!r}")


def wait_for(what, look, wanted, seconds=TIMEOUT_SECONDS):
    """Looks until it sees what is wanted."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found == wanted:
            return
        if time.monotonic() > deadline:
            raise Failed(f"{what}: expected {wanted!r}, still {found!r} after {seconds} s")
        time.sleep(0.05)


class Process:
    """A program with its own process group and log file."""

    def __init__(self, name, command, env, has_first_line=False, cwd=ROOT):
        self.name = name
        self.log = LOGS / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if has_first_line else log,
                stderr=log,
                start_new_session=True,
            )

    def first_line(self):
        """What it says on standard output when it is ready."""
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} ended before it was ready")
        return line.decode().strip()

    def require_alive(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}")

    def tail(self, n_lines=30):
        lines = self.log.read_text(errors="replace").splitlines()[-n_lines:]
        return "\n".join(f"    {line}" for line in lines)

    def stop(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        # What the functions were started by may be gone before them.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Stack:
    """Everything that runs, and how to talk to it."""

    def __init__(self, stays_up):
        self.gateway_port = free_port(9000 if stays_up else 0)
        self.clerk_port = free_port(4810 if stays_up else 0)
        self.panel_port = free_port(3000 if stays_up else 0)
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self.panel = f"http://localhost:{self.panel_port}"
        self.postgres = tables.Postgres(os.environ["DATABASE_URL"])
        self.processes = []

    def start(self):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.start_clerk()
        self.start_functions()
        self.start_panel()
        self.warm_up()
        # What happened in Clerk before there was an endpoint is replayed to it.
        self.control("POST", "endpoints", {"url": f"{self.gateway}/api/webhooks/clerk", "secret": self.webhook_secret})
        messages = self.messages()
        for message in messages:
            self.control("POST", f"messages/{message['id']}/replay", {})
        wait_for("the demo users arrive", self.n_pending, 0, seconds=60)
        return len(messages)

    def start_clerk(self):
        emulator = target_folder() / "debug" / "clerk-emulator"
        command = [emulator, "--listen", f"127.0.0.1:{self.clerk_port}", "--seed", "demo"]
        self.emulator = Process("clerk-emulator", command, os.environ, has_first_line=True)
        self.processes.append(self.emulator)
        ready = json.loads(self.emulator.first_line())
        self.clerk = ready["url"]
        self.secret_key = ready["secretKey"]
        self.webhook_secret = ready["webhookSecret"]
        # What the functions are told, and all that they are told.
        self.settings = {
            "APP_ENV": "development",
            "CLERK_API_URL": ready["url"],
            "CLERK_AUTHORIZED_PARTIES": f"{self.panel},http://127.0.0.1:{self.panel_port},{VITE}",
            "CLERK_INSTANCE_ID": ready["instanceId"],
            "CLERK_ISSUER": ready["issuer"],
            "CLERK_JWT_KEY": ready["jwtKey"],
            "CLERK_SECRET_KEY": ready["secretKey"],
            "CLERK_WEBHOOK_SECRET": ready["webhookSecret"],
            "DATABASE_URL": os.environ["DATABASE_URL"],
        }

    def start_functions(self):
        command = ["cargo", "lambda", "watch", "-A", "127.0.0.1", "-P", str(self.gateway_port)]
        command += ["--ignore-changes", "--concurrency", "4", "--locked"]
        self.watch = Process("functions", command, {**os.environ, **self.settings})
        self.processes.append(self.watch)

    def start_panel(self):
        vite = ROOT / "site" / "node_modules" / "vite" / "bin" / "vite.js"
        command = ["node", vite, "preview", "--host", "127.0.0.1", "--port", str(self.panel_port), "--strictPort"]
        env = {**os.environ, "PANEL_API_URL": self.gateway, "PANEL_EMULATOR_URL": self.clerk}
        self.preview = Process("panel", command, env, cwd=ROOT / "site")
        self.processes.append(self.preview)

    def wait_for_port(self, process, port):
        def is_listening():
            process.require_alive()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_for(f"{process.name} listens", is_listening, True, seconds=60)

    def warm_up(self):
        """Each function is started by its first request."""
        self.wait_for_port(self.watch, self.gateway_port)
        patience = 300
        must(http("GET", f"{self.gateway}/api/admin/users", timeout=patience), 401)
        must(http("PATCH", f"{self.gateway}/api/admin/users", {}, timeout=patience), 401)
        must(http("POST", f"{self.gateway}/api/webhooks/clerk", {}, timeout=patience), 400)
        must(http("GET", f"{self.gateway}/api/sync/status", timeout=patience), 401)
        must(http("GET", f"{self.gateway}/api/admin/sync/overview", timeout=patience), 401)
        must(http("PATCH", f"{self.gateway}/api/users/{ADMIN}", {}, timeout=patience), 401)
        must(http("POST", f"{self.gateway}{NATIVE}", {}, timeout=patience), 401)
        self.reconcile(timeout=patience)
        self.wait_for_port(self.preview, self.panel_port)
        must(http("GET", f"{self.panel}/admin/users"))
        must(http("GET", f"{self.panel}/api/admin/users"), 401)

    def addresses(self):
        """What a program has to know to reach all of it."""
        return {
            "PANEL_URL": self.panel,
            "GATEWAY_URL": self.gateway,
            "EMULATOR_URL": self.clerk,
            "CLERK_SECRET_KEY": self.secret_key,
            "CLERK_WEBHOOK_SECRET": self.webhook_secret,
        }

    def stop(self):
        for process in reversed(self.processes):
            process.stop()

    # Clerk's side.

    def control(self, method, path, body=None):
        return must(http(method, f"{self.clerk}/_emulator/{path}", body))

    def messages(self):
        return self.control("GET", "messages")["messages"]

    def n_pending(self):
        return sum(message["status"] == "pending" for message in self.messages())

    def token(self, seconds=60, user=ADMIN):
        body = {"user_id": user, "expires_in_seconds": seconds, "azp": self.panel}
        return self.control("POST", "tokens", body)["jwt"]

    def role_in_clerk(self, user):
        return self.in_clerk("GET", f"users/{user}")["public_metadata"].get("role")

    def user_in_clerk(self, user):
        return self.in_clerk("GET", f"users/{user}")

    def organizations_in_clerk(self, user):
        """The role of the user in each."""
        memberships = self.in_clerk("GET", f"users/{user}/organization_memberships")["data"]
        return {it["organization"]["id"]: it["role"] for it in memberships}

    def set_role_in_clerk(self, user, role):
        """As somebody does in Clerk's dashboard; returns the webhook's message."""
        return self.message_of(lambda: self.control("POST", f"users/{user}/role", {"role": role}))

    def message_of(self, change):
        """The message of the one webhook that a change in Clerk makes."""
        known = {message["id"] for message in self.messages()}
        change()
        return next(message for message in self.messages() if message["id"] not in known)

    @contextlib.contextmanager
    def holding_webhooks(self):
        """Meanwhile nothing is delivered but what is asked for."""
        self.control("POST", "auto", {"on": False})
        try:
            yield
        finally:
            self.control("POST", "auto", {"on": True})

    def in_clerk(self, method, path, body=None):
        """A call of Clerk's Backend API, as an application's own server makes it."""
        return must(http(method, f"{self.clerk}/v1/{path}", body, token=self.secret_key))

    def words_for_password(self, user, password):
        """What Clerk itself says to whoever chooses this password."""
        url = f"{self.clerk}/v1/users/{user}"
        refusal = must(http("PATCH", url, {"password": password}, token=self.secret_key), 422)
        return " ".join(error["long_message"] for error in refusal["errors"])

    def make_organization(self, name, creator, members):
        organization = self.in_clerk("POST", "organizations", {"name": name, "created_by": creator})["id"]
        for member in members:
            self.add_member(organization, member)
        return organization

    def add_member(self, organization, user):
        body = {"user_id": user, "role": "org:member"}
        return self.in_clerk("POST", f"organizations/{organization}/memberships", body)["id"]

    def deliver(self, message):
        """Delivers a message now; returns what we answered."""
        attempts = self.control("POST", f"messages/{message['id']}/deliver", {})["attempts"]
        return attempts[0]["status"], json.loads(attempts[0]["body"])

    # Our side.

    def row(self, user):
        return must(http("GET", f"{self.gateway}/api/admin/users/{user}", token=self.token()))

    def organization_in_database(self, organization):
        """The row, if it lives."""
        rows = self.postgres.rows(tables.ORGANIZATIONS)
        return next((row for row in rows if row["id"] == organization), None)

    def members_in_database(self, organization):
        """The rows of the members, by user."""
        rows = self.postgres.rows(tables.MEMBERSHIPS)
        return {row["user"]: row for row in rows if row["organization"] == organization}

    def organizations_in_database(self, user):
        return set(self.memberships_in_database(user))

    def memberships_in_database(self, user):
        """The role of the user in each organization."""
        rows = self.postgres.rows(tables.MEMBERSHIPS)
        return {row["organization"]: row["role"] for row in rows if row["user"] == user}

    def edit(self, user, body):
        """As an admin edits a profile."""
        return http("PATCH", f"{self.gateway}/api/users/{user}", body, token=self.token())

    def email_change(self, method, user, body=None):
        """As an admin asks for another address, or how far it has come."""
        url = f"{self.gateway}/api/users/{user}/email-change"
        return http(method, url, body, token=self.token())

    def run_curl(self, line, user, wanted_status=200):
        """Runs a command line as it is printed; the body of the answer, which must have this status."""
        shown_status = f" -sS -m {TIMEOUT_SECONDS} -w '\\n%{{http_code}}'"
        environment = {**os.environ, "TOKEN": self.token(user=user), "no_proxy": "localhost"}
        done = subprocess.run(
            ["sh", "-c", line + shown_status], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"{line}: {done.stderr.strip()}")
        body, status = done.stdout.rsplit("\n", 1)
        expect(f"the status of {line}, with {body}", status, str(wanted_status))
        return json.loads(body)

    def role_in_database(self, user):
        return self.row(user)["user"]["role"]

    def set_role(self, user, role):
        """As an admin does; returns whether Clerk has it already."""
        url = f"{self.gateway}/api/admin/users/{user}"
        return must(http("PATCH", url, {"role": role}, token=self.token()))["clerkSync"]

    def reconcile(self, timeout=TIMEOUT_SECONDS):
        event = {
            "version": "0",
            "id": "0f0e0d0c-0b0a-4908-8706-050403020100",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "111122223333",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "region": "eu-central-1",
            "resources": ["arn:aws:events:eu-central-1:111122223333:rule/reconcile"],
            "detail": {},
        }
        url = f"{self.gateway}/2015-03-31/functions/reconcile/invocations"
        return must(http("POST", url, event, timeout=timeout))

    def post_webhook(self, body, secret, svix_id):
        """Posts a delivery signed with this secret."""
        headers = svix_headers(body, secret, svix_id)
        return http("POST", f"{self.gateway}/api/webhooks/clerk", body, headers)


def svix_headers(body, secret, svix_id):
    """The headers of a delivery made now, signed with this secret."""
    timestamp = str(int(time.time()))
    signed = f"{svix_id}.{timestamp}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "svix-id": svix_id,
        "svix-timestamp": timestamp,
        "svix-signature": f"v1,{signature}",
        "content-type": "application/json",
    }


def target_folder():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")


def role_from_clerk(stack):
    stack.set_role_in_clerk(ALAN, "INSTRUCTOR")
    wait_for("Alan's row", lambda: stack.role_in_database(ALAN), "INSTRUCTOR")
    change = stack.row(ALAN)["roleChanges"][0]
    expect("the change came by", change["source"], "webhook")
    return f"Alan: {change['oldRole']} -> {change['newRole']}, by {change['source']} {change['svixId']}"


def role_to_clerk(stack):
    expect("clerkSync", stack.set_role(GRACE, "STUDENT"), "synced")
    expect("Grace in Clerk", stack.role_in_clerk(GRACE), "STUDENT")
    wait_for("the echo of our own change is taken", stack.n_pending, 0)
    expect("Grace in the database", stack.role_in_database(GRACE), "STUDENT")
    change = stack.row(GRACE)["roleChanges"][0]
    return f"Grace: {change['oldRole']} -> {change['newRole']}, by {change['actor']}; Clerk has it"


def role_while_clerk_is_down(stack):
    stack.control("POST", "down", {})
    try:
        expect("clerkSync", stack.set_role(EDSGER, "STUDENT"), "pending")
    finally:
        stack.control("POST", "up", {})
    expect("Edsger in the database", stack.role_in_database(EDSGER), "STUDENT")
    expect("Edsger in Clerk", stack.role_in_clerk(EDSGER), "INSTRUCTOR")
    return "Edsger: STUDENT in the database, clerkSync pending; Clerk still has INSTRUCTOR"


def role_after_clerk_is_back(stack):
    # The entry is due some seconds after the attempt that failed.
    n_ticks = 0
    deadline = time.monotonic() + 40
    while stack.role_in_clerk(EDSGER) != "STUDENT":
        if time.monotonic() > deadline:
            raise Failed(f"{n_ticks} ticks of reconcile did not deliver Edsger's role")
        stack.reconcile()
        n_ticks += 1
        time.sleep(0.5)
    expect("clerkSync", stack.row(EDSGER)["user"]["clerkSync"], "synced")
    return f"Edsger: Clerk has STUDENT after {n_ticks} ticks of reconcile"


def duplicate_webhook(stack):
    message = next(message for message in stack.messages() if message["status"] == "delivered")
    expect("the answer", stack.deliver(message), (200, {"outcome": "duplicate"}))
    return f"{message['id']} delivered again: 200 duplicate"


def late_webhook(stack):
    with stack.holding_webhooks():
        older = stack.set_role_in_clerk(BARBARA, "ADMIN")
        newer = stack.set_role_in_clerk(BARBARA, "INSTRUCTOR")
        expect("the newer one's answer", stack.deliver(newer), (200, {"outcome": "applied"}))
        expect("the older one's answer", stack.deliver(older), (200, {"outcome": "stale"}))
    expect("Barbara in the database", stack.role_in_database(BARBARA), "INSTRUCTOR")
    return "ADMIN, older, arrives after INSTRUCTOR: 200 stale, Barbara stays INSTRUCTOR"


def forged_webhook(stack):
    event = json.loads(stack.messages()[-1]["body"])
    event["data"]["public_metadata"] = {"role": "ADMIN"}
    event["data"]["updated_at"] = int(time.time() * 1000) + 60_000
    forged = json.dumps(event).encode()
    secret = "whsec_" + base64.b64encode(b"somebody else's secret").decode()
    status, body = stack.post_webhook(forged, secret, "msg_forged")
    expect("the answer", (status, body.get("code")), (400, "bad_signature"))
    expect("Barbara in the database", stack.role_in_database(BARBARA), "INSTRUCTOR")
    return "signed with another secret: 400 bad_signature, nothing changed"


def organization_from_clerk(stack):
    stack.globex = stack.make_organization("Globex", GRACE, [ALAN, EDSGER])
    roles = {GRACE: "org:admin", ALAN: "org:member", EDSGER: "org:member"}

    def found():
        return {user: row["role"] for user, row in stack.members_in_database(stack.globex).items()}

    wait_for("the members of Globex", found, roles)
    wait_for("its webhooks are delivered", stack.n_pending, 0)
    n_webhooks = sum(stack.globex in message["body"] for message in stack.messages())
    expect("Globex's name", stack.organization_in_database(stack.globex)["name"], "Globex")
    return f"Globex, its admin Grace and its members Alan and Edsger, by {n_webhooks} webhooks"


def organization_renamed_in_clerk(stack):
    stack.in_clerk("PATCH", f"organizations/{stack.globex}", {"name": "Globex Ltd", "slug": "globex-ltd"})

    def found():
        row = stack.organization_in_database(stack.globex)
        return row["name"], row["slug"]

    wait_for("Globex's row", found, ("Globex Ltd", "globex-ltd"))
    return "Globex is Globex Ltd in organizations, its slug is globex-ltd"


def members_role_from_clerk(stack):
    path = f"organizations/{stack.globex}/memberships/{ALAN}"
    message = stack.message_of(lambda: stack.in_clerk("PATCH", path, {"role": "org:admin"}))

    def found():
        return stack.members_in_database(stack.globex)[ALAN]

    wait_for("Alan's membership", lambda: found()["role"], "org:admin")
    n_permissions = len(found()["permissions"])
    return f"Alan in Globex: org:member -> org:admin with {n_permissions} permissions, by webhook {message['id']}"


def member_joins_again(stack):
    path = f"organizations/{stack.globex}/memberships/{EDSGER}"
    old = stack.members_in_database(stack.globex)[EDSGER]["id"]
    with stack.holding_webhooks():
        left = stack.message_of(lambda: stack.in_clerk("DELETE", path))
        joined = stack.message_of(lambda: stack.add_member(stack.globex, EDSGER))
        new = json.loads(joined["body"])["data"]["id"]
        expect("the answer about the new one", stack.deliver(joined), (200, {"outcome": "applied"}))
        # What was left to do when the new one came is done already.
        expect("the answer about the end of the old one", stack.deliver(left), (200, {"outcome": "applied"}))
    expect("Edsger's membership", stack.members_in_database(stack.globex)[EDSGER]["id"], new)
    if new == old:
        raise Failed(f"the emulator used {old} twice")
    return f"Edsger in Globex: the end of {old} arrives last; {new} lives"


def lost_webhook(stack):
    with stack.holding_webhooks():
        message = stack.message_of(lambda: stack.add_member(stack.globex, BARBARA))
        stack.control("DELETE", f"messages/{message['id']}")
    expect("Barbara's organizations", stack.organizations_in_database(BARBARA), set())
    answer = stack.run_curl(curl_lines(stack)["user"], BARBARA)
    expect("where the answer comes from", (answer["source"], answer["verified"]), ("clerk", True))
    expect("Barbara's organizations", stack.organizations_in_database(BARBARA), {stack.globex})
    return f"{message['id']} never came; POST /api/sync/user: Barbara is in Globex, source clerk, verified"


def sync_status(stack):
    answer = stack.run_curl(curl_lines(stack)["status"], BARBARA)
    expect("Barbara's organizations", [it["clerkId"] for it in answer["organizations"]], [stack.globex])
    must_be_at_rest(answer)
    return f"Barbara: 1 organization, confirmed {answer['organizationsConfirmedAt']}, nothing pending"


def end_in_clerk(stack):
    fleeting = stack.make_organization("Fleeting", GRACE, [DONALD])
    wait_for("the members of Fleeting", lambda: set(stack.members_in_database(fleeting)), {GRACE, DONALD})
    stack.in_clerk("DELETE", f"users/{DONALD}")
    wait_for("the members of Fleeting", lambda: set(stack.members_in_database(fleeting)), {GRACE})
    stack.in_clerk("DELETE", f"organizations/{fleeting}")
    wait_for("the members of Fleeting", lambda: set(stack.members_in_database(fleeting)), set())
    expect("Fleeting", stack.organization_in_database(fleeting), None)
    expect("Donald", stack.row(DONALD)["user"]["state"], "deleted")
    return "Donald leaves Clerk, and Fleeting with him; then Fleeting goes, and Grace's membership in it"


def profile_edit(stack):
    body = {"name": "Grace Brewster Hopper", "builderGroupId": "compilers"}
    answer = must(stack.edit(GRACE, body))
    names = ("Grace", "Brewster Hopper")
    expect("the answer", (answer["success"], answer["databaseSync"]), (True, "synced"))
    expect("Grace in Clerk", names_of(stack.user_in_clerk(GRACE)), names)
    row = stack.row(GRACE)["user"]
    expect("Grace's row", (row["firstName"], row["lastName"], row["builderGroupId"]), (*names, "compilers"))
    expect("the answer's user", answer["user"], row)
    wait_for("the echo of our own edit is taken", stack.n_pending, 0)
    expect("Grace's row", stack.row(GRACE)["user"]["builderGroupId"], "compilers")
    return "Grace is Grace Brewster Hopper in Clerk and here, and in the group compilers, which is ours alone"


def native_edit(stack):
    updates = {"firstName": "Edsger Wybe", "publicMetadata": {"theme": "dark"}}
    body = {"clerkId": EDSGER, "updates": updates}
    answer = must(http("POST", f"{stack.gateway}{NATIVE}", body, token=stack.token()))
    edsger = {"id": EDSGER, "firstName": "Edsger Wybe", "lastName": "Dijkstra"}
    expect("the answer", answer, {"success": True, "user": edsger, "databaseSync": "synced"})
    there = stack.user_in_clerk(EDSGER)
    expect("Edsger in Clerk", names_of(there), ("Edsger Wybe", "Dijkstra"))
    expect("his metadata", there["public_metadata"], {"role": "STUDENT", "theme": "dark"})
    expect("Edsger's row", stack.row(EDSGER)["user"]["firstName"], "Edsger Wybe")
    body["updates"] = {"publicMetadata": {"role": "ADMIN"}}
    refusal = must(http("POST", f"{stack.gateway}{NATIVE}", body, token=stack.token()), 422)
    expect("the code of a role", refusal["code"], "role_not_allowed")
    expect("Edsger in Clerk", stack.role_in_clerk(EDSGER), "STUDENT")
    return f"POST {NATIVE}: Edsger Wybe, with a theme, on both sides; a role: 422 role_not_allowed"


def refused_address(stack):
    before = stack.row(GRACE)["user"], stack.user_in_clerk(GRACE)
    refusal = must(stack.edit(GRACE, {"email": "grace@navy.example.org", "firstName": "Amazing"}), 409)
    found = {key: refusal[key] for key in ("success", "requiresInvitation", "code")}
    expect("the refusal", found, {"success": False, "requiresInvitation": True, "code": "requires_invitation"})
    expect("Grace on both sides", (stack.row(GRACE)["user"], stack.user_in_clerk(GRACE)), before)
    return "409 requires_invitation, requiresInvitation true; nothing changed on either side, her names neither"


def refused_password(stack):
    before = stack.row(GRACE)["user"], stack.user_in_clerk(GRACE)
    said = []
    for password, code in [("short", "password_too_short"), ("password123", "password_pwned")]:
        refusal = must(stack.edit(GRACE, {"password": password, "builderGroupId": "none"}), 422)
        expect("the refusal", (refusal["code"], refusal["fields"]), (code, ["password"]))
        wanted = stack.words_for_password(GRACE, password)
        expect("the words for it, and Clerk's own", refusal["error"], wanted)
        said.append(f"422 {code}: {wanted}")
    expect("Grace on both sides", (stack.row(GRACE)["user"], stack.user_in_clerk(GRACE)), before)
    return "; ".join(said) + " Nothing changed"


def invited_address(stack):
    address = "barbara@mit.example.org"
    id = must(stack.edit(BARBARA, {"builderGroupId": "abstraction"}))["user"]["id"]
    memberships = stack.organizations_in_clerk(BARBARA)
    expect("where Barbara is", memberships, {stack.globex: "org:member"})

    asked = must(stack.email_change("POST", BARBARA, {"email": address}), 202)["emailChange"]
    expect("what was asked for", (asked["userId"], asked["email"]), (id, address))
    expect("its state", state_of_email_change(stack, id), "invited")
    expect("Barbara's row", stack.row(id)["user"]["email"], "barbara@example.com")
    sent = stack.in_clerk("GET", "invitations?status=pending")
    expect("who is invited", [it["email_address"] for it in sent], [address])

    new = stack.control("POST", f"invitations/{sent[0]['id']}/accept")["id"]
    n_ticks_to_move = until_reconciled(stack, "the change", lambda: state_of_email_change(stack, id), "done")
    row = stack.row(id)["user"]
    found = {key: row[key] for key in ("id", "clerkId", "email", "role", "name", "builderGroupId")}
    wanted = {"id": id, "clerkId": new, "email": address, "role": "INSTRUCTOR"}
    wanted |= {"name": "Barbara Liskov", "builderGroupId": "abstraction"}
    expect("Barbara's row", found, wanted)
    expect("the old account", http("GET", f"{stack.clerk}/v1/users/{BARBARA}", token=stack.secret_key)[0], 404)
    expect("the new one's names", names_of(stack.user_in_clerk(new)), ("Barbara", "Liskov"))
    n_ticks_to_push = until_reconciled(stack, "her role in Clerk", lambda: stack.role_in_clerk(new), "INSTRUCTOR")
    expect("where she is in Clerk", stack.organizations_in_clerk(new), memberships)
    expect("where she is here", stack.memberships_in_database(new), memberships)
    moved = f"Barbara is {new}, with row, names, group and membership, after {n_ticks_to_move} ticks of reconcile"
    indent = "\n" + 16 * " "
    return f"{moved}{indent}{BARBARA} is gone; Clerk has her role after {n_ticks_to_push} more"


def state_of_email_change(stack, user):
    return must(stack.email_change("GET", user))["emailChange"]["state"]


def until_reconciled(stack, what, look, wanted):
    """Looks, with a tick of reconcile now and then, until it sees what is wanted; how many it took."""
    n_ticks = 0
    deadline = time.monotonic() + 40
    while True:
        # What the webhooks do by themselves needs no tick.
        wait_for("what Clerk has to say arrives", stack.n_pending, 0)
        found = look()
        if found == wanted:
            return n_ticks
        if time.monotonic() > deadline:
            raise Failed(f"{what}: expected {wanted!r}, still {found!r} after {n_ticks} ticks of reconcile")
        stack.reconcile()
        n_ticks += 1
        time.sleep(0.5)


def edit_without_account(stack):
    address = "margaret@example.com"
    statement = f"insert into users (email, first_name) values ('{address}', 'Margaret') returning to_jsonb(id)"
    [id] = stack.postgres.rows(statement)
    stack.control("DELETE", "requests")
    body = {"name": "Margaret Hamilton", "email": "margaret@nasa.example.org", "builderGroupId": "apollo"}
    answer = must(stack.edit(id, body))
    expect("what the answer says of the database", answer["databaseSync"], "synced")
    row = stack.row(id)["user"]
    found = {key: row[key] for key in ("clerkId", "name", "email", "builderGroupId")}
    expect("Margaret's row", found, {"clerkId": None, **body})
    expect("what Clerk was asked", stack.control("GET", "requests")["requests"], [])
    refusal = must(stack.edit(id, {"password": "correct horse 7"}), 422)
    expect("the code of a password", refusal["code"], "password_requires_clerk")
    # She signs up, so that nothing is left here that Clerk does not have.
    person = {"email_address": [body["email"]], "first_name": "Margaret", "last_name": "Hamilton"}
    account = stack.in_clerk("POST", "users", person)["id"]
    wait_for("the account that Margaret's row gets", lambda: stack.row(id)["user"]["clerkId"], account)
    expect("Margaret's group", stack.row(id)["user"]["builderGroupId"], "apollo")
    return "Margaret's name, address and group change here, and Clerk is not asked; when she signs up, the row is hers"


def names_of(there):
    return there["first_name"], there["last_name"]


def profile_curls(stack):
    """Every command line that is printed for profiles and addresses answers what it should."""
    lines = profile_curl_lines(stack)
    before = stack.user_in_clerk(ALAN)["email_addresses"]
    for name, line in lines.items():
        answer = stack.run_curl(line, ADMIN, 202 if name == "invite" else 200)
        expect(line, answer["success"], True)
        if "databaseSync" in answer:
            expect(line, answer["databaseSync"], "synced")
            expect(line, answer["user"]["firstName"], names_of(stack.user_in_clerk(ALAN))[0])
        if "emailChange" in answer:
            expect(line, answer["emailChange"]["state"], "revoked" if name == "revoke" else "invited")
    expect("Alan's addresses", stack.user_in_clerk(ALAN)["email_addresses"], before)
    expect("who is invited", stack.in_clerk("GET", "invitations?status=pending"), [])
    return f"{len(lines)} command lines answer 200 or 202; the invitation is taken back"


def curls(stack):
    """Every command line that is printed for /api/sync answers 200 with what it should."""
    lines = curl_lines(stack)
    n_members = len(stack.members_in_database(ACME))
    for name, line in lines.items():
        answer = stack.run_curl(line, ADMIN)
        if name == "status":
            must_be_at_rest(answer)
        else:
            found = {key: answer[key] for key in ("success", "source", "verified", "isComplete")}
            wanted = {"success": True, "source": "clerk", "verified": True, "isComplete": True}
            expect(line, found, wanted)
        if "user" in answer:
            expect(line, answer["user"]["clerkId"], ALAN if name == "another" else ADMIN)
            ids = {it["clerkId"] for it in answer["organizations"]}
            expect(line, ids, stack.organizations_in_database(answer["user"]["clerkId"]))
            expect(line, {it["clerkOrgId"] for it in answer["memberships"]}, ids)
        if "organization" in answer:
            expect(line, answer["organization"]["name"], "Acme")
        if name == "members":
            expect(line, answer["members"], {"total": n_members, "synced": n_members, "ended": 0})
        if "membership" in answer:
            expect(line, answer["membership"]["role"], "org:member")
    return f"{len(lines)} command lines answer 200, verified with Clerk"


def must_be_at_rest(status):
    """The answer about the status says that nothing is left to do."""
    nothing = {"user": False, "role": False, "organizations": False, "memberships": 0, "events": 0}
    expect("what is pending", status["pending"], nothing)


def all_event_types(stack):
    statement = "select to_jsonb(event_type) from inbox where outcome = 'applied'"
    applied = stack.postgres.rows(statement)
    expect("the types of events that were applied", sorted(set(applied)), sorted(EVENT_TYPES))
    counts = [f"{event_type} {applied.count(event_type)}" for event_type in EVENT_TYPES]
    indent = "\n" + 16 * " "
    return indent.join(", ".join(counts[at : at + 3]) for at in (0, 3, 6))


def both_sides_are_equal(stack):
    wait_for("what Clerk has to say arrives", stack.n_pending, 0)
    n_ticks = 0
    deadline = time.monotonic() + 40
    while stack.postgres.rows(tables.OWED) != [0]:
        if time.monotonic() > deadline:
            raise Failed(f"{n_ticks} ticks of reconcile left something to do")
        stack.reconcile()
        n_ticks += 1
        time.sleep(0.5)
    n_objects, found = tables.compare(stack.postgres, stack.control("GET", "state"))
    if found:
        raise Failed("the tables are not what Clerk has:\n" + "\n".join(f"                  {it}" for it in found))
    return "equal: " + ", ".join(f"{n} {what}s" for what, n in n_objects.items())


# Deliveries about the crowd, most of them at noon, as though all of this had run for a month. They are
# made up; what they say agrees with the rows.
EARLIER_DELIVERIES = """
    insert into inbox (
        svix_id, event_type, object_id, instance_id, event_at, received_at, outcome, rule, detail, applied_at
    )
    select
        'msg_2demo' || substr(d.hash, 1, 23), 'user.updated', d.clerk_id, '{instance}', d.at, d.at + d.lag,
        d.outcome, 'R2',
        jsonb_build_object(
            'drift', null, 'readFromClerk', false,
            'changed', case d.outcome when 'applied' then '["image_url"]' else '[]' end::jsonb,
            'ourVersion', d.version + case d.outcome when 'applied' then -60000 else 700 end,
            'clerkVersion', d.version
        ),
        case d.outcome when 'applied' then d.at + d.lag end
    from (
        select
            h.*, (extract(epoch from h.at) * 1000)::bigint as version,
            make_interval(secs => 0.2 + 2 * h.r[4] ^ 3) as lag,
            case when h.r[5] < 0.06 then 'stale' else 'applied' end as outcome
        from (
            select
                u.clerk_id, u.created_at, m.hash, r.r,
                date_trunc('day', now()) - floor(r.r[1] * 30) * interval '1 day'
                    + (r.r[2] + r.r[3]) * interval '12 hours' as at
            from users u
            cross join generate_series(1, 8) n
            cross join lateral (select md5(u.email || n) as hash) m
            cross join lateral (
                select array_agg(('x' || substr(m.hash, 6 * i - 5, 6))::bit(24)::int / 16777216.0 order by i) as r
                from generate_series(1, 5) i
            ) r
            -- Those whom the steps are about came before the crowd, or only now.
            where u.created_at > now() - interval '93 days' and u.deleted_at is null and not u.banned
        ) h
    ) d
    where d.at > d.created_at and d.at + d.lag < now() - interval '5 minutes'
    returning to_jsonb(outcome)"""


def earlier_deliveries(stack):
    instance = stack.settings["CLERK_INSTANCE_ID"]
    outcomes = stack.postgres.rows(EARLIER_DELIVERIES.format(instance=instance))
    return f"made up for the charts: {outcomes.count('applied')} applied, {outcomes.count('stale')} stale"


def one_of_the_crowd(stack, email):
    """The id of a user whom only the panel's data has."""
    return stack.in_clerk("GET", f"users?email_address={email}")[0]["id"]


def dead_letters(stack):
    """Signed with our secret, and not what Clerk's documents promise."""
    for svix_id, event_type, data in [
        ("msg_2demoDead1", "user.updated", {"id": ALAN, "object": "user", "updated_at": "yesterday"}),
        ("msg_2demoDead2", "organization.updated", {"id": ACME, "object": "organization", "name": 7}),
    ]:
        event = {"type": event_type, "object": "event", "timestamp": int(time.time() * 1000), "data": data}
        event["instance_id"] = stack.settings["CLERK_INSTANCE_ID"]
        answer = stack.post_webhook(json.dumps(event).encode(), stack.webhook_secret, svix_id)
        expect(f"the answer to {svix_id}", answer, (200, {"outcome": "dead"}))
    return "a user.updated and an organization.updated, signed, without what they must have: 200 dead"


def parked_event(stack):
    """Two changes of one millisecond, and nobody there to be asked which one came last."""
    user = one_of_the_crowd(stack, "bruno.bergman@example.com")
    with stack.holding_webhooks():
        now = stack.control("POST", "clock", {})["now"]
        stack.control("POST", "clock", {"set_ms": now})
        try:
            first = stack.message_of(lambda: stack.control("PATCH", f"users/{user}", {"first_name": "Bruna"}))
            second = stack.message_of(lambda: stack.control("PATCH", f"users/{user}", {"first_name": "Brunhilde"}))
        finally:
            stack.control("POST", "clock", {"resume": True})
        gone = stack.message_of(lambda: stack.in_clerk("DELETE", f"users/{user}"))
        stack.control("DELETE", f"messages/{gone['id']}")
        expect("the first one's answer", stack.deliver(first), (200, {"outcome": "applied"}))
        expect("the second one's answer", stack.deliver(second), (200, {"outcome": "parked"}))
    return "Bruno Bergman changes twice in one millisecond, and is deleted; the webhook of that is lost: 200 parked"


def lost_webhooks(stack):
    renamed = one_of_the_crowd(stack, "chiara.castillo@example.com")
    deleted = one_of_the_crowd(stack, "daniel.demir@example.com")
    person = {"email_address": ["ruth.abara@example.com"], "first_name": "Ruth", "last_name": "Abara"}
    with stack.holding_webhooks():
        known = {message["id"] for message in stack.messages()}
        stack.in_clerk("PATCH", f"users/{renamed}", {"last_name": "Castillo Reyes"})
        stack.in_clerk("DELETE", f"users/{deleted}")
        stack.in_clerk("POST", "users", {**person, "public_metadata": {"role": "STUDENT"}})
        lost = [message["id"] for message in stack.messages() if message["id"] not in known]
        for message in lost:
            stack.control("DELETE", f"messages/{message}")
    expect("Chiara's row", stack.row(renamed)["user"]["lastName"], "Castillo")
    expect("Daniel's row", stack.row(deleted)["user"]["state"], "active")
    return f"Chiara is renamed, Daniel is deleted, Ruth signs up: {len(lost)} webhooks never come"


def edited_rows(stack):
    too_high = one_of_the_crowd(stack, "elif.eriksen@example.com")
    renamed = one_of_the_crowd(stack, "farid.fontaine@example.com")
    stack.postgres.rows(f"update users set role = 'ADMIN' where clerk_id = '{too_high}'")
    stack.postgres.rows(f"update users set first_name = 'Fred' where clerk_id = '{renamed}'")
    expect("Elif's row", stack.row(too_high)["user"]["role"], "ADMIN")
    expect("Elif in Clerk", stack.role_in_clerk(too_high), "STUDENT")
    return "Elif Eriksen is an admin here, and a student in Clerk; Farid Fontaine is called Fred"


STEPS = [
    ("a role set in Clerk reaches the database", role_from_clerk),
    ("a role set here reaches Clerk", role_to_clerk),
    ("Clerk is down: the role is kept for it", role_while_clerk_is_down),
    ("Clerk is back: reconcile delivers it", role_after_clerk_is_back),
    ("a webhook twice", duplicate_webhook),
    ("a webhook too late", late_webhook),
    ("a webhook forged", forged_webhook),
    ("an organization made in Clerk arrives with its members", organization_from_clerk),
    ("an organization renamed in Clerk is renamed here", organization_renamed_in_clerk),
    ("a member's role changed in Clerk changes here", members_role_from_clerk),
    ("a member leaves and joins again, the end arrives last", member_joins_again),
    ("a membership whose webhook was lost is made good", lost_webhook),
    ("what is pending for a user", sync_status),
    ("a user and an organization end in Clerk", end_in_clerk),
    ("a profile edited here is edited in Clerk first", profile_edit),
    ("names and metadata by the function's own address", native_edit),
    ("another address for who has an account is refused", refused_address),
    ("a password that Clerk refuses, in Clerk's words", refused_password),
    ("another address by invitation: the row moves to it", invited_address),
    ("who has no account is edited here only", edit_without_account),
    ("each curl line for /api/sync", curls),
    ("each curl line for profiles and addresses", profile_curls),
    ("webhooks of each type were applied", all_event_types),
    ("row by row, the tables have what Clerk has", both_sides_are_equal),
]


# What the panel has to show of a bad day; afterwards the two sides are not equal.
STEPS_FOR_THE_PANEL = [
    ("there were deliveries in the days before", earlier_deliveries),
    ("deliveries that nobody can read are kept", dead_letters),
    ("an event about somebody who left Clerk meanwhile waits", parked_event),
    ("webhooks are lost", lost_webhooks),
    ("rows are edited by hand", edited_rows),
]


def drive(stack, steps):
    """Runs the steps; whether all of them showed what they must."""
    n_failed = 0
    for title, step in steps:
        started = time.monotonic()
        try:
            result, mark = step(stack), "ok  "
        except (
            Failed,
            tables.Refused,
            AttributeError,
            KeyError,
            StopIteration,
            IndexError,
            TypeError,
            ValueError,
        ) as error:
            result, mark = f"{type(error).__name__}: {error}", "FAIL"
            n_failed += 1
        say(f"{mark} {time.monotonic() - started:6.2f} s  {title}")
        say(f"                {result}")
    return n_failed == 0


def curl_lines(stack):
    """A command line for each thing that /api/sync does, with $TOKEN for the token."""
    base = f"http://localhost:{stack.gateway_port}/api/sync"
    token = '\\\n    -H "Authorization: Bearer $TOKEN"'
    body = json.dumps({"clerkOrgId": ACME, "clerkUserId": ALAN, "role": "member"})
    content = f"\\\n    -H \"Content-Type: application/json\" \\\n    -d '{body}'"
    return {
        "user": f"curl -X POST {base}/user {token}",
        "full": f"curl -X POST {base}/user/full {token}",
        "status": f"curl -X GET {base}/status {token}",
        "organizations": f"curl -X POST {base}/user/organizations {token}",
        "organization": f"curl -X POST {base}/organization/{ACME} {token}",
        "members": f"curl -X POST {base}/organization/{ACME}/members {token}",
        "membership": f"curl -X POST {base}/membership {token} {content}",
        "another": f"curl -X POST {base}/user/{ALAN} {token}",
    }


def profile_curl_lines(stack):
    """A command line for each thing that can be done to profiles and addresses."""
    base = f"http://localhost:{stack.gateway_port}"
    user = f"{base}/api/users/{ALAN}"
    token = '\\\n    -H "Authorization: Bearer $TOKEN"'

    def content(body):
        return f"\\\n    -H \"Content-Type: application/json\" \\\n    -d '{json.dumps(body)}'"

    edit = content({"firstName": "Alan Mathison", "builderGroupId": "bletchley"})
    in_clerk = content({"clerkId": ALAN, "updates": {"firstName": "Alan", "publicMetadata": {"theme": "dark"}}})
    address = content({"email": "alan@bletchley.example.org"})
    return {
        "edit": f"curl -X PATCH {user} {token} {edit}",
        "in_clerk": f"curl -X POST {base}{NATIVE} {token} {in_clerk}",
        "invite": f"curl -X POST {user}/email-change {token} {address}",
        "invited": f"curl -X GET {user}/email-change {token}",
        "revoke": f"curl -X DELETE {user}/email-change {token}",
    }


TITLES = {
    "user": "Test user sync",
    "full": "Test full sync",
    "status": "Check sync status",
    "organizations": "Sync user organizations",
    "organization": "Sync an organization",
    "members": "Sync specific organization members",
    "membership": "Sync an organization membership",
    "another": "Sync another user, as an admin",
    "edit": "Edit a profile, in Clerk first",
    "in_clerk": "Edit names and public metadata in Clerk; /api/update-clerk-user is the same",
    "invite": "Invite another address",
    "invited": "See how far it has come",
    "revoke": "Take the invitation back",
}


def show_addresses(stack):
    seconds = 12 * 60 * 60
    token = stack.token(seconds)
    say()
    say(f"The panel: {stack.panel}, sign in as Ada Lovelace, who is an admin. Ctrl-C ends everything.")
    say()
    say("Try it (the token is Ada's, an admin's, and good for 12 hours):")
    say()
    say(f"  TOKEN={token}")
    say()
    for title, arguments in [
        ("all users", f"-H \"Authorization: Bearer $TOKEN\" {stack.gateway}/api/admin/users"),
        (
            "the members of Acme",
            f"-H \"Authorization: Bearer $TOKEN\" '{stack.gateway}/api/admin/users?organization={ACME}'",
        ),
        ("one user", f"-H \"Authorization: Bearer $TOKEN\" {stack.gateway}/api/admin/users/{ALAN}"),
        ("counts", f"-H \"Authorization: Bearer $TOKEN\" {stack.gateway}/api/admin/statistics"),
        ("who changed which role", f"-H \"Authorization: Bearer $TOKEN\" {stack.gateway}/api/admin/role-changes"),
        (
            "set a role here; it reaches Clerk",
            f"-X PATCH -H \"Authorization: Bearer $TOKEN\" -H 'content-type: application/json'"
            f" -d '{{\"role\":\"INSTRUCTOR\"}}' {stack.gateway}/api/admin/users/{ALAN}",
        ),
        (
            "accept an invitation of Alan's, as he does by its link (see below, and Clerk's side for the id)",
            f"-X POST {stack.clerk}/_emulator/invitations/$INVITATION/accept",
        ),
        (
            "set a role in Clerk; it reaches the database",
            f"-H 'content-type: application/json' -d '{{\"role\":\"STUDENT\"}}'"
            f" {stack.clerk}/_emulator/users/{ALAN}/role",
        ),
        ("Clerk's side", f"{stack.clerk}/_emulator/state"),
        ("take Clerk down", f"-X POST {stack.clerk}/_emulator/down"),
        ("bring it up again", f"-X POST {stack.clerk}/_emulator/up"),
        (
            "one tick of reconcile, which also runs every few seconds",
            f"-d '{{}}' {stack.gateway}/2015-03-31/functions/reconcile/invocations",
        ),
    ]:
        say(f"  # {title}")
        say(f"  curl -sS -m {TIMEOUT_SECONDS} {arguments}")
    say()
    for what, lines in [
        ("Pull from Clerk now", curl_lines(stack)),
        ("Edit profiles and addresses", profile_curl_lines(stack)),
    ]:
        say(f"{what}, with the same token:")
        say()
        for name, line in lines.items():
            say(f"  # {TITLES[name]}")
            say(f"  {line}")
        say()
    say(f"Logs: {LOGS}. The panel: {stack.panel}. Ctrl-C ends everything.")


def on_signal(*_):
    # Once is enough; a second one must not cut the cleaning up short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def main(arguments):
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    if not shutil.which("cargo-lambda"):
        say("error: cargo-lambda is not in PATH; start scripts/dev instead")
        return 2
    is_once, command = arguments == ["--once"], arguments[1:]
    stack = Stack(stays_up=not arguments)
    try:
        started = time.monotonic()
        n_messages = stack.start()
        say(f"up   {time.monotonic() - started:6.2f} s  Clerk's stand-in {stack.clerk}, functions {stack.gateway}")
        say(f"                the panel {stack.panel}")
        say(f"                {n_messages} webhooks of the demo users are applied")
        is_good = drive(stack, STEPS if is_once else STEPS + STEPS_FOR_THE_PANEL)
        if not is_good:
            say_logs(stack)
        if is_once:
            say("every step showed what it must" if is_good else "NOT every step showed what it must")
        if command and is_good:
            return run_beside_schedule(stack, command)
        if arguments:
            return 0 if is_good else 1
        show_addresses(stack)
        open_panel(stack)
        while True:
            tick_after(stack, SECONDS_BETWEEN_TICKS)
    except Failed as error:
        say(f"FAIL {error}")
        say_logs(stack)
        return 1
    except Stopped:
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stack.stop()


def tick_after(stack, seconds):
    """What a schedule does once deployed; a tick that fails is in the log."""
    time.sleep(seconds)
    for process in stack.processes:
        process.require_alive()
    with contextlib.suppress(Failed):
        stack.reconcile()


def run_beside_schedule(stack, command):
    """Runs the command while everything is up; its status, as a shell says it."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **stack.addresses()}, start_new_session=True)
    try:
        while process.poll() is None:
            tick_after(stack, SECONDS_BETWEEN_TICKS_MEANWHILE)
    finally:
        end_with_its_children(process)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def end_with_its_children(process):
    """First it may tidy up; what it leaves behind is killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def open_panel(stack):
    """Where somebody is there to see it."""
    has_display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_display and sys.stdout.isatty() and not os.environ.get("CI"):
        webbrowser.open(stack.panel)


def say_logs(stack):
    for process in stack.processes:
        say(f"the last lines of {process.log}:")
        say(process.tail())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
