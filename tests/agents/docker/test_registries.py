"""Images that a real engine pulls from a real registry: private ones, by tag and by digest, and how far they are meanwhile."""

from __future__ import annotations

import errno
import secrets
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from agents.docker.pulling import Layers, load, split_name
from agents.driver import DriverError
from agents.live import Question
from agents.wire import Message
from tests.agents.docker.box import SECONDS, DockerBox
from tests.agents.orders import command, in_pool
from tests.support.registry import PASSWORD, USER, RunningRegistry, a_registry


@pytest.fixture
def pulled(box: DockerBox) -> Iterator[list[str]]:
    """Images to remove from the engine at the end."""
    names: list[str] = []
    yield names
    for name in names:
        for each in box.of_image(name):
            box.client.remove_container(each["Id"], force=True)
        box.client.remove_image(name, force=True)


def credential(registry: RunningRegistry, password: str = PASSWORD) -> dict[str, Any]:
    return {"registryCredential": {"publicValue": USER, "secretValue": password, "registry": registry.address}}


def a_name(registry: RunningRegistry) -> str:
    return f"{registry.address}/team/app-{secrets.token_hex(4)}"


async def activate(box: DockerBox, name: str, **image: Any) -> Message:
    return await box.ear.ask(command("storage.image.activate", in_pool(f"docker:{name}", **image), agent=box.ear.agent), SECONDS)


async def images(box: DockerBox) -> list[dict[str, Any]]:
    """As the engine lists them."""
    asked = box.driver.live(Question(query="q", verb="images", instance={}), nothing())
    return [image async for piece in asked for image in piece["listed"]]


async def nothing() -> AsyncIterator[dict[str, Any]]:
    yield {"eof": True}


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_a_private_image_is_pulled_by_who_has_the_credential(box: DockerBox, pulled: list[str], auth: str) -> None:
    with a_registry(box.host, "--auth", auth) as registry:
        name = f"{a_name(registry)}:1.2"
        denied = await activate(box, name)
        assert denied.transitioning == "error"
        assert "credential of kind registryCredential" in str(denied.transitioningMessage)
        wrong = await activate(box, name, **credential(registry, "another"))
        assert wrong.transitioning == "error"
        assert USER in str(wrong.transitioningMessage)
        assert "another" not in str(wrong)

        pulled.append(name)
        told = await activate(box, name, **credential(registry))
        assert told.transitioning is None, told.transitioningMessage
        assert told.data["+data"]["dockerImage"].items() >= {"fullName": name, "tag": "1.2"}.items()
    assert (await activate(box, name)).transitioning is None, "it is there: the registry is not asked"
    assert await box.printed(box.container("echo from the registry", imageUuid=f"docker:{name}")) == "from the registry\n"


async def test_an_image_is_pulled_by_its_digest_and_runs_by_it(box: DockerBox, pulled: list[str]) -> None:
    with a_registry(box.host, private=False) as registry:
        qualified = a_name(registry)
        name = f"{qualified}@{registry.digest}"
        pulled.append(name)
        told = (await activate(box, name)).data["+data"]["dockerImage"]
        assert (told["fullName"], told["qualifiedName"], told["tag"]) == (name, qualified, registry.digest)
        assert await box.printed(box.container("echo by digest", imageUuid=f"docker:{name}")) == "by digest\n"
        (listed,) = [each for each in await images(box) if name in (each["RepoDigests"] or ())]
        assert not listed["RepoTags"] or listed["RepoTags"] == ["<none>:<none>"]
        assert listed["Id"] == told["id"]
        both = await activate(box, f"{qualified}:7@{registry.digest}")
        assert both.data["+data"]["dockerImage"]["fullName"] == name, "a digest says more than the tag beside it"
        missing = await activate(box, f"{qualified}@sha256:{'0' * 64}")
        assert "Docker could not pull" in str(missing.transitioningMessage)


async def test_an_image_that_was_removed_meanwhile_is_pulled_again_with_its_credential(box: DockerBox, pulled: list[str]) -> None:
    with a_registry(box.host) as registry:
        name = f"{a_name(registry)}:1"
        web = box.container("echo again", imageUuid=f"docker:{name}")
        web["image"] = {"uuid": f"docker:{name}", **credential(registry)}
        pulled.append(name)
        assert await box.printed(web) == "again\n"


async def test_a_pull_tells_how_far_it_is(box: DockerBox, pulled: list[str]) -> None:
    with a_registry(box.host, "--padding", "3000000", "--rate", "1000000", private=False) as registry:
        pulled.append(f"{a_name(registry)}:1")
        answer = await activate(box, pulled[0])
        assert answer.transitioning is None, answer.transitioningMessage
    told = [each for each in box.ear.progress((answer.previousIds or [""])[0]) if each.transitioningProgress is not None]
    percent = [each.transitioningProgress for each in told if each.transitioningProgress is not None]
    assert percent == sorted(percent)
    assert any(0 < each < 100 for each in percent)
    assert all(str(each.transitioningMessage).startswith(f"Pulling {pulled[0]}: ") for each in told)
    assert all(str(each.transitioningMessage).endswith(" MB") for each in told)


async def test_images_are_those_that_the_engine_has(box: DockerBox) -> None:
    ours = next(each for each in await images(box) if box.host.image in (each["RepoTags"] or ()))
    inspected = box.client.inspect_image(box.host.image)
    assert (ours["Id"], ours["Size"]) == (inspected["Id"], inspected["Size"])


def test_what_an_engine_tells_of_layers_adds_up() -> None:
    layers = Layers()
    assert (layers.percent, str(layers)) == (None, "asking its registry")
    for line in (
        {"status": "Pulling from team/app", "id": "1.2"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 1_000_000, "total": 4_000_000}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 500_000, "total": 1_000_000}},
        {"status": "Extracting", "id": "b", "progressDetail": {"current": 1, "total": 9_000_000}},
    ):
        layers.note(line)
    assert (layers.percent, str(layers)) == (30, "1.5 of 5.0 MB")
    layers.note({"status": "Download complete", "id": "a"})
    assert layers.percent == 90


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("app", ("app", "latest")),
        ("reg.example:5000/app", ("reg.example:5000/app", "latest")),
        ("reg.example:5000/app:2", ("reg.example:5000/app", "2")),
        ("reg.example:5000/app:2@sha256:0f", ("reg.example:5000/app", "sha256:0f")),
    ],
)
def test_a_name_is_a_repository_and_a_tag_or_digest(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_a_file_that_the_agent_can_not_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))  # root, as whom tests may run, may read all

    (tmp_path / "app.tar").write_bytes(b"")
    monkeypatch.setattr(tarfile, "open", denied)
    with pytest.raises(DriverError, match=r"the agent's user must be able to read .*app\.tar \(Permission denied\)"):
        load(docker.APIClient(version="1.41"), "app:1", f"file://{tmp_path}/app.tar", tmp_path, lambda text, percent: None)
