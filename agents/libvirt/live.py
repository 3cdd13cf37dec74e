"""Live queries to a libvirt: what a machine says on its serial console, what it uses, and what libvirt knows of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.driver import Json, LiveRefused
from agents.libvirt import domains
from agents.libvirt.connection import Hypervisor, Libvirt, bindings
from agents.libvirt.serial import Console
from agents.live import BAD_OPTION, NOT_RUNNING, NOT_THERE, UNKNOWN_VERB, Question

REFUSED = {
    "exec": "a virtual machine takes no commands from its host: log in by its screen (the action console), or over its network",
    "top": "a virtual machine's processes are its own, and its host does not see them: stats tells what it uses as a whole",
    "events": "libvirt keeps no record of what happened to a machine: corral why and corral logs tell what Corral knows of it",
}
"""What is asked of containers, and why it is not of machines."""
VERBS = frozenset({"inspect", "logs", "stats", *REFUSED})

SAMPLE_SECONDS = 1.0
"""Between two samples, of which the processor's use is the difference."""
FOLLOW_SECONDS = 0.25
RUNS_SECONDS = 2.0
"""A console that says nothing for so long is looked at: whether its machine runs at all."""
KIBIBYTE = 1024


async def answer(hypervisor: Hypervisor, question: Question, console: Path) -> AsyncGenerator[Json, None]:
    """`console`: the file of what it said. Raises LiveRefused and DriverError."""
    if (why := REFUSED.get(question.verb)) is not None:
        raise LiveRefused(UNKNOWN_VERB, why)
    owner = str(question.instance.get("uuid"))
    name = question.instance.get("name") or owner
    known = await hypervisor.look(lambda connection: _inspected(connection, owner))
    if known is None:
        raise LiveRefused(NOT_THERE, f"{name} has no domain on this host: it was never started, or is gone")
    match question.verb:
        case "inspect":
            yield known
        case "stats":
            if not known["active"]:
                raise LiveRefused(NOT_RUNNING, f"{name} is stopped on its host: stats is for what runs. Start it first")
            before = await _sample(hypervisor, owner)
            while before is not None:
                await asyncio.sleep(SAMPLE_SECONDS)
                if (now := await _sample(hypervisor, owner)) is None:
                    return  # it has stopped
                yield sampled(now, before)
                if not question.options.get("follow"):
                    return
                before = now
        case "logs":
            async for lines in _logs(hypervisor, question, console):
                yield {"lines": lines}


async def _logs(hypervisor: Hypervisor, question: Question, path: Path) -> AsyncGenerator[list[Json], None]:
    options, owner = question.options, str(question.instance.get("uuid"))
    if given := [each for each in ("since", "until") if options.get(each) is not None]:
        raise LiveRefused(BAD_OPTION, f"a serial console notes no times: {' and '.join(given)} can't be asked of it, but tail can")
    if "stdout" not in (options.get("streams") or ["stdout"]):
        return
    tail = options.get("tail")
    with Console(path) as console:
        await asyncio.to_thread(console.begin, None if tail is None else int(tail))
        quiet_since = time.monotonic()
        while True:
            if lines := await asyncio.to_thread(console.read):
                quiet_since = time.monotonic()
                yield lines
            elif not options.get("follow"):
                return
            elif time.monotonic() - quiet_since > RUNS_SECONDS:
                if await hypervisor.look(lambda connection: domains.running(connection, owner) is None):
                    return
                quiet_since = time.monotonic()
            else:
                await asyncio.sleep(FOLLOW_SECONDS)


async def _sample(hypervisor: Hypervisor, owner: str) -> Json | None:
    def look(connection: Libvirt) -> Json | None:
        libvirt = bindings()
        domain = domains.running(connection, owner)
        if domain is None:
            return None
        wanted = (
            libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
            | libvirt.VIR_DOMAIN_STATS_INTERFACE | libvirt.VIR_DOMAIN_STATS_BLOCK
        )  # fmt: skip
        told = connection.domainListGetStats([domain], wanted)  # nothing of one that ends in this moment
        return {**told[0][1], "at": time.monotonic()} if told else None

    return await hypervisor.look(look)


def sampled(now: Mapping[str, Any], before: Mapping[str, Any]) -> Json:
    """libvirt's figures in the words of the other engines. What it does not tell (of QEMU's own network, say) is null."""
    passed, used, used_before = now["at"] - before["at"], now.get("cpu.time"), before.get("cpu.time")
    percent = None if used is None or used_before is None or passed <= 0 else round(100.0 * (used - used_before) / 1e9 / passed, 2)
    memory, limit = now.get("balloon.rss"), now.get("balloon.maximum")
    return {
        "time": datetime.now(UTC).isoformat(),
        "cpuPercent": percent,
        "cpus": now.get("vcpu.current"),
        "memoryBytes": None if memory is None else memory * KIBIBYTE,
        "memoryLimitBytes": None if limit is None else limit * KIBIBYTE,
        "receivedBytes": _sum(now, "net", "rx.bytes"),
        "sentBytes": _sum(now, "net", "tx.bytes"),
        "readBytes": _sum(now, "block", "rd.bytes"),
        "writtenBytes": _sum(now, "block", "wr.bytes"),
        "processes": None,
    }


def _sum(told: Mapping[str, Any], group: str, figure: str) -> int | None:
    found = [told.get(f"{group}.{number}.{figure}") for number in range(told.get(f"{group}.count", 0))]
    known = [each for each in found if each is not None]
    return sum(known) if known else None


def _inspected(connection: Libvirt, owner: str) -> Json | None:
    """Without the password of its screen, which XMLDesc keeps to itself."""
    domain = domains.find(connection, owner)
    if domain is None:
        return None
    state, most_memory, memory, vcpus, cpu_time = domain.info()
    active = bool(domain.isActive())
    return {
        "name": domain.name(), "uuid": domain.UUIDString(), "id": domain.ID() if active else None, "active": active,
        "persistent": bool(domain.isPersistent()), "state": _states().get(state, str(state)), "memoryBytes": memory * KIBIBYTE,
        "maximumMemoryBytes": most_memory * KIBIBYTE, "vcpus": vcpus, "cpuSeconds": cpu_time / 1e9, "snapshots": domain.snapshotListNames(),
        "xml": domain.XMLDesc(),
    }  # fmt: skip


def _states() -> dict[int, str]:
    """libvirt's own words: running, blocked, paused, shutdown, shutoff, crashed, pmsuspended."""
    words = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
    libvirt = bindings()
    return {getattr(libvirt, f"VIR_DOMAIN_{word.upper()}"): word for word in words}
