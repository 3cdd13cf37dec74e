# Makes this machine a host of the Corral at $CATTLE_URL. Run again, it finds the agent at work, or starts it again; a newer one takes its place.
#
#     curl -sS <the address of this script> | sh                            this machine's Docker
#     curl -sS <the address of this script> | sh -s -- --sim --name paper   a simulated host; all options of `corral agent` may follow
#
#     --boot          it is started again with the machine, too (by systemd, or by cron's @reboot)
#     --cacert FILE   certificates by which the server is known, beside those of the system (or CORRAL_CA)
#     --container     the agent runs in a container, also where there is a Python for it
#
# PYTHON names the Python (3.11 or later) that runs the agent, where it is not the first that the shell finds.
# What the agent remembers lies in $CORRAL_HOME/agent.

SECONDS_TO_START=60

# quoted WORD...: as a shell reads them back.
quoted() { for word in "$@"; do printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done; }

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif [ -n "$python" ]; then
        "$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
    else
        fail "this machine has no sha256sum: what is fetched can't be checked"
    fi
}

# fetch NAME FILE: from the server's scripts, unless it is there.
fetch() {
    if command -v curl >/dev/null 2>&1; then
        curl -fsS --retry 3 --connect-timeout 10 --max-time 300 ${CORRAL_CA:+--cacert "$CORRAL_CA"} -o "$2.new" "$CATTLE_URL/scripts/$1"
    else
        wget -q -T 60 ${CORRAL_CA:+--ca-certificate="$CORRAL_CA"} -O "$2.new" "$CATTLE_URL/scripts/$1"
    fi || fail "$CATTLE_URL/scripts/$1 can't be fetched; above is why. Does this machine reach the server under that address?
  (The server's setting agent.instance.register.url says another. A certificate of its own: --cacert FILE.)"
}

# fetch_checked NAME FILE SHA256: is that file, or makes it so.
fetch_checked() {
    [ -s "$2" ] && [ "$(sha256 "$2")" = "$3" ] && return 0
    fetch "$1" "$2"
    [ "$(sha256 "$2.new")" = "$3" ] || fail "what $CATTLE_URL/scripts/$1 gave is not what this script was made for: fetch the script again"
    mv "$2.new" "$2"
}

line() { printf '%s\n' "$*"; }

# What starts the agent, now and with the machine. It holds the token: only its owner reads it.
write_run() {
    (
        umask 077
        {
            line "#!/bin/sh"
            line "# Written by the script of a registration token: starts this machine's agent."
            for name in CATTLE_URL CATTLE_REGISTRATION_ACCESS_KEY CATTLE_REGISTRATION_SECRET_KEY CATTLE_AGENT_IP \
                CORRAL_HOME CORRAL_CA CORRAL_DOCKER DOCKER_HOST \
                CORRAL_LIBVIRT CORRAL_LIBVIRT_TYPE CORRAL_LIBVIRT_STORAGE CORRAL_LIBVIRT_MIGRATION CORRAL_CONSOLE_PORT; do
                eval "value=\${$name:-}"
                value=$(quoted "$value")
                [ "$value" = " ''" ] || line "export $name=${value# }"
            done
            line "echo \$\$ >$(quoted "$home/pid")"
            line "echo $CORRAL_AGENT_SHA256 >$(quoted "$home/code")"
            line "exec$(quoted "$python" "$home/agent.pyz" --home "$home" "$@") >>$(quoted "$home/agent.log") 2>&1 </dev/null"
        } >"$home/run.new"
    )
    mv "$home/run.new" "$home/run"
    quoted "$@" >"$home/options"
}

start_with_the_machine() {
    if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; then
        printf '%s\n' '[Unit]' 'Description=Corral agent' 'Wants=network-online.target' 'After=network-online.target docker.service' \
            '[Service]' "ExecStart=/bin/sh$(quoted "$home/run")" 'Restart=always' 'RestartSec=2' 'KillMode=mixed' \
            '[Install]' 'WantedBy=multi-user.target' >/etc/systemd/system/corral-agent.service
        systemctl daemon-reload && systemctl enable corral-agent >&2 || fail "systemd does not take the unit corral-agent; above is why"
        say "systemd starts it with the machine: systemctl status corral-agent"
        start_it="systemctl restart corral-agent"
    elif command -v crontab >/dev/null 2>&1; then
        { crontab -l 2>/dev/null | grep -vF "$home/run" || true; line "@reboot /bin/sh$(quoted "$home/run")"; } | crontab - ||
            fail "cron does not take the agent's line; above is why"
        say "cron starts it with the machine: crontab -l"
    else
        fail "this machine has neither systemd (as root) nor cron: have its own means start /bin/sh $home/run"
    fi
}

# detached COMMAND...: it outlives this shell, and hears nothing of its terminal.
detached() {
    if command -v setsid >/dev/null 2>&1; then
        setsid nohup "$@" >/dev/null 2>&1 </dev/null &
    else
        nohup "$@" >/dev/null 2>&1 </dev/null &
    fi
}

# late: whether the agent, which was started at $began, should be active by now.
late() { [ "$(($(date +%s) - began))" -ge "$SECONDS_TO_START" ]; }

start_python() {
    home=${CORRAL_HOME:-${HOME:-/root}/.corral}/agent
    mkdir -p "$home" && chmod 700 "$home" || fail "can't write to $home: set CORRAL_HOME to a folder that is yours"
    home=$(cd "$home" && pwd)
    # Without options they are those of the last time; other ones take the place of all of those.
    if [ "$#" = 0 ] && [ -s "$home/options" ]; then eval "set --$(cat "$home/options")"; fi
    if at_work; then
        if [ "$(quoted "$@")" != "$(cat "$home/options" 2>/dev/null)" ]; then
            end_older "An agent with other options is at work here"
        elif [ "$(cat "$home/code" 2>/dev/null)" = "$CORRAL_AGENT_SHA256" ]; then
            say "An agent of this machine is at work already: process $pid, which logs to $home/agent.log"
            exit 0
        else
            end_older "An agent of other code is at work here"
        fi
    fi
    fetch_checked agent.pyz "$home/agent.pyz" "$CORRAL_AGENT_SHA256"
    write_run "$@"
    rm -f "$home/pid"
    : >"$home/agent.log"
    start_it=
    [ -z "$boot" ] || start_with_the_machine
    if [ -n "$start_it" ]; then $start_it; else detached /bin/sh "$home/run"; fi
    began=$(date +%s)
    while ! grep -q '^It is active' "$home/agent.log"; do
        if [ -s "$home/pid" ] && ! at_work; then
            cat "$home/agent.log" >&2
            rm -f "$home/pid"
            fail "the agent ended; above is what it said"
        fi
        if late; then
            cat "$home/agent.log" >&2
            fail "the agent is not active yet; it goes on trying, and logs to $home/agent.log"
        fi
        pause
    done
    cat "$home/agent.log" >&2
    say "This machine has joined $CATTLE_URL. Its agent is process $(cat "$home/pid"); it logs to $home/agent.log"
    [ -n "$boot" ] || say "It ends with this machine: with --boot behind 'sh -s --' it comes back with it"
}

# Any image with a Python will do: the agent's code is copied into the container. What it remembers is in the volume corral-agent.
start_container() {
    has=$(docker inspect -f '{{.State.Running}} {{index .Config.Labels "corral.code"}}' corral-agent 2>/dev/null || true)
    if [ "$has" = "true $CORRAL_AGENT_SHA256" ]; then
        say "The agent of this machine is at work already: the container corral-agent (docker logs corral-agent)"
        exit 0
    fi
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    fetch_checked agent.pyz "$folder/agent.pyz" "$CORRAL_AGENT_SHA256"
    docker rm -f corral-agent >/dev/null 2>&1 || true
    docker create --name corral-agent --restart always --cap-add NET_ADMIN --net host --label "corral.code=$CORRAL_AGENT_SHA256" \
        -v /var/run/docker.sock:/var/run/docker.sock -v corral-agent:/var/lib/corral -e CORRAL_HOME=/var/lib/corral \
        -e CATTLE_URL -e CATTLE_REGISTRATION_ACCESS_KEY -e CATTLE_REGISTRATION_SECRET_KEY -e CATTLE_AGENT_IP \
        ${CORRAL_CA:+-e CORRAL_CA=/ca.pem} --entrypoint python3 "$CATTLE_AGENT_IMAGE" /agent.pyz "$@" >/dev/null ||
        fail "Docker has no image $CATTLE_AGENT_IMAGE, and can't fetch it; above is why. Any image with Python 3.11 or later will do: name one in
  the server's setting agent.image; or install python3 here"
    docker cp "$folder/agent.pyz" corral-agent:/agent.pyz >/dev/null || fail "the agent's code can't be copied into its container; above is why"
    [ -z "${CORRAL_CA:-}" ] || docker cp "$CORRAL_CA" corral-agent:/ca.pem >/dev/null || fail "$CORRAL_CA can't be copied into its container"
    docker start corral-agent >/dev/null || fail "the agent's container can't be started; above is why"
    began=$(date +%s)
    while ! docker logs corral-agent 2>&1 | grep -q '^It is active'; do
        if [ "$(docker inspect -f '{{.RestartCount}}' corral-agent)" != 0 ]; then
            docker logs --tail 20 corral-agent >&2
            docker rm -f corral-agent >/dev/null 2>&1
            fail "the agent ended; above is what it said"
        fi
        if late; then
            docker logs --tail 20 corral-agent >&2
            fail "the agent is not active yet; it goes on trying: docker logs corral-agent"
        fi
        pause
    done
    say "This machine has joined $CATTLE_URL. Its agent is the container corral-agent, which comes back with Docker: docker logs corral-agent"
}

boot= container=
left=$#
while [ "$left" -gt 0 ]; do
    case $1 in
    --boot) boot=1 ;;
    --container) container=1 ;;
    --cacert=*) CORRAL_CA=${1#--cacert=} ;;
    --cacert)
        [ "$left" -ge 2 ] || fail "--cacert needs a file"
        CORRAL_CA=$2
        shift
        left=$((left - 1))
        ;;
    *) set -- "$@" "$1" ;;
    esac
    shift
    left=$((left - 1))
done
if [ -n "${CORRAL_CA:-}" ]; then
    [ -r "$CORRAL_CA" ] || fail "the certificates in $CORRAL_CA can't be read"
    case $CORRAL_CA in /*) ;; *) CORRAL_CA=$(pwd)/$CORRAL_CA ;; esac
    export CORRAL_CA
fi

find_python
if [ -n "$python" ] && [ -z "$container" ]; then
    start_python "$@"
elif [ -n "${PYTHON:-}" ] && [ -z "$container" ]; then
    fail "$PYTHON is no Python 3.11 or later with sqlite3, ssl and zlib"
elif command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    start_container "$@"
else
    fail "this machine lacks what its agent needs: neither Python 3.11 or later (with sqlite3, ssl and zlib) is here, nor a Docker engine that answers.
  Install python3, or start Docker; then run this again. With a Python in another place: PYTHON=/path/to/python3"
fi
