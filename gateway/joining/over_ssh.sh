# The server runs this over ssh: sh bootstrap.sh NUMBER. What is secret comes on stdin, as NAME=value up to an empty line; stdin then
# stays open, and the agent ends with it.
umask 077
while IFS= read -r line && [ -n "$line" ]; do export "$line"; done
code=$(cd "$(dirname "$0")" && pwd)
home=${CORRAL_HOME:-$HOME/.corral}/ssh-a$1
mkdir -p "$home"
find_python
[ -n "$python" ] || fail "this machine has no Python 3.11 or later with sqlite3, ssl and zlib, which the agent runs by: install python3"
if at_work; then end_older "An agent of an earlier connection is at work here"; fi
echo $$ >"$home/pid"
exec "$python" "$code/agent.pyz" --over-ssh "$1" --home "$home"
