# shellcheck shell=bash
# Packages from Debian without root and without touching the system: apt with lists and a cache of
# its own, packages unpacked into a folder. Sourced by scripts/setup after common.sh.
# No mirror's address is written here: it is the one that this machine's own apt already uses.

# Debian's release that has Python 3.14.
readonly PYTHON_SUITE=forky

# has_apt: is this a machine where the ways below can work at all?
has_apt() { command -v apt-get >/dev/null && command -v dpkg >/dev/null; }

# private_apt NAME ARGUMENT…: apt-get with lists and cache of its own under .tools/apt/NAME.
# A mirror's testing suite may be a snapshot whose validity has run out; its signature still counts.
private_apt() {
    local folder="$TOOLS/apt/$1"
    shift
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o Dir::State::lists="$folder/lists" \
        -o Dir::Cache="$folder/cache" \
        -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Check-Valid-Until=false \
        -o Acquire::Languages=none \
        -o Acquire::Retries=2 \
        -o Acquire::http::Timeout=20 \
        -o Acquire::https::Timeout=20 \
        "$@"
}

# machine_mirrors: the addresses from which this machine takes its release's main packages.
machine_mirrors() {
    local codename
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$codename" '$2 == release && $3 == "main" && !seen[$1]++ { print $1 }'
}

# update_own NAME: private lists of the machine's own release.
update_own() { private_apt "$1" update >&2; }

# testing_apt ARGUMENT…: apt that knows PYTHON_SUITE and nothing else, as if nothing were installed
# (otherwise a newer installed package would count as the one to take, which can't be downloaded).
testing_apt() {
    private_apt "$PYTHON_SUITE" \
        -o Dir::Etc::sourcelist="$TOOLS/apt/$PYTHON_SUITE/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::status="$TOOLS/apt/$PYTHON_SUITE/status" \
        "$@"
}

# update_testing: points testing_apt at the first of the machine's mirrors that has PYTHON_SUITE.
update_testing() {
    local mirror keyring options='' folder="$TOOLS/apt/$PYTHON_SUITE"
    mkdir -p "$folder"
    : >"$folder/status"
    for keyring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [[ -r $keyring ]]; then options="[signed-by=$keyring]"; fi
    done
    for mirror in $(machine_mirrors); do
        printf 'deb %s %s %s main\n' "$options" "$mirror" "$PYTHON_SUITE" >"$folder/sources.list"
        if testing_apt update >&2; then return 0; fi
    done
    return 1
}

# unpack PREFIX APT PACKAGE…: downloads the packages with the given apt function (and its leading
# argument, if any, after a colon) and unpacks them into PREFIX.
unpack() {
    local prefix=$1 apt=$2 downloads package
    shift 2
    downloads=$(mktemp -d "$TOOLS/apt/unpack.XXXXXX")
    if ! (cd "$downloads" && $apt download "$@" >&2); then
        rm -rf "$downloads"
        return 1
    fi
    mkdir -p "$prefix"
    for package in "$downloads"/*.deb; do dpkg -x "$package" "$prefix"; done
    rm -rf "$downloads"
}
