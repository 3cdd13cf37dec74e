"""Live queries to a Docker engine: what a container writes, uses, runs and is, and a command inside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.docker.engine import NoEngine
from agents.docker.http import Answer, EngineRefused, Way, asked
from agents.docker.output import Characters, Frames, Lines
from agents.driver import Json, LiveRefused
from agents.jsons import dumps
from agents.live import BAD_OPTION, NOT_RUNNING, NOT_THERE, Question, output_of, written

VERBS = frozenset({"logs", "stats", "top", "inspect", "events", "exec"})
LISTS: Mapping[str, str] = {"containers": "/containers/json?all=1", "images": "/images/json"}
"""What is asked of the engine, and not of one container of it; where it has that."""
PIECE = 20
"""Of what is listed, together."""
EXIT_TRIES, EXIT_SECONDS = 20, 0.1
"""The engine says a little later than the output ends how a command ended."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`listed`: the container as the engine lists it."""

    way: Way
    question: Question
    listed: Json

    @property
    def path(self) -> str:
        return f"/containers/{self.listed['Id']}"

    @property
    def options(self) -> Json:
        return self.question.options


async def answer(
    way: Way, question: Question, listed: Json | None, given: AsyncIterator[Json], host: str
) -> AsyncGenerator[Json, None]:
    """`host`: as errors name it. Raises LiveRefused, EngineRefused, NoEngine."""
    if listed is None:
        name = question.instance.get("name") or question.instance.get("uuid")
        raise LiveRefused(NOT_THERE, f"{name} has no container on {host}: it was never started there, or is gone. Start it")
    of = Asked(way, question, listed)
    match question.verb:
        case "inspect":
            yield await _document(way, f"{of.path}/json")
        case "top":
            _check_running(of)
            yield await _top(of)
        case "stats":
            _check_running(of)
            async for piece in _stats(of):
                yield piece
        case "events":
            async for piece in _events(of):
                yield piece
        case "logs":
            async for piece in _logs(of):
                yield piece
        case "exec":
            _check_running(of)
            async for piece in _exec(of, given):
                yield piece


async def listing(way: Way, verb: str) -> AsyncGenerator[Json, None]:
    """{"listed": [...]}: all that the engine has, in its own words."""
    async with asked(way, "GET", LISTS[verb]) as found:
        listed = await found.json()
    for begin in range(0, len(listed), PIECE):
        yield {"listed": listed[begin : begin + PIECE]}


async def _logs(of: Asked) -> AsyncGenerator[Json, None]:
    """{"lines": [{"stream", "time", "text"}]}, as many as came at once."""
    terminal = bool((await _document(of.way, f"{of.path}/json"))["Config"].get("Tty"))
    tail, wanted = of.options.get("tail"), of.options.get("streams") or ["stdout", "stderr"]
    params = {
        "stdout": int("stdout" in wanted), "stderr": int("stderr" in wanted), "timestamps": 1, "tail": "all" if tail is None else tail,
        "follow": int(bool(of.options.get("follow"))), **_times(of.options),
    }  # fmt: skip
    mark = Mark()
    async for told in _read(of, terminal, params):
        mark.note(told)
        yield {"lines": told}
    if params["follow"]:
        # An engine may end the stream of who reads slowly when the container ends, before all of it was read.
        again = {**params, "follow": 0, **({"since": mark.since, "tail": "all"} if mark.time else {})}
        with suppress(EngineRefused):  # the container may be gone
            async for told in _read(of, terminal, again):
                if rest := mark.beyond(told):
                    yield {"lines": rest}


async def _read(of: Asked, terminal: bool, params: Json) -> AsyncGenerator[list[Json], None]:
    frames, lines = Frames(terminal), Lines(terminal)
    async with asked(of.way, "GET", f"{of.path}/logs", params) as found:
        async for chunk in found.chunks():
            if told := [line for stream, output in frames.feed(chunk) for line in lines.feed(stream, output)]:
                yield told
    if told := lines.end():
        yield told


