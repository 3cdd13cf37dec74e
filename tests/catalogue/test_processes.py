"""What holds for every process of the catalogue, whoever adds one."""

from __future__ import annotations

import pytest

from commands.catalogue.builtin import CATALOGUE, commands_of
from commands.catalogue.model import Process
from commands.catalogue.secrets import masked, secret_names
from commands.failpoints import of_process

PROCESSES = sorted(CATALOGUE.processes.values(), key=lambda each: each.name)


def named(process: Process) -> str:
    return process.name


@pytest.mark.parametrize("process", [each for each in PROCESSES if each.failed], ids=named)
def test_a_process_that_fails_leaves_a_state_from_which_something_starts(process: Process) -> None:
    assert any(process.failed in other.start for other in PROCESSES if other.type == process.type)


def test_every_action_that_is_offered_has_a_process_or_a_handler_of_its_own() -> None:
    of_their_own = {"console", "acquire", "task.execute"}
    lead_nowhere = {"register.stop"}  # a client finds it in the schema, and is never offered it
    for kind in CATALOGUE.types.values():
        for action in kind.actions:
            known = {action, f"{kind.name}.{action}"} & (of_their_own | lead_nowhere)
            assert known or CATALOGUE.process_of(kind.name, action) is not None, f"{kind.name}.{action}"


def test_a_create_asks_its_agents_in_the_order_image_volume_instance() -> None:
    assert commands_of(CATALOGUE, "instance.create") == ["storage.image.activate", "storage.volume.activate", "compute.instance.activate"]


def test_failpoints_surround_every_append_publish_and_reply_of_a_process() -> None:
    names = of_process(CATALOGUE, "instance.create")
    assert len(names) == len(set(names)) == 2 * (3 * 3 + 2)
    assert "before-append-instance.create" in names
    assert "after-reply-compute.instance.activate" in names
    assert "after-append-instance.start-done" in names


def test_whatever_field_is_flagged_as_secret_is_masked_wherever_it_stands() -> None:
    names = secret_names(CATALOGUE)
    assert {"secretValue", "libvirtVncPassword"} <= names
    data = {"changes": {"secretValue": "s", "+data": {"+fields": {"libvirtVncPassword": "p", "list": [{"secretValue": "s"}]}}}, "name": "n"}
    expected = {"changes": {"secretValue": "***", "+data": {"+fields": {"libvirtVncPassword": "***", "list": [{"secretValue": "***"}]}}}}
    assert masked(data, names) == {**expected, "name": "n"}
