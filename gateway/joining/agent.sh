# What the scripts that start the agent's one file share.
set -eu

say() { printf '%s\n' "$*" >&2; }

fail() { say "Corral: $*"; exit 1; }

# new_enough PYTHON: whether the agent's code runs by it.
new_enough() { "$1" -c 'import sys, sqlite3, ssl, zlib; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$python"; then
            python=$(command -v "$python")
            return 0
        fi
    done
    python=
}

# at_work: whether the agent that was started in $home runs, or is about to: `run` becomes it once it has said which process it is.
# (A process that has ended, and nobody has noticed, has no command line; after a restart of the machine its number may be another's.)
at_work() {
    pid=$(cat "$home/pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
        { [ ! -d /proc/self ] || tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -F "$home" | grep -qE 'agent\.pyz|/agent/run'; }
}

pause() { sleep 0.1 2>/dev/null || sleep 1; }

# end_older WHY: the one at work in $home.
end_older() {
    say "$1, process $pid: it is replaced; what runs on this host goes on running"
    kill "$pid"
    waited=0
    while at_work; do
        [ "$waited" -lt 300 ] || fail "process $pid does not end: end it with kill -9 $pid, and run this again"
        pause
        waited=$((waited + 1))
    done
}
