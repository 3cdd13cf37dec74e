#!/bin/bash
# Prints what changes: a line for each resource, a second after its last change at the latest.
#
#     CORRAL_URL=http://localhost:8080/v1 docs/examples/bash/watch.sh
set -uo pipefail

CORRAL_URL=${CORRAL_URL:-http://localhost:8080}
CORRAL_URL=${CORRAL_URL%/v1}/v1
echo "Watching $CORRAL_URL"
curl -sN -F eventNames=resource.change "$CORRAL_URL/subscribe" |
  jq --unbuffered -r 'select(.name == "resource.change") | .data.resource | "\(.type):\(.id) state=\(.state)"'
