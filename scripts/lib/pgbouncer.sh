# shellcheck shell=bash
# Sourced after common.sh: a PgBouncer in transaction mode, in front of a Postgres on loopback.
# It is found in PATH, else unpacked from Debian's packages; nothing is installed for good.

: "${dev_dir:?source common.sh first}"

pgbouncer_dir=
pgbouncer_pid=
pgbouncer_bin=
pgbouncer_libraries=
pgbouncer_url=

# pgbouncer_start URL: starts it in front of postgres://USER@HOST:PORT/DATABASE and sets pgbouncer_url.
# Whatever database a client names is the one that it gets.
pgbouncer_start() {
    local user host port database listen_port
    [[ $1 =~ ^postgres://([^@:]+)@([^:/]+):([0-9]+)/(.+)$ ]] || fail "not a plain Postgres URL: $1"
    user=${BASH_REMATCH[1]} host=${BASH_REMATCH[2]} port=${BASH_REMATCH[3]} database=${BASH_REMATCH[4]}
    pgbouncer_find
    pgbouncer_dir=$(mktemp -d "${TMPDIR:-/tmp}/clerk-sync-pgbouncer.XXXXXX")
    listen_port=$(free_port)
    cat >"$pgbouncer_dir/pgbouncer.ini" <<INI
[databases]
* = host=$host port=$port user=$user
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $listen_port
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 300
default_pool_size = 3
server_idle_timeout = 5
ignore_startup_parameters = extra_float_digits
INI
    local run=()
    if [ "$(id -u)" -eq 0 ]; then
        chmod 711 "$pgbouncer_dir"
        run+=(-u "$(server_user)")
    fi
    LD_LIBRARY_PATH=$pgbouncer_libraries "$pgbouncer_bin" "${run[@]}" "$pgbouncer_dir/pgbouncer.ini" \
        >"$pgbouncer_dir/log" 2>&1 &
    pgbouncer_pid=$!
    local i
    for ((i = 0; i < 100; i++)); do
        if (: <"/dev/tcp/127.0.0.1/$listen_port") 2>/dev/null; then
            # shellcheck disable=SC2034 # the result, for who sources this
            pgbouncer_url="postgres://$user@127.0.0.1:$listen_port/$database"
            return
        fi
        kill -0 "$pgbouncer_pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$pgbouncer_dir/log" >&2
    pgbouncer_stop
    fail "PgBouncer did not start; its last lines are above."
}

# pgbouncer_stop: ends what pgbouncer_start started, and nothing else.
pgbouncer_stop() {
    [ -n "$pgbouncer_dir" ] || return 0
    kill "$pgbouncer_pid" 2>/dev/null || true
    wait "$pgbouncer_pid" 2>/dev/null || true
    rm -rf "$pgbouncer_dir"
    pgbouncer_dir=
}

# pgbouncer_find: sets pgbouncer_bin and the folders of its libraries.
pgbouncer_find() {
    local candidate
    for candidate in "$(command -v pgbouncer || true)" /usr/sbin/pgbouncer; do
        if [ -x "$candidate" ]; then
            pgbouncer_bin=$candidate
            return
        fi
    done
    pgbouncer_fetch
}

# pgbouncer_fetch: unpacks Debian's package, and what it depends on and this machine has not.
pgbouncer_fetch() {
    local folder="$dev_dir/pgbouncer"
    if [ ! -e "$folder/.ready" ]; then
        if ! has apt-get || ! has dpkg; then
            fail "PgBouncer is missing, and one test needs it. Install the package pgbouncer."
        fi
        say "fetching PgBouncer from the distribution's packages (1 MB, once)"
        rm -rf "$folder"
        mkdir -p "$folder"
        if ! apt-cache show pgbouncer >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
            apt-get update >&2
        fi
        (
            cd "$folder"
            packages=(pgbouncer)
            for library in $(apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(lib[^<]*\)$/\1/p'); do
                dpkg -s "$library" >/dev/null 2>&1 || packages+=("$library")
            done
            apt-get download "${packages[@]}" >&2
            for package in ./*.deb; do
                dpkg -x "$package" files
            done
        ) || fail "PgBouncer could not be fetched, and one test needs it. Install the package pgbouncer."
        touch "$folder/.ready"
    fi
    pgbouncer_bin="$folder/files/usr/sbin/pgbouncer"
    pgbouncer_libraries=$(printf '%s:' "$folder"/files/usr/lib/*-linux-*)
}
