"""Gives the released binaries to Netlify's packager and proxy, and to cargo lambda invoke.

Started by `check`, which has built everything and exported DATABASE_URL.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import dev  # noqa: E402

FIXTURES = ROOT / "tests" / "fixtures" / "gateway"
PROXY = FOLDER / "node_modules/@netlify/local-functions-proxy-linux-x64/bin/local-functions-proxy"
FUNCTIONS = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "Cargo.toml").exists())
NEWEST_GLIBC = (2, 26)
# With the symbols that Netlify's packager looks for, and what admin-sync knows of migrations.
LARGEST_PROGRAM = 15_000_000


def released(function):
    return dev.target_folder() / "lambda" / function / "bootstrap"


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    if done.returncode != 0:
        raise dev.Failed(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def package(functions, zips):
    zips.mkdir()
    return json.loads(run(["node", FOLDER / "package.mjs", functions, zips], cwd=FOLDER))


def packaged(work):
    """Packages the functions; where the programs are that Netlify would run."""
    flat = work / "functions"
    flat.mkdir()
    for function in FUNCTIONS:
        shutil.copy(released(function), flat / function)
    results = package(flat, work / "zips")
    found = {result["name"]: result["runtime"] for result in results}
    dev.expect("what the packager found", found, {function: "rs" for function in FUNCTIONS})
    programs = {}
    for result in results:
        with zipfile.ZipFile(result["path"]) as archive:
            dev.expect("the zip holds", sorted(archive.namelist()), ["bootstrap", "netlify-toolchain"])
            mode = archive.getinfo("bootstrap").external_attr >> 16 & 0o777
            dev.expect("the mode of bootstrap", oct(mode), oct(0o755))
            dev.expect("netlify-toolchain", json.loads(archive.read("netlify-toolchain")), {"runtime": "rs"})
            program = work / "deployed" / result["name"] / "bootstrap"
            program.parent.mkdir(parents=True)
            program.write_bytes(archive.read("bootstrap"))
            program.chmod(0o755)
        programs[result["name"]] = program
    return programs


def stripped_is_ignored(work):
    """The packager says nothing when it does not see a Rust program, so this is how it looks."""
    flat = work / "stripped"
    flat.mkdir()
    stripped = flat / FUNCTIONS[0]
    shutil.copy(released(FUNCTIONS[0]), stripped)
    run(["strip", "--strip-all", stripped])
    dev.expect("what the packager found", package(flat, work / "stripped-zips"), [])


def glibc(program):
    """The newest version of the C library that the program asks for."""
    versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", program.read_bytes())
    return max((int(major), int(minor)) for major, minor in versions)


def netlify_event(name, method, path, body="", headers=None):
    """An event of Netlify's, like the recorded one but for these."""
    event = json.loads((FIXTURES / f"{name}.json").read_text())
    kept = {name: value for name, value in event["headers"].items() if name.lower() != "cookie"}
    headers = {**kept, "content-type": "application/json", **(headers or {})}
    event.update(
        headers=headers,
        multiValueHeaders={name: [value] for name, value in headers.items()},
        rawUrl=f"https://example.netlify.app{path}",
        rawQuery="",
        path=path,
        httpMethod=method,
        queryStringParameters={},
        multiValueQueryStringParameters={},
        body=body,
        isBase64Encoded=False,
    )
    return event


def aws_event(method, path, body="", headers=None):
    """An event of API Gateway's, like the recorded one but for these."""
    event = json.loads((FIXTURES / "api_gateway_v2.json").read_text())
    event.pop("cookies", None)
    event.pop("queryStringParameters", None)
    event.update(rawPath=path, rawQueryString="", body=body, isBase64Encoded=False)
    event["headers"] = {"content-type": "application/json", **(headers or {})}
    event["requestContext"]["http"].update(method=method, path=path)
    return event


