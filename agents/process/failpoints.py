"""Named places where a test kills an agent, as kill -9 would: before and after each call of its engine, commit, answer and heartbeat.

    compute.instance.activate after create_container_from_config#1      what it was about, when, which call, for the how manyth time

Nothing is listed by hand: a driver whose client is `watched` has its points, and a test finds them by having them written down.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar, cast

VARIABLE = "CORRAL_AGENT_FAILPOINT"
"""The point at which the process ends itself. Without it nothing here does anything."""
TOLD = "CORRAL_AGENT_FAILPOINTS_TOLD"
"""A file to which each point that is reached is added, a line each."""

T = TypeVar("T")

_doing: ContextVar[str] = ContextVar("doing", default="agent")


class _Points:
    """Of this process."""

    def __init__(self) -> None:
        self.armed = self.told = ""
        self.reached: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def wanted(self) -> bool:
        return bool(self.armed or self.told)

    def reach(self, name: str) -> None:
        with self.lock:
            self.reached[name] += 1
            point = f"{name}#{self.reached[name]}"
            if self.told:
                with open(self.told, "a") as file:
                    file.write(f"{point}\n")
        if point == self.armed:
            os.kill(os.getpid(), signal.SIGKILL)


_points = _Points()


def arm(point: str = "", told: str = "") -> None:
    """From now on, in this process: before its drivers are made."""
    _points.armed, _points.told = point, told
    _points.reached.clear()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """What is reached meanwhile is about this: a command, or a heartbeat."""
    token = _doing.set(what)
    try:
        yield
    finally:
        _doing.reset(token)


def reach(when: str, what: str, about: Iterable[str] | None = None) -> None:
    """A point, or one for each of those that it is about."""
    if _points.wanted:
        for each in dict.fromkeys((_doing.get(),) if about is None else about):
            _points.reach(f"{each} {when} {what}")


def watched(client: T) -> T:
    """The client of an engine, each call of which is a point before and one after; with what it returns of its own library (a
    libvirt domain, say) it is the same."""
    return cast(T, _Watched(client, type(client).__module__.partition(".")[0])) if _points.wanted else client


class _Watched:
    def __init__(self, of: object, library: str) -> None:
        self._of, self._library = of, library

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        return self._around(name, found) if callable(found) and not name.startswith("_") else found

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def called(*given: Any, **named: Any) -> Any:
            reach("before", name)
            result = call(*given, **named)
            reach("after", name)
            return self._whole(result)

        return called

    def _whole(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self._whole(each) for each in result]
        own = type(result).__module__.partition(".")[0] == self._library and not isinstance(result, BaseException)
        return _Watched(result, self._library) if own else result


arm(os.environ.get(VARIABLE, ""), os.environ.get(TOLD, ""))
