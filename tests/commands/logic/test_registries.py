"""Which credential is told to an agent that pulls an image: in clear there, sealed everywhere else."""

from __future__ import annotations

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.logic import registries
from commands.resource import Json
from commands.turns.decide import Run
from commands.turns.world import World
from tests.support.story import Story, a_cloud

IMAGE = "docker:reg.example:5000/team/app:1"


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("nginx", "docker.io"),
        ("team/app:1", "docker.io"),
        ("index.docker.io/team/app", "docker.io"),
        ("localhost/app", "localhost"),
        ("Reg.Example:5000/app@sha256:0f", "reg.example:5000"),
        ("reg.example/team/app", "reg.example"),
    ],
)
def test_a_registry_is_what_looks_like_an_address_before_a_slash(name: str, registry: str) -> None:
    assert registries.registry_of(name) == registry


@pytest.mark.parametrize("written", ["reg.example:5000", "https://reg.example:5000/v1/", " REG.example:5000/ "])
def test_a_registry_may_be_written_as_people_do(written: str) -> None:
    assert registries.normal(written) == "reg.example:5000"


def a_private_image(*credentials: Json, account: int = 1) -> tuple[Story, Json | None]:
    """-> a cloud with these credentials, and whose is told of a private image of this account."""
    story = a_cloud()
    story.create("account", uuid="tenant", name="tenant", kind="user")
    story.create("account", uuid="other", name="other", kind="user")
    for each in credentials:
        given = {"kind": "registryCredential", "publicValue": "me", "secretValue": "s3cret", "accountId": 1, **each}
        story.create("credential", **{"data": {"registry": "reg.example:5000"}, **given})
    story.create("image", uuid=IMAGE, accountId=account, kind="docker")
    image = next(each for each in story.resources().values() if each.type == "image" and each.row["uuid"] == IMAGE)
    # What a story holds is not sealed: it is as if it had been opened.
    return story, registries.told(World(CATALOGUE, story.resources(), story.fleet), image).get("registryCredential")


def test_the_image_of_a_registry_brings_its_credential() -> None:
    assert a_private_image({})[1] == {"publicValue": "me", "secretValue": "s3cret", "registry": "reg.example:5000"}


@pytest.mark.parametrize(
    "credential", [{"data": {"registry": "another.example"}}, {"data": {}}, {"data": {"registry": 7}}, {"kind": "apiKey"}, {"accountId": 3}]
)
def test_another_registrys_kinds_or_tenants_credential_is_not_told(credential: Json) -> None:
    assert a_private_image(credential, account=2)[1] is None


def test_the_accounts_own_credential_is_taken_before_an_admins_and_the_newest_first() -> None:
    mine = ({"accountId": 2, "publicValue": "older"}, {"accountId": 2, "publicValue": "newer"}, {"accountId": 1, "publicValue": "admin"})
    told = a_private_image(*mine, account=2)[1]
    assert told is not None
    assert told["publicValue"] == "newer"
    assert (a_private_image(mine[2], account=2)[1] or {})["publicValue"] == "admin"


def test_a_credential_that_was_deactivated_is_not_told() -> None:
    story, _ = a_private_image({})
    credential = next(each for each in story.resources().values() if each.kind == "registryCredential")
    story.command(credential.stream, Run("deactivate"))
    image = next(each for each in story.resources().values() if each.row.get("uuid") == IMAGE)
    assert registries.told(World(CATALOGUE, story.resources(), story.fleet), image) == {}