def requests(stack, make, role):
    """One request for each function, as its gateway would send it, and what the answer must hold."""
    bearer = {"authorization": f"Bearer {stack.token()}"}
    message = next(message for message in stack.messages() if dev.BARBARA in message["body"])
    # Another id for each run of it: the second one would be a duplicate.
    svix_id = f"msg_{role}"
    signed = dev.svix_headers(message["body"].encode(), stack.webhook_secret, svix_id)
    first = "applied" if role == "INSTRUCTOR" else "stale"
    # Of him there is no row yet: Clerk's answer makes one.
    alan = {"id": dev.ALAN, "firstName": role.capitalize(), "lastName": "Turing"}
    in_clerk = {"clerkId": dev.ALAN, "updates": {"firstName": role.capitalize()}}
    return {
        "clerk-webhook": (make("POST", "/api/webhooks/clerk", message["body"], signed), {"outcome": first}),
        "admin-users": (make("GET", f"/api/admin/users/{dev.BARBARA}", "", bearer), None),
        "admin-sync": (make("GET", "/api/health"), {"database": "ok", "migrations": "current"}),
        "update-role": (
            make("PATCH", f"/api/admin/users/{dev.BARBARA}", json.dumps({"role": role}), bearer),
            {"success": True, "clerkSync": "synced"},
        ),
        "sync-user": (
            make("POST", "/api/sync/user", "", bearer),
            {"success": True, "source": "clerk", "verified": True, "isComplete": True},
        ),
        # Her row comes with the webhook above.
        "update-user": (
            make("PATCH", f"/api/users/{dev.BARBARA}", json.dumps({"firstName": role.capitalize()}), bearer),
            {"success": True, "databaseSync": "synced"},
        ),
        # At the address that its callers know, without the path of the route.
        "update-clerk-user": (
            make("POST", dev.NATIVE, json.dumps(in_clerk), bearer),
            {"success": True, "user": alan, "databaseSync": "synced"},
        ),
    }


def must_hold(function, answer, wanted):
    dev.expect(f"{function}'s status, with {answer}", answer.get("statusCode"), 200)
    body = answer.get("body") or "{}"
    if answer.get("isBase64Encoded"):
        body = base64.b64decode(body)
    body = json.loads(body)
    for key, value in (wanted or {}).items():
        dev.expect(f"{function}'s {key}", body.get(key), value)


def main():
    signal.signal(signal.SIGINT, dev.on_signal)
    signal.signal(signal.SIGTERM, dev.on_signal)
    stack = dev.Stack(stays_up=False)
    host = None
    with tempfile.TemporaryDirectory(prefix="clerk-sync-netlify.") as work:
        work = pathlib.Path(work)
        try:
            dev.LOGS.mkdir(parents=True, exist_ok=True)
            stack.start_clerk()
            check(stack, work)
            host = start_host(stack)
            check_invoke(stack, host, work)
        except dev.Failed as error:
            dev.say(f"FAIL {error}")
            for process in stack.processes:
                dev.say(f"the last lines of {process.log}:")
                dev.say(process.tail())
            return 1
        except dev.Stopped:
            return 130
        finally:
            stack.stop()
    return 0


def report(started, sentence):
    dev.say(f"ok   {time.monotonic() - started:6.2f} s  {sentence}")


