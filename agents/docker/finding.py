"""Which of an engine's containers are instances', and which one of an instance's counts: found by their labels.

Methods that take a docker.APIClient block: the driver calls them in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable

import docker
import structlog
from docker.errors import ImageNotFound

from agents.docker.container import CLOUD_LABEL, EPOCH_LABEL, UUID_LABEL
from agents.docker.images import inspect_image
from agents.driver import RUNNING, STOPPED, Held, Json

log = structlog.get_logger("corral.agent.docker")

RUNS = ("running", "restarting", "paused")
_RANK = {**dict.fromkeys(RUNS, 0), "exited": 1, "created": 2}


class Containers:
    """Of one engine, as it lists them."""

    def __init__(self) -> None:
        self._image_owners: dict[str, str | None] = {}

    def all(self, client: docker.APIClient) -> list[Json]:
        return self._listed(client, UUID_LABEL)

    def of(self, client: docker.APIClient, owner: str, also_going: bool = False) -> list[Json]:
        listed = self._listed(client, f"{UUID_LABEL}={owner}")
        return [each for each in listed if also_going or each["State"] not in ("removing", "dead")]

    def first(self, client: docker.APIClient, owner: str) -> Json | None:
        """The one that counts."""
        return next(iter(self._ranked(client, owner)), None)

    def only(self, client: docker.APIClient, owner: str) -> Json | None:
        """The one that counts. What a killed agent's request left beside it, and never ran, is removed."""
        found = self._ranked(client, owner)
        for spare in found[1:]:
            if spare["State"] == "created":
                log.warning("A second container of an instance is removed", action="spare-removed", instance=owner, container=spare["Id"])
                client.remove_container(spare["Id"], force=True, v=True)
            else:
                log.error("An instance has a second container; it is left alone", action="spare", instance=owner, container=spare["Id"])
        return found[0] if found else None

    def _ranked(self, client: docker.APIClient, owner: str) -> list[Json]:
        def rank(listed: Json) -> tuple[int, int, int, str]:
            return _RANK.get(listed["State"], len(_RANK)), -epoch_of(listed), listed["Created"], listed["Id"]

        return sorted(self.of(client, owner), key=rank)

    def _listed(self, client: docker.APIClient, label: str) -> list[Json]:
        listed: list[Json] = client.containers(all=True, filters={"label": [label]})
        return [each for each in listed if not self._inherited(client, each)]

    def _inherited(self, client: docker.APIClient, listed: Json) -> bool:
        """A user's own container of an image that was committed from an instance bears that instance's labels, and is none of ours."""
        image: str = listed["ImageID"]
        if image not in self._image_owners:
            try:
                labels = (inspect_image(client, image).get("Config") or {}).get("Labels") or {}
            except ImageNotFound:
                labels = {}
            self._image_owners[image] = labels.get(UUID_LABEL)
        return self._image_owners[image] == str(listed["Labels"][UUID_LABEL])


def epoch_of(listed: Json) -> int:
    text = listed["Labels"].get(EPOCH_LABEL, "")
    return int(text) if text.isdigit() else 0


def held_in(listed: Iterable[Json], kind: str) -> dict[str, Held]:
    """uuid -> what its containers, listed, say of the instance."""
    result: dict[str, Held] = {}
    for each in listed:
        labels = each["Labels"]
        owner: str = labels[UUID_LABEL]
        state, epoch = RUNNING if each["State"] in RUNS else STOPPED, epoch_of(each)
        if (other := result.get(owner)) is not None:  # a second one, as a killed agent's request may leave it
            state, epoch = RUNNING if RUNNING in (state, other.state) else STOPPED, max(epoch, other.epoch)
        result[owner] = Held(state, epoch, labels.get(CLOUD_LABEL) or None, kind)
    return result
