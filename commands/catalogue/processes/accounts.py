"""The life of accounts, of their credentials, and of the machines that register for some."""

from __future__ import annotations

from commands.catalogue.model import Decide, Join, Logic, Process
from commands.catalogue.processes.common import Phases, lifecycle
from commands.logic import accounts, registration

PROCESSES: list[Process] = [
    *lifecycle(
        "account",
        create=Phases(
            handlers=(Decide(accounts.give_key),),
            post=(Logic("RegisterTokenAccountCreate", (Decide(accounts.give_registration_token),)),),
        ),
    ),
    *lifecycle("credential", create=Phases(pre=(Logic("ApiKeyCreate", (Decide(accounts.generate_values),)),))),
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
