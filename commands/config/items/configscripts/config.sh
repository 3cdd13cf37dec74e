#!/bin/sh
# Brings config items to this machine: config.sh ITEM...
#
#     downloaded -> checked -> applied (its apply.sh is run, where it has one) -> the server is told which version is in force
#
# CATTLE_CONFIG_URL is the server's API; CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY are the agent's keys. What was applied is kept in
# $CATTLE_HOME/<item>. One item that fails keeps none of the others; the last failure is the exit status.
set -u

: "${CATTLE_CONFIG_URL:?is to be the URL of the API}"
CATTLE_HOME=${CATTLE_HOME:-/var/lib/cattle}

ask() {
    if [ -n "${CATTLE_ACCESS_KEY:-}" ]; then
        curl -sSf -u "$CATTLE_ACCESS_KEY:${CATTLE_SECRET_KEY:-}" "$@"
    else
        curl -sSf "$@"
    fi
}

# The agent is known by its keys; without any it says its id. (A form's value, so that curl encodes it.)
agent=${CATTLE_AGENT_ID:+agentId=$CATTLE_AGENT_ID}

# bring ITEM FOLDER: in a subshell, where any failure ends it
bring() {
    set -e
    item=$1 unpacked=$2 content=$CATTLE_CONFIG_URL/configcontent/$1
    current=$(cat "$CATTLE_HOME/$item/version" 2>/dev/null || true)
    ask -G ${agent:+--data-urlencode "$agent"} --data-urlencode "current=$current" -o "$unpacked/item.tgz" "$content"
    tar -xzf "$unpacked/item.tgz" -C "$unpacked"
    cd "$unpacked/$item"-*
    sha1sum -c SHA1SUMSSUM >/dev/null
    sha1sum -c SHA1SUMS >/dev/null
    version=$(cat version)
    if [ ! -e uptodate ] && [ -f apply.sh ]; then
        sh ./apply.sh
    fi
    mkdir -p "$CATTLE_HOME"
    rm -rf "$CATTLE_HOME/$item.new"
    cp -R . "$CATTLE_HOME/$item.new"
    rm -rf "$CATTLE_HOME/$item"
    mv "$CATTLE_HOME/$item.new" "$CATTLE_HOME/$item"
    ask -X PUT -G ${agent:+--data-urlencode "$agent"} --data-urlencode "version=$version" -o /dev/null "$content"
    echo "$item is in force in version $version"
}

failed=0
for each in "$@"; do
    folder=$(mktemp -d) || exit 1
    (bring "$each" "$folder")
    status=$?
    rm -rf "$folder"
    if [ "$status" -ne 0 ]; then
        echo "$each could not be applied: see above" >&2
        failed=$status
    fi
done
exit "$failed"
