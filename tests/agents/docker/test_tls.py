"""Engines on other machines: over TCP, and over TLS with certificates on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.docker import DockerDriver, EngineTls, NoEngine, engine_tls
from agents.docker.tls import told
from agents.driver import DriverError
from tests.agents.docker.box import a_docker_box
from tests.agents.orders import Ear
from tests.support.certificates import Authority
from tests.support.lab import LabHost, names
from tests.support.tls_front import a_tls_front


@dataclass(frozen=True, slots=True)
class TlsEngine:
    host: LabHost
    url: str
    folder: Path
    """ca.pem, cert.pem and key.pem of one that it lets in."""


@pytest.fixture
def engine(docker_hosts: dict[str, LabHost], tmp_path: Path) -> Iterator[TlsEngine]:
    """A real engine that speaks TLS alone."""
    host, authority = docker_hosts[names()[0]], Authority.new()
    folder = authority.write(tmp_path / "certs").parent
    authority.vouch(folder, "agent")
    server = authority.vouch(tmp_path / "server", "engine")
    with a_tls_front(host.address, 2375, folder / "ca.pem", *server) as port:
        yield TlsEngine(host, f"tcp://127.0.0.1:{port}", folder)


async def test_containers_run_on_an_engine_behind_mutual_tls(
    engine: TlsEngine, ear: Ear, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority.new("others").write(tmp_path, "others")))
    driver = DockerDriver(engine.url, tls=EngineTls(engine.folder))
    async with a_docker_box(driver, engine.host, ear, nats_url, tmp_path / "agent") as box:
        assert await box.printed(box.container("echo over tls")) == "over tls\n"


async def test_containers_run_on_an_engine_over_tcp(docker_hosts: dict[str, LabHost], ear: Ear, nats_url: str, tmp_path: Path) -> None:
    host = docker_hosts[names()[0]]
    async with a_docker_box(DockerDriver(f"tcp://{host.address}:2375"), host, ear, nats_url, tmp_path / "agent") as box:
        web = box.container()
        fields = (await box.start(web)).data["instance"]["+data"]["+fields"]
        assert fields["dockerHostIp"] == host.address, "its published ports are reached where the engine is"


async def away(url: str, tls: EngineTls | None) -> str:
    driver = DockerDriver(url, tls=tls)
    try:
        with pytest.raises(NoEngine) as caught:
            await driver.engine.look(lambda client: client.ping())
        return str(caught.value)
    finally:
        await driver.close()


async def test_who_shows_a_strangers_certificate_is_told_whose_is_not_believed(engine: TlsEngine, tmp_path: Path) -> None:
    stranger = Authority.new("stranger")
    stranger.vouch(engine.folder.parent / "theirs")
    (engine.folder.parent / "theirs" / "ca.pem").write_bytes((engine.folder / "ca.pem").read_bytes())
    assert "not believe the agent's certificate" in await away(engine.url, EngineTls(engine.folder.parent / "theirs"))

    stranger.write(engine.folder)
    assert "its certificate is not believed" in await away(engine.url, EngineTls(engine.folder))


async def test_without_verifying_the_engine_any_will_do(engine: TlsEngine) -> None:
    Authority.new("stranger").write(engine.folder)
    driver = DockerDriver(engine.url, tls=EngineTls(engine.folder, verify=False))
    try:
        with pytest.warns(match="Unverified HTTPS request"):
            assert await driver.engine.look(lambda client: client.ping())
    finally:
        await driver.close()


async def test_tls_where_there_is_none_and_none_where_there_is_are_named(engine: TlsEngine) -> None:
    assert "speaks no TLS" in await away(f"tcp://{engine.host.address}:2375", EngineTls(engine.folder))
    assert "can't be reached" in await away(engine.url, None)
    assert "speaks TLS alone" in str(told("Client sent an HTTP request to an HTTPS server.", None)), "so Docker's own TLS says it"


async def test_a_file_that_is_missing_is_named_before_anybody_is_asked(engine: TlsEngine) -> None:
    (engine.folder / "key.pem").unlink()
    driver = DockerDriver(engine.url, tls=EngineTls(engine.folder))
    with pytest.raises(DriverError, match=r"where key\.pem can't be found.*--docker-cert-path"):
        await driver.engine.look(lambda client: client.ping())
    await driver.close()


@pytest.mark.parametrize(
    ("folder", "verify", "environment", "expected"),
    [
        (None, None, {}, None),
        (None, None, {"DOCKER_TLS_VERIFY": ""}, None),
        (None, None, {"DOCKER_TLS_VERIFY": "1"}, (Path.home() / ".docker", True)),
        (None, None, {"DOCKER_CERT_PATH": "/c"}, (Path("/c"), False)),
        (None, None, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"}, (Path("/c"), True)),
        (Path("/given"), None, {"DOCKER_CERT_PATH": "/c"}, (Path("/given"), True)),
        (Path("/given"), False, {"DOCKER_TLS_VERIFY": "1"}, (Path("/given"), False)),
        (None, True, {}, (Path.home() / ".docker", True)),
    ],
)
def test_options_win_over_what_docker_s_variables_say(
    folder: Path | None, verify: bool | None, environment: dict[str, str], expected: tuple[Path, bool] | None
) -> None:
    found = engine_tls(folder, verify, environment)
    assert (None if found is None else (found.folder, found.verify)) == expected
