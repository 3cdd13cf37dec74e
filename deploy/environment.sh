#!/bin/bash
# environment.sh run|dev: makes .venv from pyproject.toml and constraints.txt; called by the Makefile when either is newer.
# It says one line, then a dot for each package; what pip said is in .venv/install.log and is shown when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=$1
python=${PYTHON:-python3}
log=.venv/install.log
started=$SECONDS

fail() {
  echo >&2
  echo "$1" >&2
  exit 1
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  fail "Corral needs Python 3.11 or later, and $python is $("$python" --version 2>&1 || echo missing). Name another: make PYTHON=python3.12 ..."

# An environment of an interpreter that has moved or gone is made anew.
if ! .venv/bin/python -c '' 2>/dev/null; then
  rm -rf .venv
  "$python" -m venv .venv || fail "$python can't make an environment; on Debian: apt-get install python3-venv"
fi

printf 'Making the Python environment in .venv '
export PIP_DISABLE_PIP_VERSION_CHECK=1
extras=""
if [ "$purpose" = dev ]; then extras=dev; fi
# libvirt's bindings are compiled against its headers: only where these are.
if command -v gcc >/dev/null && pkg-config --exists libvirt 2>/dev/null; then extras=${extras:+$extras,}libvirt; fi
what=.${extras:+[$extras]}
{
  .venv/bin/python -m pip install --progress-bar off -c constraints.txt setuptools &&
    .venv/bin/python -m pip install --progress-bar off -c constraints.txt --no-build-isolation -e "$what"
} 2>&1 | tee "$log" | awk '/^Collecting/ { printf "."; fflush() }' ||
  fail "$(tail -n 15 "$log")
pip could not install what Corral needs; all that it said is in $log. Once that is mended, the same make command goes on."
echo " done in $((SECONDS - started)) s"

touch .venv/.made-run
if [ "$purpose" = dev ]; then touch .venv/.made-dev; fi
