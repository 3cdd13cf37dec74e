# Fetches the config item configscripts from $CATTLE_CONFIG_URL and has its updater fetch the others that are named, or pyagent.
# CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY are an agent's keys.
set -eu

: "${CATTLE_ACCESS_KEY:?is to be the access key of an agent}" "${CATTLE_SECRET_KEY:?is to be the secret key of an agent}"
CATTLE_HOME=${CATTLE_HOME:-/var/lib/cattle}
export CATTLE_ACCESS_KEY CATTLE_SECRET_KEY CATTLE_HOME

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT

curl -sSf -u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" "$CATTLE_CONFIG_URL/configcontent/configscripts" | tar -xzf - -C "$unpacked"
cd "$unpacked"/configscripts-*
sha1sum -c --quiet SHA1SUMSSUM
sha1sum -c --quiet SHA1SUMS
sh ./config.sh configscripts "${@:-pyagent}"
