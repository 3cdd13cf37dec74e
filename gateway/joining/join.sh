# Makes this machine a host of the Corral at $CATTLE_URL. Run again, it finds the agent that it started, or starts it again.
#
#     curl -sS <the address of this script> | sh                  this machine's Docker
#     curl -sS <the address of this script> | sh -s -- --sim      a simulated host; all options of `corral agent` may follow
#
# CORRAL names the corral command, where the shell does not find it. What the agent remembers lies in $CORRAL_HOME/agent.
set -eu

SECONDS_TO_START=60

say() { printf '%s\n' "$*" >&2; }

fail() { say "Corral: $*"; exit 1; }

# alive PID WORD: whether that process runs, and its command line has the word in it. (One that has ended, and nobody has noticed, has none.)
alive() {
    kill -0 "$1" 2>/dev/null && { [ ! -d /proc/self ] || tr '\0' ' ' <"/proc/$1/cmdline" | grep -q "$2"; }
}

start_corral() {
    home=${CORRAL_HOME:-$HOME/.corral}/agent
    mkdir -p "$home" && chmod 700 "$home" || fail "can't write to $home: set CORRAL_HOME to a folder that is yours"
    if [ -s "$home/pid" ] && alive "$(cat "$home/pid")" ' agent '; then
        say "An agent of this machine is at work already: process $(cat "$home/pid"), which logs to $home/agent.log"
        exit 0
    fi
    : >"$home/agent.log"
    nohup "$corral" agent --url "$CATTLE_URL" --home "$home" "$@" >>"$home/agent.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$home/pid"
    waited=0
    while ! grep -q 'hears commands' "$home/agent.log"; do
        if ! alive "$pid" .; then
            rm -f "$home/pid"
            cat "$home/agent.log" >&2
            fail "the agent ended; above is what it said"
        fi
        if [ "$waited" -ge "$SECONDS_TO_START" ]; then
            cat "$home/agent.log" >&2
            fail "the agent (process $pid) does not hear commands yet; it goes on trying, and logs to $home/agent.log"
        fi
        sleep 1
        waited=$((waited + 1))
    done
    cat "$home/agent.log" >&2
    say "This machine has joined $CATTLE_URL. Its agent is process $pid; it logs to $home/agent.log"
}

start_container() {
    docker rm -f corral-agent >/dev/null 2>&1 || true
    docker run -d --name corral-agent --restart always --privileged --net host -v /var/run/docker.sock:/var/run/docker.sock \
        -e CATTLE_URL -e CATTLE_REGISTRATION_ACCESS_KEY -e CATTLE_REGISTRATION_SECRET_KEY -e CATTLE_AGENT_IP \
        "$CATTLE_AGENT_IMAGE" "$@" ||
        fail "Docker can't run the agent's image $CATTLE_AGENT_IMAGE: install the corral command here, or correct the server's setting agent.image"
    say "The agent of this machine is the container corral-agent: docker logs corral-agent"
}

corral=$(command -v "${CORRAL:-corral}" 2>/dev/null || true)
if [ -n "$corral" ]; then
    start_corral "$@"
elif [ -n "${CORRAL:-}" ]; then
    fail "there is no command $CORRAL"
elif command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    start_container "$@"
else
    has=$(command -v python3 2>/dev/null || true)
    fail "this machine lacks what its agent needs: neither the corral command nor a Docker engine that answers is here.
  Install Corral (python3 3.11 or later with venv and pip${has:+; python3 is here: $has}), and run this again with
  CORRAL=<folder of Corral>/.venv/bin/corral, or start a Docker engine"
fi
