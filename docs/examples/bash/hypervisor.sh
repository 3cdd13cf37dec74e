#!/bin/bash
# A hypervisor, of files: an instance, a volume and an image are each a file in $FOLDER, that is touched and removed.
#
#     CORRAL_URL=http://localhost:8080/v1 FOLDER=/tmp/hypervisor docs/examples/bash/hypervisor.sh
set -uo pipefail
. "$(dirname "$0")/framework.sh"

UUID=${UUID:-bash-hv-uuid}
FOLDER=${FOLDER:-.}
EVENTS="ping storage.image.activate storage.volume.activate storage.volume.deactivate storage.volume.remove
        compute.instance.activate compute.instance.deactivate"
mkdir -p "$FOLDER"

AGENT=$(get "agents?uuid=$UUID" | jq -r '.data[0].id // empty')
if [ -z "$AGENT" ]; then
  AGENT=$(post agents -F "uri=event://$UUID" -F managedConfig=false -F "uuid=$UUID" -F "name=$UUID" -F kind=bash-hv | jq -r .id)
fi
echo "Agent ID $AGENT"

on_ping() {
  if [ "$(of .data.options.resources)" != true ]; then return; fi
  jq -nc --arg uuid "$UUID" '{resources: [
    {type: "host", kind: "bash-hv", name: "bash host", uuid: "\($uuid)-host"},
    {type: "storagePool", kind: "bash-hv", name: "bash pool", uuid: "\($uuid)-pool", hostUuid: "\($uuid)-host"}]}'
}

image_file() { of '.data.imageStoragePoolMap | "image-\(.storagePool.uuid)-\(.image.uuid)"'; }
volume_file() { of '.data.volumeStoragePoolMap | "volume-\(.storagePool.uuid)-\(.volume.uuid)"'; }
instance_file() { of '.data.instanceHostMap | "instance-\(.host.uuid)-\(.instance.uuid)"'; }

on_storage_image_activate() { touch "$FOLDER/$(image_file)" && echo '{"image": {"format": "touch"}}'; }
on_storage_volume_activate() { touch "$FOLDER/$(volume_file)" && echo '{"volume": {"format": "touch"}}'; }
on_storage_volume_deactivate() { :; }
on_storage_volume_remove() { rm -f "$FOLDER/$(volume_file)"; }
on_compute_instance_activate() { touch "$FOLDER/$(instance_file)"; }
on_compute_instance_deactivate() { rm -f "$FOLDER/$(instance_file)"; }

listen -F "agentId=$AGENT"
