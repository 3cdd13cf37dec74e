"""Every type of the live schemas, with Cattle's own client: found, followed, changed, asked for each action that it offers until its life
is over, and given each kind of wrong value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cattle
import pytest

from commands.catalogue.builtin import CATALOGUE
from gateway.access.kinds import KINDS
from tests.flows.everything import Everything, actions, client_of, follow, next_action, refused
from tests.gateway.samples import REFERS, body_of, createable
from tests.support.cattle_client import cattle_client
from tests.support.server import Server
from tests.support.waiting import until

Json = dict[str, Any]

CREATEABLE = sorted(
    {
        type.name
        for type in CATALOGUE.types.values()
        if type.stored and any("POST" in kind.rules.methods(type).collection for kind in KINDS.values())
    },
    key=lambda name: (-len(REFERS.get(name, ())), name not in ("container", "virtualMachine"), name),
)
"""By any kind of account. Those that hang on others first: what they hang on is removed in the end."""

COMES_WITH_OTHERS = ("port", "instanceLink", "volume")
"""Of a container that has them all."""

ALIVE = (*COMES_WITH_OTHERS, *CREATEABLE)

BESIDE: Mapping[str, tuple[str, ...]] = {"registrationToken": ("token", "registrationUrl")}
"""What a document has beside its schema's fields, as Cattle's does."""

TELLING = (
    "instance", "processInstance", "processExecution", "task", "taskInstance", "processDefinition", "resourceDefinition",
    "extensionPoint", "typeDocumentation", "schema",
)  # fmt: skip
"""What tells of the server itself: it is read, and has no life of its own."""

EMPTY = ("databasechangelog", "databasechangeloglock")
"""Cattle's own tables of its changes of tables, which Corral has none of."""

NO_LISTS = ("authorized", "configContent", "error", "subscribe")
"""Their GET answers something else: keys as text, files, events; an error is no thing."""


@pytest.fixture(scope="module")
def every(shared_home: Path) -> Iterator[Everything]:
    with Server(shared_home) as server:
        admin = cattle_client(f"{server.url}/v1")
        every = Everything(client_of(admin, "superadmin"))
        with every.client._session:
            assert sorted(createable(every.schemas)) == sorted(CREATEABLE)
            every.make_all()
            yield every


@pytest.fixture(scope="module")
def user(every: Everything) -> Iterator[Everything]:
    client = client_of(every.client, "user")
    with client._session:
        yield Everything(client)


@pytest.mark.parametrize("name", ALIVE)
def test_a_thing_is_found_by_what_it_is(every: Everything, name: str) -> None:
    made = every.seen(every.made[name])
    schema = every.schemas[name]
    fields = {key for each in every.schemas[made.type]["resourceFields"] for key in (each, f"{each}TS")}
    bound = {key for key, value in made.__dict__.items() if callable(value)}
    assert set(made.__dict__) - fields - bound <= {"id", "type", "links", "actions", *BESIDE.get(name, ())}
    assert repr(every.client.by_id(name, made.id)) == repr(made)

    filters = schema["collectionFilters"]
    of_it = {key: made[key] for key in filters if key in made and isinstance(made[key], str | int | bool)}
    until(lambda: every.listed(name, **of_it), lambda found: made.id in found)
    if made.type == "activeSetting":
        return  # those that are not kept are listed whatever is asked for, as Cattle does
    for modifiers, key in {tuple(filters[key]["modifiers"]): key for key in of_it if key != "id"}.items():
        for modifier in modifiers:
            found = every.listed(name, id=made.id, **{f"{key}_{modifier}": made[key]})
            assert (found == [made.id]) is (modifier in HOLDS), f"{key}_{modifier}={made[key]}"


HOLDS = ("eq", "prefix", "like", "gte", "lte", "notnull")
"""Modifiers by which a thing is found that has just this value."""


@pytest.mark.parametrize("name", ALIVE)
def test_links_lead_to_what_they_are_named_for(every: Everything, name: str) -> None:
    made = every.seen(every.made[name])
    told = CATALOGUE.type(made.type).links
    for link in made.links.__dict__:
        if link in ("self", *NOT_JSON):
            continue
        found = follow(made, link)
        if told[link].cardinality == "ref":
            assert found.id == made[told[link].via]
            continue
        assert found.type == "collection"
        assert {CATALOGUE.root_type(each.type).name for each in found} <= {CATALOGUE.root_type(told[link].to).name}
        assert all(each[told[link].via] == made.id for each in found if told[link].cardinality == "many")
    if names := [link for link in every.schemas[name]["includeableLinks"] if link in made.links]:
        [included] = every.client.list(name, id=made.id, include=names)
        assert not [link for link in names if callable(included[link])]


NOT_JSON = ("pem", "registrationUrl", "processes", "processDot", "resourceDot")
"""A key, a script, names and pictures: the client reads none of them."""


@pytest.mark.parametrize("name", ALIVE)
def test_words_are_changed_and_a_whole_thing_is_sent_back(every: Everything, name: str) -> None:
    made = every.seen(every.made[name])
    changes = every.change(name)
    if not changes:
        assert "PUT" not in every.schemas[name]["resourceMethods"]
        assert not hasattr(every.client, f"update_by_id_{name}")
        return
    changed = every.settled(every.client.update(made, made, changes))
    assert {key: changed[key] for key in changes} == changes
    back = every.settled(every.client.update_by_id(name, made.id, {key: made[key] for key in changes}))
    assert {key: back[key] for key in changes} == {key: made[key] for key in changes}


