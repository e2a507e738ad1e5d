"""Measures full comparisons with an instance of a given size, and prints what it saw.

Runs in the environment of scripts/lib/with-postgres. The emulator and the command are release builds;
the emulator keeps to the rate limit of a production instance.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PAGE = 500
CALLS_IN_TEN_SECONDS = 1000
FACTOR = 1.5
MAX_MB = 100
# Ten times the users may take so much more memory: a page more in flight, and what the heap keeps.
MEMORY_FACTOR = 1.25
MEMORY_MB = 5
KEY = "sk_live_of_the_benchmark"
ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
TABLES = ("users", "organizations", "memberships", "role_changes", "outbox", "inbox")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--organizations", type=int, default=10_000)
    parser.add_argument("--memberships", type=int, default=300_000)
    parser.add_argument("--check", action="store_true", help="fail where a bound is not kept")
    size = parser.parse_args()
    figures = {"whole": measure(size)}
    small = argparse.Namespace(
        users=size.users // 10,
        organizations=size.organizations // 10,
        memberships=size.memberships // 10,
    )
    figures["a tenth"] = measure(small)
    print(json.dumps(figures, indent=2))
    problems = list(broken_bounds(figures, size))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems and size.check else 0


def measure(size):
    """All runs against one instance: cold, first, again, and again."""
    database = make_database()
    with tempfile.TemporaryDirectory() as folder:
        emulator, url = start_emulator(size, folder)
        try:
            n_pages = sum(-(-n // PAGE) for n in (size.users, size.organizations, size.memberships))
            bound = FACTOR * n_pages / CALLS_IN_TEN_SECONDS * 10
            figures = {"pages": n_pages, "secondsAllowed": round(bound, 2)}
            steps = (
                ("report of an empty database", ["reconcile", "--report"]),
                ("backfill", ["backfill"]),
                ("report of a filled database", ["reconcile", "--report"]),
                ("repair of a filled database", ["reconcile", "--repair"]),
            )
            for name, arguments in steps:
                calm(url)
                before = rows_written(database)
                figures[name] = run(arguments, database, url)
                figures[name]["rowsWritten"] = rows_written(database) - before
                figures[name]["rateLimited"] = calls(url)["n_rate_limited"]
            return figures
        finally:
            emulator.terminate()
            emulator.wait()


def broken_bounds(figures, size):
    whole = figures["whole"]
    for name in ("report of an empty database", "report of a filled database"):
        if whole[name]["seconds"] > whole["secondsAllowed"]:
            yield f"{name}: {whole[name]['seconds']} s, allowed are {whole['secondsAllowed']} s"
    for of, runs in figures.items():
        for name, run_ in runs.items():
            if isinstance(run_, dict) and run_["peakMb"] > MAX_MB:
                yield f"{name} of {of}: {run_['peakMb']} MB, allowed are {MAX_MB} MB"
    for name, run_ in whole.items():
        if not isinstance(run_, dict):
            continue
        small = figures["a tenth"][name]["peakMb"]
        if run_["peakMb"] > small * MEMORY_FACTOR + MEMORY_MB:
            yield f"{name}: {run_['peakMb']} MB, of a tenth {small} MB: memory grows with the size"
    again = whole["repair of a filled database"]
    if again["rowsWritten"]:
        yield f"a second run wrote {again['rowsWritten']} rows"
    if again["differences"]:
        yield f"a second run found {again['differences']} differences"
    if whole["backfill"]["differences"] != size.users + size.organizations + size.memberships:
        yield "the backfill did not make all rows"


def run(arguments, database, url):
    """One process of the command, with its time and the most memory that it had."""
    settings = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database,
        "CLERK_SECRET_KEY": KEY,
        "CLERK_API_URL": url,
        "RUST_LOG": "error",
    }
    begun_at = time.monotonic()
    process = subprocess.Popen(
        [TARGET / "clerk-sync", *arguments, "--json"],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun_at
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1):
        raise SystemExit(f"{arguments} failed with {code}: {process.stderr.read()}")
    found = json.loads(output)["run"]
    return {
        "seconds": round(seconds, 2),
        "peakMb": round(usage.ru_maxrss / 1024, 1),
        "processorSeconds": round(usage.ru_utime + usage.ru_stime, 2),
        "calls": found["progress"]["nCalls"],
        "differences": sum(n for states in found["drift"].values() for n in states.values()),
    }


def make_database():
    """A database of its own with all tables; returns its address."""
    server = os.environ["TEST_DATABASE_URL"]
    name = f"bench_{time.time_ns()}"
    psql(server, f"create database {name}")
    parts = urllib.parse.urlsplit(server)
    url = urllib.parse.urlunsplit(parts._replace(path=f"/{name}"))
    environment = {**os.environ, "DATABASE_URL": url}
    subprocess.run([TARGET / "migrate"], env=environment, check=True, stdout=subprocess.DEVNULL)
    return url


def rows_written(database):
    """How many rows were ever made, changed or deleted in the tables that an application reads."""
    tables = ", ".join(f"'{table}'" for table in TABLES)
    # What the server counted reaches the view when a session has been idle for a moment.
    time.sleep(1.5)
    return int(
        psql(
            database,
            f"""select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)
            from pg_stat_user_tables where relname in ({tables})""",
        )
    )


def psql(database, statement):
    command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", database]
    done = subprocess.run(
        [*command, "--command", statement], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def start_emulator(size, folder):
    address = pathlib.Path(folder) / "address"
    fill = {
        "users": size.users,
        "organizations": size.organizations,
        "memberships": size.memberships,
    }
    process = subprocess.Popen(
        [
            TARGET / "clerk-emulator",
            *("--listen", "127.0.0.1:0"),
            *("--secret-key", KEY),
            *("--instance-limit", "production"),
            *("--fill", json.dumps(fill)),
        ],
        stdout=address.open("w"),
    )
    while "\n" not in (said := address.read_text()):
        if process.poll() is not None:
            raise SystemExit("the emulator did not start")
        time.sleep(0.05)
    return process, json.loads(said.splitlines()[0])["url"]


def calls(url):
    with urllib.request.urlopen(f"{url}/_emulator/calls") as answer:
        return json.load(answer)


def calm(url):
    """The rate limit looks back over ten seconds: no run shall pay for the one before."""
    time.sleep(10)
    request = urllib.request.Request(f"{url}/_emulator/requests", method="DELETE")
    with urllib.request.urlopen(request):
        pass


if __name__ == "__main__":
    sys.exit(main())
