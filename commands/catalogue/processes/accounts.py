"""The life of accounts and of their credentials."""

from __future__ import annotations

from commands.catalogue.model import Decide, Process
from commands.catalogue.processes.common import lifecycle
from commands.logic import accounts

PROCESSES: list[Process] = [
    *lifecycle("account", create=(Decide(accounts.give_keys),)),
    *lifecycle("credential", create=(Decide(accounts.generate_values),)),
]
