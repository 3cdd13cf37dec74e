#!/bin/bash
# What the scripts beside it share: subscribe, read events, answer them. curl and jq are all that it needs.
#
# A script defines functions that are named for the events they answer, with _ for the dots: on_ping, on_compute_instance_activate.
# Each gets the event in $EVENT, and prints the data of its answer; one that returns other than 0 answers with an error, the last
# line of what it printed.

CORRAL_URL=${CORRAL_URL:-http://localhost:8080}
CORRAL_URL=${CORRAL_URL%/v1}/v1 # as `corral env` exports it, or with the version
AUTH=()
if [ -n "${CORRAL_ACCESS_KEY:-}" ]; then AUTH=(-u "$CORRAL_ACCESS_KEY:$CORRAL_SECRET_KEY"); fi

# get PATH, post PATH ARGS...: an answer of the API
get() { curl -s "${AUTH[@]}" "$CORRAL_URL/$1"; }
post() { local path=$1; shift; curl -s "${AUTH[@]}" "$@" "$CORRAL_URL/$path"; }

# of FILTER: something of the event
of() { jq -r "$1" <<<"$EVENT"; }

# publish DATA [ERROR]: the answer to the event
publish() {
  jq -c --argjson data "$1" --arg error "${2:-}" \
    '{name: .replyTo, previousIds: [.id], previousNames: [.name], resourceType, resourceId, data: $data}
     + if $error == "" then {} else {transitioning: "error", transitioningMessage: $error} end' <<<"$EVENT" |
    post publish -X POST -H 'Content-Type: application/json' -d @- |
    jq -r 'if .type == "error" then "\(.code): \(.message)" else empty end' >&2
}

handle() {
  local name function answer
  name=$(of .name)
  function=on_$(tr '.;=-' '____' <<<"$name")
  if ! declare -F "$function" >/dev/null; then return; fi
  if [ "$(of .replyTo)" = null ]; then return; fi # the connection's own pings want no answer
  if [ "$name" != ping ]; then echo "$name $(of '"\(.resourceType):\(.resourceId)"')"; fi
  if answer=$("$function"); then publish "${answer:-{\}}"; else publish '{}' "$(tail -n 1 <<<"$answer")"; fi
}

# listen ARGS...: subscribes to what the script has functions for (EVENTS says which), for ever. ARGS: as -F agentId=1a7
listen() {
  local names=() name
  # --form-string: a curl of today takes a ; in -F for the beginning of a content type.
  for name in $EVENTS; do names+=(--form-string "eventNames=$name"); done
  while true; do
    while read -r EVENT; do
      if [ -n "$EVENT" ]; then handle </dev/null; fi
    done < <(curl -sN "${AUTH[@]}" "${names[@]}" "$@" "$CORRAL_URL/subscribe")
    echo "The subscription ended; it begins again" >&2
    sleep 1
  done
}
