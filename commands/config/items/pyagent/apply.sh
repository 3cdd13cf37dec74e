#!/bin/sh
# The agent itself. Where one applies this it is at work already; else it is started, if the corral command is here.
set -eu

if [ -n "${CORRAL_AGENT:-}" ]; then
    exit 0
fi
corral=$(command -v "${CORRAL:-corral}" 2>/dev/null || true)
if [ -z "$corral" ]; then
    echo "there is no corral command here, so no agent can be started: install Corral, or name the command in CORRAL" >&2
    exit 1
fi
home=${CORRAL_HOME:-$HOME/.corral}/agent
if [ -s "$home/pid" ] && kill -0 "$(cat "$home/pid")" 2>/dev/null; then
    [ -d /proc/self ] || exit 0
    # Not another process of its number, nor one that has ended and nobody has noticed.
    tr '\0' ' ' <"/proc/$(cat "$home/pid")/cmdline" | grep -q ' agent ' && exit 0
fi
mkdir -p "$home"
nohup "$corral" agent --url "$CATTLE_CONFIG_URL" --home "$home" >>"$home/agent.log" 2>&1 </dev/null &
echo "$!" >"$home/pid"
