"""The tasks that servers carry out now and then, or when an operator asks for it: /v1/tasks. Numbers are Cattle's order, and stay.

Most of what Cattle did by periodic tasks happens all the time here, as soon as there is cause: such a task is on no schedule unless the
settings put it on one (task.<name>.schedule), and executing it does at once what would be done in a moment anyway.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    number: int
    name: str
    every: int
    """Seconds between two executions by schedule, unless settings say otherwise; 0: none."""
    job: str
    """What it does."""

    @property
    def schedule(self) -> str:
        """The setting."""
        return f"task.{self.name}.schedule"


REPLAY, PURGE, PING, MONITOR, RETRY, CLEANUP = (
    "process.replay", "purge.resources", "agent.ping", "resource.change.monitor", "retry.timeout", "cleanup.task.instances",
)  # fmt: skip

TASKS = (
    Task(1, REPLAY, 0, "everything that is open takes a turn; by itself it does every 30 s, for whatever wake-up was lost"),
    Task(2, PURGE, 0, "what is due is purged; looked for every second anyway"),
    Task(3, PING, 0, "agents that have not been heard lately are asked whether they are there; all of them what hosts and pools they have"),
    Task(5, MONITOR, 0, "whoever waits for others looks again; done with every change anyway"),
    Task(6, RETRY, 0, "what is unanswered is sent again; done 1 to 15 s after it was sent anyway"),
    Task(10, CLEANUP, 86400, "executions that ended over seven days ago are forgotten"),
)

BY_NUMBER = {each.number: each for each in TASKS}
BY_NAME = {each.name: each for each in TASKS}

TASK, TASK_INSTANCE = "task", "taskInstance"
"""Types: a task is this data, an execution of it a row of the log."""
