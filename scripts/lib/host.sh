# shellcheck shell=bash
# A host of its own for the daemon: a network namespace that it takes for the machine's, a mount namespace, and a
# folder for all it writes. Several can be on one machine at once. Sourced after common.sh.

# enter_host ARGUMENT…: starts the calling script again, with its arguments, in namespaces of its own. What is mounted
# or plugged in there goes when its last process ends, however it ends.
enter_host() {
    [ -n "${ENID_HOST_ENTERED:-}" ] && return
    ENID_HOST_ENTERED=1 exec unshare --net --mount -- "$0" "$@"
}

# make_host SECONDS: makes the folder HOST, with a configuration whose aggregation interval is that long.
make_host() {
    HOST=$(mktemp -d -t enid-host.XXXXXX)
    HOST_CGROUP=$(cgroup2_root)/$(basename "$HOST")
    # In memory, as /run is on a real host.
    mount -t tmpfs enid-host "$HOST"
    mkdir "$HOST"/{run,state,netns,bpf,log}
    mount -t bpf enid-bpf "$HOST/bpf"
    ip link set lo up
    cat >"$HOST/enid.toml" <<END
[flow_log]
aggregation_interval_seconds = $1

[paths]
netns = "$HOST/netns"
bpf = "$HOST/bpf/enid"
cgroup = "$HOST_CGROUP"
END
    # For enictl.
    export ENID_SOCKET=$HOST/run/enid/enid.sock
}

# start_daemon PROGRAM: starts it, and waits until it answers.
start_daemon() {
    NO_COLOR=1 "$1" serve --config "$HOST/enid.toml" --run-dir "$HOST/run/enid" --state-dir "$HOST/state" 2>"$HOST/log/enid" &
    DAEMON=$!
    local deadline=$((SECONDS + 10))
    until enictl task list >/dev/null 2>&1; do
        kill -0 "$DAEMON" 2>/dev/null || die "enid serve ended: $(tail -n 3 "$HOST/log/enid")"
        [ "$SECONDS" -lt "$deadline" ] || die "enid serve does not answer: $(tail -n 3 "$HOST/log/enid")"
        sleep 0.02
    done
}

# stop PID…: ends processes of ours and waits for them. One that ended already is what is wanted.
stop() {
    local pid
    for pid in "$@"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

# remove_host PROGRAM: the daemon must be stopped. Takes everything away that it made, then what make_host made;
# fails if anything was left over.
remove_host() {
    local left
    NO_COLOR=1 "$1" purge --config "$HOST/enid.toml" --run-dir "$HOST/run/enid" --state-dir "$HOST/state" 2>>"$HOST/log/enid" ||
        echo "enid purge failed: $(tail -n 3 "$HOST/log/enid")" >&2
    left=$(find "$HOST/netns" "$HOST/bpf/enid" "$HOST_CGROUP" -mindepth 1 2>/dev/null || true)
    # The innermost first, none of them with this script in it.
    cd /
    awk -v host="$HOST" '$2 == host || index($2, host "/") == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount
    rm -rf "$HOST"
    if [ -d "$HOST_CGROUP" ]; then
        rmdir "$HOST_CGROUP" || left="$left $HOST_CGROUP"
    fi
    [ -z "$left" ] || die "left behind: $left"
}
