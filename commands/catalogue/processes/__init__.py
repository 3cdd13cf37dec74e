"""The processes of every type, as data: which states they lead through, and in which steps. The logic they name is in commands.logic."""

from __future__ import annotations

from commands.catalogue.model import Process
from commands.catalogue.processes import accounts, agents, compute, handlers, network, storage

PROCESSES: list[Process] = [each for area in (compute, storage, network, agents, accounts, handlers) for each in area.PROCESSES]
