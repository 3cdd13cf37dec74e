"""What operators can change about orchestration: Cattle's setting names and defaults."""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "instance.compute.default": 1,
    "simple.allocator.spread": True,
    "object.remove.time.delay.seconds": 60,
    "process.account.create.create.credential": True,
    "process.account.create.create.credential.default.kind": "apiKey",
    "process.agent.create.create.account": True,
    "api.instance.require.image": True,
    "snapshot.every.events": 200,
}