@dataclass(slots=True)
class Mark:
    """How far a log was read: the time of its last line, and how many lines have that very time."""

    time: str = ""
    lines: int = 0

    @property
    def since(self) -> str:
        """As the engine takes it, to the nanosecond."""
        second, _, fraction = self.time.removesuffix("Z").partition(".")
        return f"{int(datetime.fromisoformat(f'{second}+00:00').timestamp())}.{fraction.ljust(9, '0')}"

    def note(self, lines: list[Json]) -> None:
        for each in lines:
            if each["time"] > self.time:
                self.time, self.lines = each["time"], 0
            self.lines += each["time"] == self.time

    def beyond(self, lines: list[Json]) -> list[Json]:
        """Those of a log read again from the mark that were not seen before it; call it with all, in order."""
        found = []
        for each in lines:
            if each["time"] == self.time and self.lines:
                self.lines -= 1
            elif each["time"] >= self.time:
                found.append(each)
        return found


async def _top(of: Asked) -> Json:
    options = of.options.get("ps")
    try:
        found = await _document(of.way, f"{of.path}/top", {"ps_args": str(options or "-ef")})
    except EngineRefused as refused:
        if options and refused.status == 500:  # what the host's ps says of them comes so
            raise LiveRefused(BAD_OPTION, f"the host can't use ps {options}: {refused}") from None
        raise
    return {"titles": found["Titles"], "processes": found["Processes"]}


async def _stats(of: Asked) -> AsyncGenerator[Json, None]:
    stream = bool(of.options.get("follow"))
    async with asked(of.way, "GET", f"{of.path}/stats", {"stream": int(stream)}) as found:
        async for sample in found.documents():
            if sample.get("read", "").startswith("0001"):  # it has stopped
                return
            yield sampled(sample)


async def _events(of: Asked) -> AsyncGenerator[Json, None]:
    filters = dumps({"container": [of.listed["Id"]], "type": ["container"]}).decode()
    params = {"filters": filters, "since": "0", **_times(of.options)}
    if not of.options.get("follow"):
        now = datetime.fromisoformat((await _document(of.way, "/info"))["SystemTime"])
        params.setdefault("until", f"{now.timestamp():.9f}")
    async with asked(of.way, "GET", "/events", params) as found:
        async for event in found.documents():
            attributes = (event.get("Actor") or {}).get("Attributes") or {}
            own = {key: value for key, value in attributes.items() if not key.startswith("corral.")}
            yield {"time": event["timeNano"] / 1e9, "action": event["Action"], "attributes": own}


async def _exec(of: Asked, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
    """{"started": true}, {"stream", "text" or "base64"} of what it writes, then {"exit": status}."""
    options = of.options
    command = options.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(each, str) for each in command):
        raise LiveRefused(BAD_OPTION, 'exec wants the command\'s words: {"command": ["ls", "-l"]}')
    terminal = bool(options.get("tty"))
    body = {
        "Cmd": command, "Tty": terminal, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True,
        "Env": [str(each) for each in options.get("env") or []], "User": str(options.get("user") or ""),
        "WorkingDir": str(options.get("directory") or ""),
    }  # fmt: skip
    if terminal and isinstance(options.get("size"), list):
        body["ConsoleSize"] = [options["size"][1], options["size"][0]]
    made = await _document(of.way, f"{of.path}/exec", method="POST", body=body)
    path = f"/exec/{made['Id']}"
    frames, characters = Frames(terminal), Characters()
    async with asked(of.way, "POST", f"{path}/start", body={"Detach": False, "Tty": terminal}) as found:
        if terminal and isinstance(options.get("size"), list):
            await _resize(of.way, path, options["size"])
        yield {"started": True}
        feeding = asyncio.create_task(_feed(of.way, path, found, given))
        try:
            async for chunk in found.chunks():
                for stream, output in frames.feed(chunk):
                    if whole := characters.feed(stream, output):
                        yield written(stream, whole)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    for stream, rest in characters.end():
        yield written(stream, rest)
    yield {"exit": await _exit_of(of.way, path)}


