"""The resource types as Cattle's clients know them."""

from __future__ import annotations

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.filters import ORDERED, SAME, TEXT, filters_of
from commands.catalogue.ids import api_id, number_of, prefix_of
from commands.catalogue.model import ResourceType
from commands.catalogue.types import TYPES

STORED = [type for type in TYPES if type.stored]
LIVING = [type for type in STORED if "state" in type.fields]


@pytest.mark.parametrize("type", LIVING, ids=lambda type: type.name)
def test_what_has_a_state_has_what_every_row_has(type: ResourceType) -> None:
    assert {"id", "uuid", "name", "description", "kind", "state", "created", "removed", "removeTime", "data"} <= type.fields.keys()
    assert not type.fields["state"].admin.strip("r")


@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_who_may_do_what_is_said_in_letters(type: ResourceType) -> None:
    assert not type.stored or type.fields["id"].store == "col"
    for field in type.fields.values():
        assert set(field.admin + field.user) <= set("rcu"), field.name
        assert set(field.user) <= set(field.admin) or field.name in ("requestedHostId",), field.name


def test_every_type_of_a_process_has_a_state() -> None:
    assert {process.type for process in CATALOGUE.processes.values()} <= {type.name for type in LIVING}


@pytest.mark.parametrize("type", STORED, ids=lambda type: type.name)
def test_links_go_through_fields_that_are_there(type: ResourceType) -> None:
    for link in type.links.values():
        if link.cardinality == "ref":
            assert type.fields[link.via].reference == link.to
        elif link.cardinality == "many":
            assert CATALOGUE.type(link.to).fields[link.via].reference == CATALOGUE.root_type(type.name).name
        else:
            through = CATALOGUE.type(link.through or "")
            assert through.fields[link.via].reference == CATALOGUE.root_type(type.name).name
            assert through.fields[link.other_via or ""].reference == link.to


def test_children_share_their_parents_prefix() -> None:
    for type in TYPES:
        if type.parent:
            parent = CATALOGUE.type(type.parent)
            assert type.name in parent.children
            assert type.prefix == parent.prefix


def test_who_owns_whom() -> None:
    owners = {type.name: type.owner for type in TYPES if type.owner}
    of_an_instance = {"volume": "instanceId", "instanceHostMap": "instanceId", "credentialInstanceMap": "instanceId"}
    assert owners.items() >= {**of_an_instance, "volumeStoragePoolMap": "volumeId"}.items()
    for name, via in owners.items():
        assert CATALOGUE.type(name).fields[via].reference in CATALOGUE.types


def test_filters_follow_from_the_fields() -> None:
    container = filters_of(CATALOGUE.type("container"))
    assert container["imageId"] == SAME
    assert container["state"] == SAME
    assert container["name"] == TEXT
    assert container["instanceTriggeredStop"] == TEXT
    assert container["created"] == ORDERED
    assert container["memoryMb"] == ORDERED
    assert "imageUuid" not in container  # no column of its own
    assert "data" not in container
    assert filters_of(CATALOGUE.type("host"))["isPublic"] == SAME
    assert "secretValue" not in filters_of(CATALOGUE.type("credential"), user=True)


def test_ids() -> None:
    assert api_id("container", 54, CATALOGUE) == "1i54"
    assert api_id("imageStoragePoolMap", 3, CATALOGUE) == "1ispm3"
    assert prefix_of("agentGroup", CATALOGUE) == "1ag"
    assert number_of("1i54") == 54
    assert number_of("1zz!54") == 54
    for text in ("54", "i54", "1i", "1i5x", "", "1i-5", "1i\u0665", "1i" + "9" * 19):
        assert number_of(text) is None
    assert number_of("54", plain=True) == 54
    assert number_of("\u0665", plain=True) is None


def test_secrets_are_marked() -> None:
    assert CATALOGUE.type("apiKey").fields["secretValue"].secret
    assert CATALOGUE.type("virtualMachine").fields["libvirtVncPassword"].secret
    assert CATALOGUE.type("register").fields["secretKey"].secret


def test_a_state_that_is_mere_text_is_filtered_as_text() -> None:
    assert filters_of(CATALOGUE.type("agentGroup"))["state"] == TEXT


def test_prefixes_are_of_the_form_that_ids_are_read_by() -> None:
    for type in TYPES:
        assert number_of(f"{type.prefix}7") == 7, type.name
