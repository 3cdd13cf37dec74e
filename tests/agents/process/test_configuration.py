"""config.update, carried out by an agent against a small server that serves items as Corral does; the real one is met in tests/flows."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from agents.driver import DriverError
from agents.joining.credentials import Credentials
from agents.process.configuration import Configuration, read_archive
from commands.config.archive import Version, archive
from commands.config.sources import File, Item
from tests.support.small_server import Answering, SmallServer, served


class Shelf:
    """Items by name, and what was acknowledged."""

    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}
        self.said: list[tuple[str, str]] = []
        self.asked: list[tuple[dict[str, list[str]], str | None]] = []
        self.url = ""

    def put(self, name: str, script: str = "true", version: int = 1, current: str | None = None) -> str:
        item = Item(name, {"apply.sh": File(script.encode(), True), "deep/file": File(b"x", False)})
        served = Version(version, item.source)
        self.items[name] = archive(item, served, current)
        return str(served)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()

    class Handler(Answering):
        def do_GET(self) -> None:
            name, query = self._asked()
            shelf.asked.append((query, self.headers["Authorization"]))
            body = shelf.items.get(name)
            self.say(body or {}, 404 if body is None else 200)

        def do_PUT(self) -> None:
            name, query = self._asked()
            shelf.said.append((name, query["version"][0]))
            self.say({})

        def _asked(self) -> tuple[str, dict[str, list[str]]]:
            parts = urlsplit(self.path)
            return parts.path.rpartition("/")[2], parse_qs(parts.query)

    with served(SmallServer(("127.0.0.1", 0), Handler)) as server:
        shelf.url = f"{server.url}/v1"
        yield shelf


async def keys(agent: int) -> Credentials | None:
    return Credentials("key", "secret")


def update(shelf: Shelf, *names: str) -> dict[str, object]:
    return {"configUrl": shelf.url, "items": [{"name": name, "requestedVersion": 1} for name in names]}


async def test_an_item_is_put_into_force_applied_and_acknowledged(shelf: Shelf, tmp_path: Path) -> None:
    version = shelf.put("one", 'echo "$CATTLE_CONFIG_URL $CATTLE_ACCESS_KEY" >../../applied; echo done')
    configuration = Configuration(keys, tmp_path / "config")
    answer = await configuration.update(7, update(shelf, "one"))
    assert answer == {"exitCode": 0, "output": f"one {version}: done"}
    assert shelf.said == [("one", version)]
    assert (tmp_path / "config" / "one" / "deep" / "file").read_bytes() == b"x"
    assert (tmp_path / "config" / "applied").read_text() == f"{shelf.url} key\n"
    assert shelf.asked == [({}, "Basic a2V5OnNlY3JldA==")]

    # The server says that it is there already: nothing is run.
    broken = Item("one", {"apply.sh": File(b"exit 1", True)})
    shelf.items["one"] = archive(broken, Version(1, version.removeprefix("1-")), version)
    await configuration.update(7, update(shelf, "one"))
    assert shelf.asked[-1][0] == {"current": [version]}
    assert shelf.said == [("one", version)] * 2


async def test_an_item_that_is_told_of_twice_at_once_is_put_into_force_once_after_the_other(shelf: Shelf, tmp_path: Path) -> None:
    version = shelf.put("one", "sleep 0.3; echo x >>../../applied")
    configuration = Configuration(keys, tmp_path / "config")
    for answer in await asyncio.gather(*(configuration.update(7, update(shelf, "one")) for _ in range(2))):
        assert answer["exitCode"] == 0
    assert shelf.said == [("one", version)] * 2
    assert (tmp_path / "config" / "applied").read_text() == "x\nx\n"
    assert [each.name for each in (tmp_path / "config").iterdir() if each.is_dir()] == ["one"]


async def test_what_can_not_be_applied_is_not_acknowledged_and_keeps_none_of_the_others(shelf: Shelf, tmp_path: Path) -> None:
    before = shelf.put("broken", "true")
    configuration = Configuration(keys, tmp_path)
    await configuration.update(7, update(shelf, "broken"))
    shelf.put("broken", "echo no space left; exit 3", version=2)
    good = shelf.put("good")
    with pytest.raises(DriverError, match=r"broken: its apply\.sh ended with 3: no space left; absent: GET .* answered 404") as failed:
        await configuration.update(7, update(shelf, "broken", "absent", "good", "../evil"))
    assert "'../evil' is no item's name" in str(failed.value)
    assert shelf.said == [("broken", before), ("good", good)]
    assert (tmp_path / "broken" / "version").read_text() == before  # what was in force stays so


@pytest.mark.parametrize("url", ["file:///etc", "server:8080/v1", "http:///v1"])
async def test_what_is_no_address_of_a_server_is_not_asked(url: str) -> None:
    with pytest.raises(DriverError, match=r"is no address of a server: it must look like http://server:8080"):
        await Configuration(keys).update(7, {"configUrl": url, "items": [{"name": "one"}]})


async def test_an_agent_without_keys_says_who_it_is_and_one_without_a_folder_only_fetches(shelf: Shelf) -> None:
    async def none(agent: int) -> Credentials | None:
        return None

    version = shelf.put("one", "exit 1")
    await Configuration(none, url=shelf.url).update(7, {**update(shelf, "one"), "configUrl": None})
    assert shelf.asked == [({"agentId": ["1a7"]}, None)]
    assert shelf.said == [("one", version)]
    with pytest.raises(DriverError, match=r"set cattle\.config\.url"):
        await Configuration(none).update(7, {"items": []})


def test_an_archive_that_is_not_what_its_sums_say_is_refused() -> None:
    item = Item("one", {"apply.sh": File(b"true", True)})
    version = Version(1, item.source)
    assert read_archive("one", archive(item, version)).version == str(version)
    with pytest.raises(DriverError, match="none of an item"):
        read_archive("two", archive(item, version))
    with pytest.raises(DriverError, match="can't be read"):
        read_archive("one", b"no archive")
    other = archive(Item("one", {"apply.sh": File(b"rm -rf", True)}), version)
    with pytest.raises(DriverError, match=r"of the archive is not what SHA1SUMS says"):
        read_archive("one", mixed(archive(item, version), other))


def mixed(sums_of: bytes, files_of: bytes) -> bytes:
    """The files of one archive under the sums of another."""
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(sums_of), mode="r:gz") as sums,
        tarfile.open(fileobj=io.BytesIO(files_of), mode="r:gz") as files,
        tarfile.open(fileobj=made, mode="w") as tar,
    ):
        for each in files:
            source = sums if "SHA1SUMS" in each.name else files
            entry = source.getmember(each.name)
            tar.addfile(entry, source.extractfile(entry) if entry.isfile() else None)
    return gzip.compress(made.getvalue())