async def _feed(way: Way, path: str, found: Answer, given: AsyncIterator[Json]) -> None:
    """Input, its end, and the terminal's new sizes, until no more comes or the command is gone."""
    with suppress(OSError, ValueError):
        async for each in given:
            if "resize" in each:
                await _resize(way, path, each["resize"])
            elif each.get("eof") and found.writer.can_write_eof():
                found.writer.write_eof()
            elif "stdin" in each or "base64" in each:
                found.writer.write(output_of(each, "stdin"))
                await found.writer.drain()


async def _resize(way: Way, path: str, size: Any) -> None:
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(each, int) and 0 < each < 10_000 for each in size)):
        return
    with suppress(EngineRefused, NoEngine, OSError):  # the command may have ended; and a terminal's size is no reason to lose its input
        async with asked(way, "POST", f"{path}/resize", {"w": size[0], "h": size[1]}) as found:
            await found.json()


async def _exit_of(way: Way, path: str) -> int | None:
    """None: the engine does not know (any more)."""
    for _ in range(EXIT_TRIES):
        try:
            known = await _document(way, f"{path}/json")
        except EngineRefused:
            return None
        if not known.get("Running") and known.get("ExitCode") is not None:
            return int(known["ExitCode"])
        await asyncio.sleep(EXIT_SECONDS)
    return None


async def _document(way: Way, path: str, params: Mapping[str, Any] | None = None, *, method: str = "GET", body: Any = None) -> Json:
    async with asked(way, method, path, params, body) as found:
        document: Json = await found.json()
        return document


def sampled(sample: Json) -> Json:
    """The engine's sample in plain figures. What it does not tell (of a container that is just gone) is null."""
    cpu, before, memory = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}, sample.get("memory_stats") or {}
    networks = (sample.get("networks") or {}).values()
    disk = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    cache = (memory.get("stats") or {}).get("inactive_file", (memory.get("stats") or {}).get("total_inactive_file", 0))
    return {
        "time": sample.get("read"),
        "cpuPercent": _cpu_percent(cpu, before),
        "cpus": cpu.get("online_cpus"),
        "memoryBytes": max(0, memory["usage"] - cache) if "usage" in memory else None,
        "memoryLimitBytes": memory.get("limit"),
        "receivedBytes": sum(each.get("rx_bytes", 0) for each in networks),
        "sentBytes": sum(each.get("tx_bytes", 0) for each in networks),
        "readBytes": sum(each["value"] for each in disk if each["op"].lower() == "read"),
        "writtenBytes": sum(each["value"] for each in disk if each["op"].lower() == "write"),
        "processes": (sample.get("pids_stats") or {}).get("current"),
    }


def _cpu_percent(cpu: Json, before: Json) -> float | None:
    """100 is one processor, as in `docker stats`."""
    try:
        used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
        passed = cpu["system_cpu_usage"] - before["system_cpu_usage"]
        processors = cpu.get("online_cpus") or len(cpu["cpu_usage"]["percpu_usage"])
    except (KeyError, TypeError):
        return None
    return round(100.0 * used * processors / passed, 2) if passed > 0 else 0.0


def _times(options: Json) -> Json:
    """since and until: seconds since 1970, as the engine takes them."""
    return {key: f"{float(options[key]):.9f}" for key in ("since", "until") if options.get(key) is not None}


def _check_running(of: Asked) -> None:
    if of.listed["State"] not in ("running", "paused"):
        name = of.question.instance.get("name") or of.question.instance.get("uuid")
        raise LiveRefused(NOT_RUNNING, f"{name} is {of.listed['State']} on its host: {of.question.verb} is for what runs. Start it first")
