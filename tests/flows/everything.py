"""One resource of every type, made with Cattle's own client by what the live schemas say, and what its users do with any of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import cattle
import pytest

from commands.catalogue.builtin import CATALOGUE
from tests.gateway.samples import body_of, createable
from tests.support.cattle_client import cattle_client
from tests.support.waiting import until

Json = dict[str, Any]

LAST = ("deactivate", "stop", "remove", "restore", "purge")
"""Actions in the order in which they are asked for, after all others."""

AWAY = ("deactivate", "stop", "remove")
"""Those that lead to the end once more, for what was restored."""

OTHERWISE = {"activeSetting": "setting"}
"""Documents whose type has no list, and the type that they are found as."""

WORDS = ("description", "value", "name", "sourceVersion")
"""Fields of which the first one that a type has may be changed to any text."""


class Everything:
    """`made`: one of each type that there is, as it was when it was made and settled; `ids`: their ids, by their type and its base type."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.schemas: Mapping[str, Json] = {each["id"]: each for each in json.loads(client.schema.text)["data"]}
        self.made: dict[str, Any] = {}
        self.ids: dict[str, str] = {}

    def make_all(self) -> None:
        """What can be made; what comes with a container that has a port and a link; and a task's execution."""
        here = {"requestedHostId": self.client.list_host()[0].id}
        for name in createable(self.schemas):
            placed = here if CATALOGUE.root_type(name).name == "instance" else {}
            self.keep(name, self.settled(self.client.create(name, body_of(self.schemas[name], self.ids), placed)))
            if name == "externalHandler":
                self.settled(self.made[name].deactivate())  # nobody answers for it, while others live
            if name == "container":
                self._keep_what_comes_with(self.made[name], **here)

        self.client.list_task()[0].execute()

    def _keep_what_comes_with(self, container: Any, **placed: str) -> None:
        linked = self.client.create_container(imageUuid="sim:sample", ports=["7070:70"], instanceLinks={"sample": container.id}, **placed)
        linked = self.client.wait_success(linked)
        for name, link in (("volume", "volumes"), ("port", "ports"), ("instanceLink", "instanceLinks")):
            [each] = self.all_by(linked, link)
            self.keep(name, each)

    def keep(self, name: str, thing: Any) -> None:
        """For others to refer to."""
        self.made[name] = thing
        self.ids[name] = self.ids[CATALOGUE.root_type(name).name] = thing.id

    def all_by(self, thing: Any, link: str, least: int = 1) -> list[Any]:
        """What a link leads to. Lists may lag behind."""
        return until(lambda: list(follow(thing, link)), lambda found: len(found) >= least)

    def listed(self, name: str, /, **asked: Any) -> list[str]:
        """Ids, of the first page."""
        return [each.id for each in self.client.list(name, **asked)]

    def seen(self, thing: Any) -> Any:
        return self.client.by_id(OTHERWISE.get(thing.type, thing.type), thing.id)

    def settled(self, thing: Any) -> Any:
        """Raises the client's own error for what failed."""
        if "transitioning" in thing:
            return self.client.wait_success(thing)
        moves = CATALOGUE.process_of(thing.type, "create") is not None
        return until(lambda: self.seen(thing), lambda seen: not moves or not seen.state.endswith(("ing", "requested")))

    def act(self, thing: Any, action: str) -> Any:
        """By the method that the client bound for it. -> what was answered"""
        told = self.schemas[thing.type]["resourceActions"][action]
        given = body_of(self.schemas[told["input"]], self.ids) if told.get("input") else {}
        return _bound(thing, action)(**given)

    def post(self, thing: Any, action: str) -> Any:
        """An action that is not offered, so that the client binds none."""
        return self.client._post(f"{thing.links.self}/?action={action}", {})

    def change(self, name: str) -> Json:
        """What may be said anew of one of this type."""
        schema = self.schemas[name]
        fields = schema["resourceFields"] if "PUT" in schema["resourceMethods"] else {}
        return next(({word: f"another {word}"} for word in WORDS if fields.get(word, {}).get("update")), {})


def client_of(admin: Any, kind: str) -> Any:
    """One with the keys of a new account."""
    account = admin.wait_success(admin.create_account(kind=kind, name=kind))
    key = admin.wait_success(admin.create_apiKey(accountId=account.id))
    return cattle_client(admin._url, key.publicValue, key.secretValue)


def follow(thing: Any, link: str) -> Any:
    """By the method that the client bound for the link: an object or a collection."""
    bound = getattr(thing, f"{link}_link", None) or getattr(thing, link)
    return bound()


def _bound(thing: Any, action: str) -> Any:
    """A name that is taken already, as dict's update is, has another one."""
    return getattr(thing, f"{action}_action", None) or getattr(thing, action)


def actions(thing: Any) -> set[str]:
    """Those that it offers."""
    return set(thing.actions.__dict__)


def next_action(thing: Any, done: list[str], every: Mapping[str, Any]) -> str | None:
    """What it was not asked for yet; then whatever leads to its purge."""
    offered = actions(thing)
    if left := sorted(offered - set(done), key=_place):
        return left[0]
    if "purge" in every and "purge" not in done:
        return next((each for each in reversed(AWAY) if each in offered), None)
    return None


def _place(action: str) -> tuple[int, str]:
    return (LAST.index(action) if action in LAST else -1, action)


@contextlib.contextmanager
def refused(status: int, code: str, field: str | None = None) -> Iterator[None]:
    """It raises the client's ApiError, of which one can read what is wrong."""
    with pytest.raises(cattle.ApiError) as caught:
        yield
    error = caught.value.error
    assert (error.status, error.code) == (status, code), str(caught.value)
    assert error.__dict__.get("fieldName") == field, str(caught.value)
    assert error.message, "an error says what to do"
    assert f"{code} : {error.message}\n" in caught.value.args[1], "it is not just an API Error"
