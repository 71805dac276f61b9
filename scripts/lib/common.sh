# shellcheck shell=bash
# What every script needs to know: where the checkout is and where its tools are.
# Sourced, never run. It must not install or download anything: that is scripts/setup.

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
TOOLS="$ROOT/.tools"
VENV="$ROOT/.venv"

# The checkout's own tools come first. Debian keeps the broker in /usr/sbin, which is not on an
# ordinary user's path.
PATH="$VENV/bin:$TOOLS/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

# say WORD…: one line about what is going on; on stderr, so that stdout stays the command's own.
say() { printf '[%s] %s\n' "${0##*/}" "$*" >&2; }

# fail LINE…: says what is wrong, one argument a line, and ends the script.
fail() {
    printf '[%s] %s\n' "${0##*/}" "$1" >&2
    shift
    local line
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    exit 1
}

# show_help: prints the comment at the head of the script that calls it.
show_help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }
