#!/bin/bash
# lab.sh up|down: the lab of real Docker and libvirt hosts, alpha and beta, that tests use; `make lab` and tests/support/lab.py call it.
# It lives in LAB_DIR (corral-lab in the temporary folder), and stays until `lab.sh down` or a reboot. LAB_HOSTS, "alpha:1 beta:2" unless
# given, names the hosts and their numbers: those of a second lab beside a first one must differ from its.
set -euo pipefail
export LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/corral-lab}
hosts=${LAB_HOSTS:-alpha:1 beta:2}
cd "$(dirname "$0")"

case ${1:-} in
  up)
    ./setup.sh
    exec 8>"$LAB_DIR/up.lock"
    flock -w 300 8
    for host in $hosts; do ./up.sh "${host%:*}" "${host#*:}" 8>&-; done
    echo "The lab stands: hosts with Docker and libvirt, each in its own network namespace. To look into one:"
    for host in $hosts; do
      echo "  DOCKER_HOST=unix://$LAB_DIR/hosts/${host%:*}/docker.sock docker ps"
      echo "  virsh -c 'qemu+unix:///system?socket=$LAB_DIR/hosts/${host%:*}/libvirt/libvirt-sock' list"
    done
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
