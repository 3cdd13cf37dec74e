"""The event loop of a simulation: time jumps to the next timer, and a seed decides which of the ready callbacks runs first.

Everything that runs belongs to a Process, as it would on real machines: one that is killed never runs again, not even its clean-up;
one that is paused goes on later with all that it was about to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import heapq
import itertools
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Process:
    """A program that runs somewhere: an engine, a gateway, an agent, or the world itself."""

    name: str
    alive: bool = True
    paused: bool = False
    held: list[asyncio.Handle] = field(default_factory=list)
    """What it would have run while it was paused."""
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    """All that it began: kept, so that those of a killed one are not cleaned up by the garbage collector."""

    @property
    def works(self) -> bool:
        return self.alive and not self.paused


WORLD = Process("world")
_current: contextvars.ContextVar[Process] = contextvars.ContextVar("process", default=WORLD)


@contextlib.contextmanager
def inside(process: Process) -> Iterator[None]:
    """What begins in here belongs to the process."""
    token = _current.set(process)
    try:
        yield
    finally:
        _current.reset(token)


def current_process() -> Process:
    return _current.get()


class _Future(asyncio.Future[Any]):
    """Sets of futures are gone through in the order of their making, not of their addresses."""

    def __init__(self, number: int, **given: Any) -> None:
        super().__init__(**given)
        self._number = number

    def __hash__(self) -> int:
        return self._number


class _Task(asyncio.Task[Any]):
    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **given: Any) -> None:
        self._number = number
        super().__init__(coro, **given)

    def __hash__(self) -> int:
        return self._number


class Stuck(AssertionError):
    """Nothing more can happen, and what was waited for has not."""


class VirtualLoop(asyncio.AbstractEventLoop):  # what it lacks (sockets, signals, subprocesses) a simulation has no use for
    """`shuffled`: ready callbacks run in an order of the seed's, not in the order in which they became ready."""

    def __init__(self, random: Random, shuffled: bool = True) -> None:
        self._random, self._shuffled = random, shuffled
        self._now = 0.0
        self._ready: list[tuple[asyncio.Handle, Process]] = []
        self._timers: list[tuple[float, float, int, asyncio.TimerHandle, Process]] = []
        self._numbers = itertools.count()
        self.steps = 0
        self.errors: list[str] = []
        """Exceptions that nobody took."""

    # --- running ---

    def run_until_complete(self, future: Any) -> Any:
        """Runs a coroutine of the world to its end. Raises Stuck where nothing is left to do."""
        task = self.create_task(future)
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                self._step()
        finally:
            asyncio._set_running_loop(None)
        return task.result()

    def _step(self) -> None:
        while not self._ready:
            self._advance()
        self.steps += 1
        if self._shuffled and len(self._ready) > 1:
            chosen = int(self._random.random() * len(self._ready))
            self._ready[chosen], self._ready[-1] = self._ready[-1], self._ready[chosen]
            handle, process = self._ready.pop()
        else:
            handle, process = self._ready.pop(0)
        if handle.cancelled() or not process.alive:
            return
        if process.paused:
            process.held.append(handle)
        else:
            handle._run()

    def _advance(self) -> None:
        if not self._timers:
            raise Stuck("nothing is left to do, and what is waited for has not come")
        self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            _, _, _, handle, process = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._ready.append((handle, process))

    def kill(self, process: Process) -> None:
        """As kill -9 does."""
        process.alive = False
        process.held.clear()

    def pause(self, process: Process) -> None:
        process.paused = True

    def resume(self, process: Process) -> None:
        process.paused = False
        held, process.held = process.held, []
        self._ready += [(handle, process) for handle in held]

    def end(self, processes: list[Process]) -> None:
        """After the last step: ends what was left waiting, quietly."""
        hook = sys.unraisablehook
        sys.unraisablehook = lambda _: None
        asyncio._set_running_loop(self)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that coroutines were never awaited, say
                for task in [task for process in processes for task in process.tasks if not task.done()]:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with contextlib.suppress(Exception):  # whatever its clean-up runs into: nobody is there any more
                        task.get_coro().close()
                for process in processes:
                    process.tasks.clear()
                self._ready.clear()
                self._timers.clear()
                gc.collect()
        finally:
            asyncio._set_running_loop(None)
            sys.unraisablehook = hook

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((handle, _process_of(context)))
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + max(0.0, delay), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        first = self._random.random() if self._shuffled else 0.0
        heapq.heappush(self._timers, (when, first, next(self._numbers), handle, _process_of(context)))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(next(self._numbers), loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: contextvars.Context | None = None, **_: Any
    ) -> asyncio.Task[T]:
        task = _Task(next(self._numbers), coro, loop=self, name=name or "task", context=context)
        process = _process_of(context)
        if len(process.tasks) > 200:
            process.tasks = [each for each in process.tasks if not each.done()]
        process.tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """There are no threads: it is done a moment later, in one go."""
        future = self.create_future()
        self.call_later(self._random.random() * 0.002, _do, future, func, args)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")


def _process_of(context: contextvars.Context | None) -> Process:
    return _current.get() if context is None else context.get(_current, WORLD)


def _do(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except Exception as error:
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)

