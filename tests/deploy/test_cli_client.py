"""The CLI's HTTP client against servers that misbehave: broken connections, busy answers, pages, streams, strangers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import client as client_module
from deploy.cli.app import build
from deploy.cli.client import Client
from deploy.cli.errors import NotAnswering, ServerRefused
from deploy.cli.things import Ambiguous, Unknown, engine_id, resolve
from tests.support.small_server import Answering, SmallServer, served

Answerer = Callable[["Handler"], None]


class Handler(Answering):
    """Hands each request to the next of the server's answerers; the last one stays."""

    protocol_version = "HTTP/1.1"

    def respond(self) -> None:
        server = self.server
        assert isinstance(server, Scripted)
        self.body = self.read()
        server.seen.append((self.command, self.path, dict(self.headers), self.body))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        answer(self)

    do_GET = do_POST = do_DELETE = respond


class Scripted(SmallServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answerer] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []


@pytest.fixture
def server() -> Iterator[Scripted]:
    with served(Scripted()) as server:
        yield server


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BUSY_SECONDS", 0.001)
    monkeypatch.setattr(client_module, "FOLLOW_SECONDS", 0.001)


def says(document: Any, status: int = 200) -> Answerer:
    return lambda handler: handler.say(document, status)


def hangs_up(handler: Handler) -> None:
    handler.close_connection = True


def error(status: int, code: str, message: str | None = None, field: str | None = None) -> Answerer:
    return says({"type": "error", "status": status, "code": code, "message": message, "fieldName": field}, status)


def test_a_write_whose_answer_was_lost_is_sent_again_under_the_same_key(server: Scripted) -> None:
    server.answers = [hangs_up, says({"id": "1i1"}, 201)]
    with Client(server.url) as client:
        assert client.post("/v1/containers", {"name": "web"}).document == {"id": "1i1"}
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in server.seen]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert [body for _, _, _, body in server.seen] == [b'{"name": "web"}'] * 2


def test_two_writes_have_two_keys(server: Scripted) -> None:
    server.answers = [says({})]
    with Client(server.url) as client:
        client.post("/v1/containers", {})
        client.delete("/v1/containers/1i1")
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.seen}) == 2


def test_a_server_that_hangs_up_always_does_not_answer(server: Scripted) -> None:
    server.answers = [hangs_up]
    with Client(server.url) as client, pytest.raises(NotAnswering, match=r"Corral does not answer at http://127\.0\.0\.1:"):
        client.get("/v1/hosts")
    assert len(server.seen) == 2


def test_a_busy_server_is_asked_again(server: Scripted) -> None:
    server.answers = [error(503, "Service Unavailable"), error(503, "Service Unavailable"), says({"data": []})]
    with Client(server.url) as client:
        assert client.get("/v1/hosts") == {"data": []}


def test_a_server_that_stays_busy_says_so_in_the_end(server: Scripted) -> None:
    server.answers = [error(503, "Service Unavailable", "the database does not answer")]
    with Client(server.url) as client, pytest.raises(ServerRefused, match="the database does not answer"):
        client.get("/v1/hosts")
    assert len(server.seen) == client_module.BUSY_TRIES


def test_what_is_so_just_now_is_asked_once(server: Scripted) -> None:
    server.answers = [error(503, "Service Unavailable", "agent-1 of rack-1 is not connected")]
    with Client(server.url) as client, pytest.raises(ServerRefused, match="not connected"):
        client.now("/v1/containers/1i1/stats")
    assert len(server.seen) == 1


def test_a_refusal_of_something_that_is_no_corral_says_so(server: Scripted) -> None:
    server.answers = [says(None, 404)]
    with Client(server.url) as client, pytest.raises(NotAnswering, match="something else answers there: status 404"):
        client.get("/v1/hosts")


def test_a_refusal_is_told_with_its_field(server: Scripted) -> None:
    server.answers = [error(422, "MissingRequired", None, "imageUuid")]
    with Client(server.url) as client, pytest.raises(ServerRefused, match=r"^imageUuid: MissingRequired$"):
        client.post("/v1/containers")


def test_without_a_key_where_one_is_needed_the_variables_are_named(server: Scripted) -> None:
    server.answers = [error(401, "Unauthorized", "keys are required")]
    with Client(server.url) as client, pytest.raises(ServerRefused, match="Set CORRAL_ACCESS_KEY and CORRAL_SECRET_KEY"):
        client.get("/v1/hosts")