def test_nothing_that_is_listed_is_left_out(every: Everything) -> None:
    listed = {name for name, schema in every.schemas.items() if "GET" in schema["collectionMethods"]}
    assert listed == {*ALIVE, *TELLING, *EMPTY, *NO_LISTS}
    assert [len(every.client.list(name)) for name in EMPTY] == [0, 0]


def test_a_user_has_its_own_types_their_lives_and_nothing_of_others(every: Everything, user: Everything) -> None:
    names = createable(user.schemas)
    assert "container" in names
    for name in names:
        user.keep(name, user.settled(user.client.create(name, body_of(user.schemas[name], user.ids))))
    for name in names:
        assert user.made[name].id in user.listed(name)
        assert user.client.by_id(name, every.made[name].id) is None
        live(user, name)


@pytest.mark.parametrize("name", TELLING)
def test_what_the_server_tells_of_itself_is_read_and_cannot_be_made(every: Everything, name: str) -> None:
    assert not hasattr(every.client, f"create_{name}")
    for each in until(lambda: list(every.client.list(name)), bool)[:2]:
        assert every.client.by_id(name, each.id).id == each.id
        for link in each.links.__dict__:
            if link not in ("self", "collection", *NOT_JSON):
                follow(each, link)


@pytest.mark.parametrize("name", CREATEABLE)
def test_a_wrong_value_is_refused_by_the_limits_that_the_schema_tells(every: Everything, name: str) -> None:
    schema, client = every.schemas[name], every.client
    for each, told in schema["resourceFields"].items():
        if not told["create"]:
            continue
        for value, code in wrong(told):
            with refused(422, code, each):
                client.create(name, {each: value})
        if told["unique"]:
            with refused(422, "NotUnique", each):
                client.create(name, {each: every.made[name][each]})
        if told["required"] and told["default"] is None:
            body = {key: value for key, value in body_of(schema, every.ids).items() if key != each}
            with refused(422, "MissingRequired", each):
                client.create(name, body)
    for missing in ("99999999", "0" * 18):
        assert client.by_id(name, every.made[name].id.rstrip("0123456789") + missing) is None
        assert client.by_id(name, missing) is None
    with refused(405, "Method not allowed"):
        client._put(schema["links"]["collection"], {})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ALIVE)
def test_a_type_lives_as_its_schema_says(every: Everything, name: str) -> None:
    live(every, name)


def live(every: Everything, name: str) -> None:
    """Each action that is offered, until nothing is left of it."""
    thing = every.seen(every.made[name])
    offers = every.schemas[thing.type]["resourceActions"]
    done: list[str] = []
    while (action := next_action(thing, done, offers)) is not None:
        again = action in done
        done.append(action)
        if again and action == "remove" and "DELETE" in every.schemas[thing.type]["resourceMethods"]:
            answer = every.client.delete(thing)
        else:
            answer = every.act(thing, action)
        output = offers[action]["output"]
        assert CATALOGUE.root_type(answer.type).name == CATALOGUE.root_type(output).name
        why = NOWHERE_TO_GO if action == "migrate" and thing.get("requestedHostId") else FAILS.get((name, action))
        if why is not None:
            with pytest.raises(cattle.ClientApiError, match=why):
                every.settled(answer)
        else:
            every.settled(answer)
            every.settled(thing)
        thing = every.seen(thing)
    if "purge" in offers and (name, "purge") not in FAILS:
        assert thing.state == "purged"
    for action in set(offers) - actions(thing):
        with refused(422, "ActionNotAvailable"):
            every.post(thing, action)
    with refused(422, "InvalidAction"):
        every.post(thing, "nothing")


NOWHERE_TO_GO = "it moves away from there; .*: the request names other hosts"
"""What is asked for on one host moves to no other."""

FAILS: Mapping[tuple[str, str], str] = {
    ("instanceHostMap", "activate"): "sample is running: its map to a host becomes active with its start",
    ("instanceHostMap", "restore"): "can't be restored: instanceHostMap-[0-9]+ has taken its place. Remove that one first",
    ("nic", "purge"): "can't be purged: its instance may run with it. Stop that first",
    ("ipPool", "acquire"): "ip pool 1 has no active subnet: give it one, or activate its subnet",
}
"""What is begun, and then fails for the state of another thing: what the client raises when it waits for that."""


def wrong(told: Json) -> Iterator[tuple[Any, str]]:
    """Values that a field does not take, and the code with which it says so."""
    kind, limited = told["type"].partition("[")[0], told["options"] or told["validChars"]
    if not told["nullable"]:
        yield None, "NotNullable"
    match kind:
        case "int":
            number: Any
            for number in ("seven", {}, 1.5, 2**70):
                yield number, "InvalidFormat"
            yield from _beyond(told)
        case "boolean":
            yield "maybe", "InvalidFormat"
        case "date":
            yield "someday", "InvalidDateFormat"
        case "map":
            yield "text", "InvalidFormat"
        case "array":
            yield [None], "NotNullable"
        case "reference":
            for each in ("1x99999999", "5", "nothing"):
                yield each, "InvalidReference"
        case "string" | "enum" | "password":
            yield {"a": 1}, "InvalidFormat"
            yield "a\0", "InvalidCharacters"
            if told["options"]:
                yield "none of them", "InvalidOption"
            if told["validChars"]:
                yield "\u00a7", "InvalidCharacters"
            if told["maxLength"] is not None and not limited:
                yield "x" * (told["maxLength"] + 1), "MaxLengthExceeded"
            if told["minLength"] and not limited:
                yield "x" * (told["minLength"] - 1), "MinLengthExceeded"


def _beyond(told: Json) -> Iterator[tuple[int, str]]:
    if told["min"] is not None:
        yield told["min"] - 1, "MinLimitExceeded"
    if told["max"] is not None:
        yield told["max"] + 1, "MaxLimitExceeded"
