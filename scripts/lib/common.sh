# shellcheck shell=bash disable=SC2034
# What every script here uses. Sourced, after `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What scripts/setup test installs.
CARGO_DENY_VERSION=0.20.2
CARGO_DENY=$ROOT/.cache/cargo-deny-$CARGO_DENY_VERSION/bin/cargo-deny

BOLD='' DIM='' PLAIN=''
if [ -t 1 ]; then
    BOLD=$'\033[1m' DIM=$'\033[2m' PLAIN=$'\033[0m'
fi

# heading TEXT: what happens next, on a line of its own.
heading() {
    printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"
}

# die TEXT: one sentence on why nothing more can be done, and exit code 1.
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# need_root: namespaces, eBPF and cgroups are root's.
need_root() {
    [ "$(id -u)" -eq 0 ] || die "must run as root (namespaces, eBPF and cgroups need it): try sudo $0"
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds; fails, naming WHAT, when the time is over.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || die "waited in vain for $what"
        sleep 0.05
    done
}

# target_directory: where cargo puts what it builds.
target_directory() {
    (cd "$ROOT" && realpath -m "${CARGO_TARGET_DIR:-target}")
}

# cgroup2_root: where the cgroup v2 hierarchy is mounted (on hosts that still have version 1: below it).
cgroup2_root() {
    local mount
    mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$mount" ] || die "no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified"
    printf '%s\n' "$mount"
}
