#!/bin/bash
# A process handler: takes the place of what Corral does at instance.start, and leaves hello=world in the instance's data.
#
#     CORRAL_URL=http://localhost:8080/v1 docs/examples/bash/handler.sh
set -uo pipefail
. "$(dirname "$0")/framework.sh"

HANDLER=${HANDLER:-demo}
EVENTS="instance.start;handler=$HANDLER"

# The second time the answer is an error, which says no more than that it is registered.
post externalhandlers -F "uuid=handler-$HANDLER" -F "name=$HANDLER" -F processNames=instance.start | jq -c '{id, state, code}'

on_demo() {
  get "$(of '"\(.resourceType)/\(.resourceId)"')" | jq -c '{id, name, state}' >&2
  echo '{"+data": {"hello": "world"}}'
}
eval "on_instance_start_handler_$(tr '.;=-' '____' <<<"$HANDLER")() { on_demo; }"

listen