def check(stack, work):
    started = time.monotonic()
    programs = packaged(work)
    report(started, f"Netlify's packager takes {', '.join(programs)} as Rust")

    started = time.monotonic()
    stripped_is_ignored(work)
    report(started, "and ignores a stripped program, as this check expects of it")

    started = time.monotonic()
    for function, program in programs.items():
        if glibc(program) > NEWEST_GLIBC:
            raise dev.Failed(f"{function} needs the C library {glibc(program)}, newer than {NEWEST_GLIBC}")
    report(started, f"they need no newer C library than {'.'.join(map(str, max(map(glibc, programs.values()))))}")

    started = time.monotonic()
    sizes = {function: program.stat().st_size for function, program in programs.items()}
    too_large = {function: size for function, size in sizes.items() if size > LARGEST_PROGRAM}
    dev.expect(f"programs of more than {LARGEST_PROGRAM} bytes", too_large, {})
    report(started, f"the largest has {max(sizes.values()) / 1e6:.1f} MB")

    def make(*arguments):
        return netlify_event("netlify", *arguments)

    cases = requests(stack, make, "INSTRUCTOR")
    schedule = netlify_event(
        "netlify_scheduled", "POST", "/.netlify/functions/reconcile", '{"next_run":"2027-01-01T00:10:00.000Z"}'
    )
    cases["reconcile"] = (schedule, {"nDead": 0})
    untried = set(programs) - set(cases)
    dev.expect("functions that nothing is asked of", untried, set())
    for function, (event, wanted) in cases.items():
        started = time.monotonic()
        must_hold(function, through_proxy(stack, function, programs[function], event), wanted)
        report(started, f"{function} answers 200 through Netlify's proxy")

    started = time.monotonic()
    unsigned = make("POST", "/api/webhooks/clerk", "{}")
    answer = through_proxy(stack, "clerk-webhook", programs["clerk-webhook"], unsigned)
    dev.expect("the status of an unsigned webhook", answer.get("statusCode"), 400)
    report(started, "and an unsigned webhook is answered 400")

    started = time.monotonic()
    unasked = make("POST", "/api/sync/user")
    answer = through_proxy(stack, "sync-user", programs["sync-user"], unasked)
    dev.expect("the status of a sync without a token", answer.get("statusCode"), 401)
    report(started, "and a sync without a token is answered 401")

    started = time.monotonic()
    address = json.dumps({"email": "barbara@mit.example.org"})
    bearer = {"authorization": f"Bearer {stack.token()}"}
    another = make("PATCH", f"/api/users/{dev.BARBARA}", address, bearer)
    answer = through_proxy(stack, "update-user", programs["update-user"], another)
    found = answer.get("statusCode"), json.loads(answer["body"]).get("requiresInvitation")
    dev.expect("the status of another address, and what it requires", found, (409, True))
    report(started, "and another address is answered 409, with requiresInvitation")


def through_proxy(stack, function, program, event):
    command = [PROXY, "--event", json.dumps(event), "--command", program, "--working-dir", program.parent]
    command += ["--name", function, "--timeout", "10s"]
    # The deployed function knows nothing of the environment here but its settings.
    output = run(command, env={**stack.settings, "PATH": os.environ["PATH"]})
    try:
        return json.loads(output)
    except ValueError as error:
        raise dev.Failed(f"{function} answered no JSON through the proxy: {output!r}") from error


def start_host(stack):
    """Our own Lambda on loopback, with the same programs."""
    command = [dev.target_folder() / "debug" / "lambda-host", "--listen", "127.0.0.1:0"]
    for function in FUNCTIONS:
        command += ["--function", f"{function}={released(function)}"]
    for variable, value in stack.settings.items():
        command += ["--env", f"{variable}={value}"]
    host = dev.Process("lambda-host", command, os.environ, has_first_line=True)
    stack.processes.append(host)
    return host.first_line().removeprefix("listening on http://")


def check_invoke(stack, host, work):
    address, port = host.rsplit(":", 1)
    cases = requests(stack, aws_event, "STUDENT")
    cases["reconcile"] = (json.loads((FIXTURES / "event_bridge.json").read_text()), None)
    for function, (event, wanted) in cases.items():
        started = time.monotonic()
        file = work / "event.json"
        file.write_text(json.dumps(event))
        command = ["cargo", "lambda", "invoke", "--invoke-address", address, "--invoke-port", port]
        output = run([*command, "--data-file", file, function], cwd=ROOT)
        answer = json.loads(output)
        if function == "reconcile":
            dev.expect("reconcile's nDead", answer.get("nDead"), 0)
        else:
            must_hold(function, answer, wanted)
        report(started, f"{function} answers cargo lambda invoke")


if __name__ == "__main__":
    sys.exit(main())
