#!/bin/bash
# Prints what changes: a line for each resource, a second after its last change at the latest.
#
#     CORRAL_URL=http://localhost:8080/v1 docs/examples/bash/watch.sh
set -uo pipefail

source "$(dirname "$0")/framework.sh"

echo "Watching $CORRAL_URL"
curl -sN "${AUTH[@]}" -F eventNames=resource.change "$CORRAL_URL/subscribe" |
  jq --unbuffered -r 'select(.name == "resource.change") | .data.resource | "\(.type):\(.id) state=\(.state)"'
