# shellcheck shell=bash
# Sourced by the scripts: where things are, and how the scripts speak.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Tools and caches that the scripts fetch; safe to delete.
# shellcheck disable=SC2034 # used by the files that source this one
dev_dir="$root/.dev"

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# step NAME COMMAND…: runs the command, with its name before and its time after.
step() {
    local name=$1 started=$SECONDS status=0
    shift
    say "==> $name"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        say "==> $name: FAILED after $((SECONDS - started)) s"
        return "$status"
    fi
    say "==> $name: ok, $((SECONDS - started)) s"
}

# has COMMAND: whether the command can be run.
has() {
    command -v "$1" >/dev/null 2>&1
}

# need COMMAND SENTENCE: fails with the sentence when the command is missing.
need() {
    has "$1" || fail "$1 is missing. $2"
}

# The user that servers run as when the scripts run as root, who they refuse.
server_user() {
    if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# as_server_user COMMAND…: runs the command; as root, runs it without root's rights.
as_server_user() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
        return
    fi
    need setpriv "It is part of util-linux: apt-get install util-linux"
    local user
    user=$(server_user)
    setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
}

# A port of the loopback address that nobody listens on.
free_port() {
    need python3 "Install Python 3, for instance: apt-get install python3 python3-venv"
    python3 -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])'
}
