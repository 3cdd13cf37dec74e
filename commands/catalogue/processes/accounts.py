"""The life of accounts, of their credentials, and of the machines that register for some."""

from __future__ import annotations

from commands.catalogue.model import Decide, Join, Logic, Process
from commands.catalogue.processes.common import lifecycle
from commands.logic import accounts, registration

PROCESSES: list[Process] = [
    *lifecycle("account", create=(Decide(accounts.give_keys),)),
    *lifecycle("credential", create=(Logic("ApiKeyCreate", (Decide(accounts.generate_values),), always=True),)),
    *lifecycle("credentialInstanceMap", by_default=False),
    *lifecycle(
        "genericObject",
        create=(
            Logic(
                "RegisterCreate",
                (
                    Decide(registration.find_agent),
                    Join(registration.account_of, "account.activate"),
                    Join(registration.key_of, "credential.activate"),
                    Decide(registration.hand_over_keys),
                ),
            ),
        ),
    ),
]
