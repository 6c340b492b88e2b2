# shellcheck shell=bash
# What the other scripts share: where things are, how to say things, ports, conditions. Sourced, never run.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for those who source this
target=${CARGO_TARGET_DIR:-$root/target}

say() { printf '%s\n' "$*" >&2; }
heading() { printf '\n==== %s ====\n' "$*"; }
die() {
    say "$(basename "$0"): $*"
    exit 1
}

# Prints as many free TCP ports of 127.0.0.1 as asked for, all different: they are held together and let go at the end.
free_ports() {
    perl -MIO::Socket::INET -e '
        my @held = map { IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 1) or die "no free port: $@\n" } 1 .. shift;
        print join(" ", map { $_->sockport } @held), "\n";' "$1"
}

# True if something accepts TCP on this port of 127.0.0.1.
port_answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# True while the process runs; one that has ended and was not collected yet does not.
alive() {
    local stat
    [ -n "${1:-}" ] && { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != Z* ]]
}

# wait_until SECONDS COMMAND...: polls until the command succeeds; false when the deadline passed.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# Ends one process by its id: SIGTERM, then SIGKILL when the deadline passed.
end_process() {
    local pid=$1 seconds=${2:-15}
    alive "$pid" || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    wait_until "$seconds" gone "$pid" && return 0
    kill -KILL "$pid" 2>/dev/null || true
    wait_until 5 gone "$pid" || say "process $pid does not end"
}
gone() { ! alive "$1"; }
