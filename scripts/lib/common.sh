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

# A private certificate authority (an office's proxy, a mirror of one's own) is usually in the
# system's store or named by SSL_CERT_FILE: pip and uv believe what the system believes, in setup as in
# tests and benches that get other people's programs.
trust_the_system() {
    local bundle
    if [[ -n ${SSL_CERT_FILE:-} ]]; then
        export PIP_CERT="${PIP_CERT:-$SSL_CERT_FILE}"
    elif [[ -n ${PIP_CERT:-} ]]; then
        export SSL_CERT_FILE="$PIP_CERT"
    fi
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        if [[ -r $bundle ]]; then
            export UV_SYSTEM_CERTS=1 PIP_CERT="${PIP_CERT:-$bundle}"
        fi
    done
}
trust_the_system