def test_keys_of_the_environment_are_sent(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATTLE_ACCESS_KEY", "access")
    monkeypatch.setenv("CATTLE_SECRET_KEY", "secret")
    server.answers = [says({})]
    with Client(server.url) as client:
        client.get("/v1/hosts")
    assert server.seen[0][2]["Authorization"] == "Basic YWNjZXNzOnNlY3JldA=="


def test_a_stranger_at_the_port_is_recognised(server: Scripted) -> None:
    server.answers = [says(b"<html>hello</html>")]
    with Client(server.url) as client, pytest.raises(NotAnswering, match="something else answers there"):
        client.get("/v1/hosts")


def test_every_page_of_a_list_is_read(server: Scripted) -> None:
    following = f"{server.url}/v1/hosts?limit=1000&marker=m1"
    one, other = {"id": "1h1"}, {"id": "1h2"}
    server.answers = [says({"data": [one], "pagination": {"next": following}}), says({"data": [other], "pagination": {"next": None}})]
    with Client(server.url) as client:
        assert client.all("/v1/hosts", include=["agent", "instances"]) == [one, other]
    assert server.seen[0][1] == "/v1/hosts?limit=1000&include=agent&include=instances"
    assert server.seen[1][1] == "/v1/hosts?limit=1000&marker=m1"


def test_events_are_read_to_where_the_log_was_at_first(server: Scripted) -> None:
    page = [says({"data": [{"position": 1}], "head": 3, "next": 1}), says({"data": [{"position": 3}], "head": 9, "next": 3})]
    server.answers = list(page)
    with Client(server.url) as client:
        assert [each["position"] for each in client.events()] == [1, 3]
    assert server.seen[1][1] == "/v1/events?after=1&to=3&limit=1000"


def stream_of(*lines: bytes) -> Answerer:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for line in lines:
            handler.wfile.write(line + b"\n")
        handler.close_connection = True

    return answer


def test_a_stream_that_breaks_goes_on_behind_the_last_event(server: Scripted) -> None:
    server.answers = [stream_of(b'{"position": 5}', b"", b'{"position": 6}'), hangs_up, error(503, "x"), stream_of(b'{"position": 7}')]
    told: list[str] = []
    with Client(server.url) as client:
        assert [each["position"] for each in islice(client.follow(4, told.append), 3)] == [5, 6, 7]
    assert [path for _, path, _, _ in server.seen][-1] == "/v1/events?follow=true&after=6"
    assert told == ["Corral went away; waiting for it", "Corral is there again"]


def test_what_a_stream_says_beside_events_is_told_and_the_events_go_on(server: Scripted) -> None:
    away = {"type": "error", "status": 503, "message": "the database is away: try later"}
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in ({"position": 5}, away, {"position": 6}))
    server.answers = [lambda handler: handler.say(lines)]
    told: list[str] = []
    with Client(server.url) as client:
        assert [each["position"] for each in islice(client.follow(4, told.append), 2)] == [5, 6]
    assert told == ["Corral says: the database is away: try later"]


def test_who_follows_a_server_that_never_was_there_hears_so() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(NotAnswering):
        next(client.follow())


# --- names that need a server's answer ---


def instance(number: int, name: str, container: str = "", removed: str | None = None) -> dict[str, Any]:
    data = {"dockerContainer": {"Id": container}} if container else {}
    return {"id": f"1i{number}", "type": "container", "name": name, "state": "running", "removed": removed, "data": data}


def lists(*instances: dict[str, Any]) -> Answerer:
    """A server of these instances alone, that filters by name and uuid."""

    def answer(handler: Handler) -> None:
        path, _, query = handler.path.partition("?")
        name = next((part.partition("=")[2] for part in query.split("&") if part.startswith("name=")), None)
        uuid = next((part.partition("=")[2] for part in query.split("&") if part.startswith("uuid=")), None)
        if path != "/v1/instances":
            handler.say({"data": []} if "?" in handler.path else {"status": 404}, 200 if "?" in handler.path else 404)
            return
        found = [each for each in instances if (name is None or each["name"] == name) and (uuid is None or each.get("uuid") == uuid)]
        handler.say({"data": found, "pagination": None})

    return answer


def test_a_container_is_found_by_the_beginning_of_its_engine_s_id(server: Scripted) -> None:
    server.answers = [lists(instance(1, "web", "abcd1234" * 8), instance(2, "db", "abce1234" * 8))]
    with Client(server.url) as client:
        found = resolve(client, "abcd1", ("instance",))
        assert (found.id, engine_id(found.document)[:5]) == ("1i1", "abcd1")
        assert resolve(client, "ABCE").id == "1i2"
        with pytest.raises(Unknown):
            resolve(client, "abc", ("instance",))  # three letters are too few: a name, if anything
        with pytest.raises(Unknown):
            resolve(client, "abcf1", ("instance",))


