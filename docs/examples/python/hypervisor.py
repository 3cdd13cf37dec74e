"""A hypervisor in 40 lines: an instance is a process of this machine, which runs its `command`. Of libraries it needs nats-py alone.

    curl -s 'localhost:8080/v1/agents?_plainId=true' -F uri=event://python-hv -F uuid=python-hv -F managedConfig=false | jq .id
    CORRAL_NATS=nats://localhost:4222 AGENT=<the id> FOLDER=$(mktemp -d) python docs/examples/python/hypervisor.py
"""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import nats

AGENT, FOLDER = int(os.environ["AGENT"]), Path(os.environ["FOLDER"])
HOST = {"type": "host", "kind": "python-hv", "name": "python host", "uuid": f"python-hv-{AGENT}-host"}
POOL = {"type": "storagePool", "kind": "python-hv", "name": "python pool", "uuid": f"python-hv-{AGENT}-pool", "hostUuid": HOST["uuid"]}


def running():  # a file of each holds its process: what was started before this program was is found again
    return {each.name: "running" for each in FOLDER.glob("*-*-*-*-*") if Path(f"/proc/{each.read_text()}").exists()}


def carry_out(name, data):  # what comes twice is done once
    if name.startswith("compute.instance."):
        instance = data["instanceHostMap"]["instance"]
        file = FOLDER / instance["uuid"]
        if name == "compute.instance.activate" and file.name not in running():
            command = instance["data"]["fields"].get("command") or "sleep infinity"
            file.write_text(str(subprocess.Popen(shlex.split(command), start_new_session=True).pid))
        if name == "compute.instance.deactivate" and file.name in running():
            os.killpg(int(file.read_text()), signal.SIGKILL)
    return {"resources": [HOST, POOL]} if name == "ping" else {}  # images and volumes need nothing done: files of the machine


async def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that end
    client = await nats.connect(os.environ["CORRAL_NATS"], max_reconnect_attempts=-1, nkeys_seed=os.environ.get("NATS_NKEY"))

    async def answer(message):
        event = json.loads(message.data)
        try:
            told = {"data": carry_out(event["name"], event["data"])}
        except Exception as error:
            told = {"transitioning": "error", "transitioningMessage": str(error)}
        await client.publish(event["replyTo"], json.dumps({"previousIds": [event["id"]], **told}).encode())

    await client.subscribe(f"corral.agent.a{AGENT}.>", cb=answer)
    while True:  # a heartbeat: it lives, and what runs here
        beat = {"agent": AGENT, "uuid": "python-hv", "time": int(time.time() * 1000), "instances": running()}
        await client.publish(f"corral.presence.a{AGENT}", json.dumps(beat).encode())
        await asyncio.sleep(5)


asyncio.run(main())
