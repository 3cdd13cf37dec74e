"""What operators can change about orchestration: Cattle's setting names and defaults."""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "agent.instance.image.uuid": "docker:cattle/agent-instance:latest",
    "instance.link.target.wait.time.millis": 15000,
    "mac.prefix.start": "02:00:01",
    "mac.prefix.end": "02:ff:ff",
    "mac.unassigned.prefix": "04",
    "instance.compute.default": 1,
    "simple.allocator.spread": True,
    "object.remove.time.delay.seconds": 60,
    "process.account.create.create.credential": True,
    "process.account.create.create.credential.default.kind": "apiKey",
    "process.agent.create.create.account": True,
    "api.instance.require.image": True,
    "sample.setup": False,  # Cattle ships it true; its managed-docker0 wants agent instances, whose configuration Corral does not serve yet
}