def test_an_engine_s_id_that_begins_like_another_s_is_ambiguous(server: Scripted) -> None:
    server.answers = [lists(instance(1, "web", "abcd1234" * 8), instance(2, "db", "abcd5678" * 8))]
    with Client(server.url) as client, pytest.raises(Ambiguous) as ambiguous:
        resolve(client, "abcd")
    assert [each.stream for each in ambiguous.value.candidates] == ["instance-1", "instance-2"]
    assert "web" in str(ambiguous.value)


def test_a_name_is_looked_up_in_the_types_that_its_caller_has(server: Scripted) -> None:
    """A user has no instanceHostMaps, for one: 404."""
    answer = lists(instance(1, "web"))

    def of_a_user(handler: Handler) -> None:
        if handler.path.startswith("/v1/instances"):
            answer(handler)
        else:
            handler.say({"type": "error", "status": 404, "code": "Not Found", "message": "there is no such type"}, 404)

    server.answers = [of_a_user]
    with Client(server.url) as client:
        assert resolve(client, "web").id == "1i1"


def test_a_host_without_a_name_is_found_by_its_agent_s_as_it_is_shown(server: Scripted) -> None:
    def answer(handler: Handler) -> None:
        found: list[dict[str, Any]] = []
        if handler.path.startswith("/v1/agents?") and "name=rack" in handler.path:
            found = [{"id": "1a7", "name": "rack"}]
        elif handler.path == "/v1/hosts?limit=1000":
            found = [{"id": f"1h{each}", "name": None, "agentId": f"1a{each}"} for each in (6, 7)]
        handler.say({"data": found, "pagination": None})

    server.answers = [answer]
    with Client(server.url) as client:
        assert resolve(client, "rack", ("host",)).id == "1h7"


def test_images_of_a_machine_that_is_several_hosts_are_those_of_its_docker(server: Scripted) -> None:
    def answer(handler: Handler) -> None:
        found: Any = []
        if handler.path.startswith("/v1/agents?") and "name=rack" in handler.path:
            found = [{"id": "1a7", "name": "rack"}]
        elif handler.path == "/v1/hosts?limit=1000":
            found = [{"id": f"1h{each}", "name": None, "agentId": "1a7", "kind": kind} for each, kind in ((6, "libvirt"), (8, "docker"))]
        elif handler.path == "/v1/hosts/1h8/images":
            known = {"hostName": "rack", "names": ["nginx:1"], "digests": [], "id": "sha256:abcd", "size": 5e6, "createdTS": 0}
            handler.say({"data": [known], "unanswered": []})
            return
        handler.say({"data": found, "pagination": None})

    server.answers = [answer]
    shown = CliRunner().invoke(build(), ["images", "--host", "rack", "--url", server.url, "-o", "json"])
    assert shown.exit_code == 0, shown.output
    assert [each["names"] for each in json.loads(shown.output)["data"]] == [["nginx:1"]]


def test_a_name_goes_to_the_living(server: Scripted) -> None:
    server.answers = [lists(instance(1, "web", removed="2026-01-01T00:00:00Z"), instance(2, "web"))]
    with Client(server.url) as client:
        assert resolve(client, "web").id == "1i2"
    server.answers = [lists(instance(1, "web", removed="2026-01-01T00:00:00Z"))]
    with Client(server.url) as client:
        assert resolve(client, "web").id == "1i1"


@pytest.mark.parametrize("name", ["1i4", "h4"])
@pytest.mark.parametrize("removed", [None, "2026-01-01T00:00:00Z"])
def test_an_image_gives_way_to_an_instance_whatever_became_of_that(server: Scripted, name: str, removed: str | None) -> None:
    documents = {"instances": instance(4, "h4", removed=removed), "images": {"id": "1i4", "type": "image", "name": "h4", "state": "active"}}

    def answer(handler: Handler) -> None:
        path, _, query = handler.path.partition("?")
        found = documents.get(path.split("/")[2])
        if path.count("/") == 3:
            handler.say(found or {"status": 404}, 200 if found else 404)
        else:
            handler.say({"data": [found] if found and "name=h4" in query else [], "pagination": None})

    server.answers = [answer]
    with Client(server.url) as client:
        assert resolve(client, name).stream == "instance-4"
        assert resolve(client, name, ("image",)).stream == "image-4"
