#!/bin/bash
# lab.sh up|down: the lab of real Docker hosts, alpha and beta, that tests use; `make lab` and tests/support/lab.py call it.
# It lives in LAB_DIR (corral-lab in the temporary folder), and stays until `lab.sh down` or a reboot.
set -euo pipefail
export LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/corral-lab}
cd "$(dirname "$0")"

case ${1:-} in
  up)
    ./setup.sh
    exec 8>"$LAB_DIR/up.lock"
    flock -w 300 8
    ./up.sh alpha 1 8>&-
    ./up.sh beta 2 8>&-
    echo "The lab stands: two Docker hosts, each in its own network namespace. To look into one:"
    for name in alpha beta; do echo "  DOCKER_HOST=unix://$LAB_DIR/hosts/$name/docker.sock docker ps"; done
    ;;
  down)
    for host in "$LAB_DIR"/hosts/*/; do
      if [ -d "$host" ]; then ./down.sh "$(basename "$host")"; fi
    done
    echo "The lab is down; its packages stay installed."
    ;;
  *)
    echo "usage: lab.sh up|down" >&2
    exit 2
    ;;
esac
