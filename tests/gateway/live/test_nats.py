"""corral.instance.<ref>.<verb> as any client of NATS asks it."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from agents.live import WINDOW, Frame, Question, piece_subject, question_subject
from eventstore import Event, Write
from eventstore.postgres import PostgresStore
from gateway.live import listening
from gateway.live.readers import FLUSH_EVERY, MOST_INPUT
from tests.gateway.access.test_access import account_with_key
from tests.gateway.live.conftest import SECONDS, Cloud
from tests.support.http import serving


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    client = await nats.connect(nats_url)
    yield client
    await client.close()


async def asked(client: Client, ref: str, verb: str, payload: Any = None, **headers: str) -> dict[str, Any]:
    """The first, and of most verbs the only, message that comes back: as `nats request` shows it."""
    body = json.dumps(payload).encode() if payload is not None else b""
    answer = await client.request(f"corral.instance.{ref}.{verb}", body, timeout=SECONDS, headers=headers or None)
    return dict(json.loads(answer.data))


class Stream:
    """An answer of several messages, as `nats request --replies=0` hears it."""

    def __init__(self, client: Client, messages: asyncio.Queue[Msg], end: Any) -> None:
        self.client, self.messages, self.end = client, messages, end

    @classmethod
    async def of(cls, client: Client, subject: str, payload: Any) -> Stream:
        messages: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=messages.put)
        await client.publish(subject, json.dumps(payload).encode(), reply=inbox)
        return cls(client, messages, subscription.unsubscribe)

    async def next(self) -> tuple[dict[str, Any], str]:
        """-> what it says, and where it is answered"""
        async with asyncio.timeout(SECONDS):
            while True:
                message = await self.messages.get()
                if (document := json.loads(message.data)) != {}:
                    return document, message.reply


async def test_one_request_tells_what_its_engine_knows(cloud: Cloud, client: Client) -> None:
    for ref in (cloud.id, cloud.number):
        answer = await asked(client, ref, "inspect")
        assert (answer["seq"], answer["end"]) == (0, {"live": True})
        assert answer["data"]["state"] == "running"


async def test_a_stream_comes_in_numbered_pieces_with_an_end(cloud: Cloud, client: Client) -> None:
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.logs", {"tail": 1})
    (first, _), (last, _) = await stream.next(), await stream.next()
    assert first["data"]["lines"][0]["text"].endswith("is running, made 1 times")
    assert (first["seq"], last) == (0, {"seq": 1, "end": {}})


async def test_a_reader_with_credit_is_sent_as_much_and_more_when_it_says_so(cloud: Cloud, client: Client) -> None:
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.logs", {"follow": True, "credit": 3})
    got = [await stream.next() for _ in range(3)]
    await asyncio.sleep(1)
    written = cloud.driver.written
    await asyncio.sleep(1)
    assert stream.messages.empty()
    assert cloud.driver.written == written, "the agent is asked no further, either"
    await client.publish(got[-1][1], b'{"more": 2}')
    more = [await stream.next() for _ in range(2)]
    assert [document["seq"] for document, _ in (*got, *more)] == [0, 1, 2, 3, 4]
    await stream.end()
    await client.publish(got[-1][1], b'{"more": 2}')
    await cloud.until(lambda: cloud.driver.under_way == 0)


async def test_a_reader_that_vanishes_is_noticed_also_when_there_is_nothing_to_tell(cloud: Cloud, client: Client) -> None:
    for quiet in (False, True):
        cloud.driver.quiet = quiet
        stream = await Stream.of(client, f"corral.instance.{cloud.id}.logs", {"follow": True})
        for _ in range(1 if quiet else 2 * FLUSH_EVERY):
            await stream.next()
        await stream.end()
        await cloud.until(lambda: cloud.driver.under_way == 0)


async def test_what_one_agent_says_to_what_another_was_asked_counts_for_nothing(cloud: Cloud, client: Client) -> None:
    cloud.driver.quiet = True
    number = cloud.agent.number
    questions = await client.subscribe(question_subject(number, "*"))
    await client.flush()
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.logs", {"follow": True})
    assert (await stream.next())[0]["data"]["lines"][0]["text"] == "0 "
    query = Question.decode((await questions.next_msg(timeout=SECONDS)).data).query
    for forged in (Frame(seq=1, data={"lines": []}), Frame(seq=1, end={}), Frame(gone="it is over")):
        await client.publish(piece_subject(number + 1, query), forged.encode())
    await client.flush()
    await cloud.agent.stop(grace=0)
    assert "stops: ask again" in (await stream.next())[0]["end"]["error"]


async def test_actions_are_commands_accepted_as_over_http(cloud: Cloud, client: Client) -> None:
    stopping = await asked(client, cloud.id, "stop")
    assert (stopping["data"]["id"], stopping["data"]["state"], stopping["end"]) == (cloud.id, "stopping", {})
    assert stopping["data"]["links"]["self"] == f"{cloud.api.url}/v1/containers/{cloud.id}"
    await cloud.until_state("stopped")
    refused = await asked(client, cloud.id, "stop")
    assert (refused["end"]["status"], refused["end"]["code"]) == (422, "ActionNotAvailable")
    assert (await asked(client, cloud.number, "start"))["data"]["state"] == "starting"
    await cloud.until_state("running")
    assert (await asked(client, cloud.id, "restart"))["data"]["state"] == "restarting"
    await cloud.until_state("running")
    assert (await asked(client, cloud.id, "remove"))["data"]["state"] in ("stopping", "removing")
    await cloud.until_state("removed")


async def test_a_command_that_comes_twice_with_one_key_is_carried_out_once(cloud: Cloud, client: Client) -> None:
    first = await asked(client, cloud.id, "stop", **{"Idempotency-Key": "one"})
    await cloud.until_state("stopped")
    again = await asked(client, cloud.id, "stop", **{"Idempotency-Key": "one"})
    assert "error" not in again["end"], again
    assert again["data"]["id"] == first["data"]["id"]


async def test_a_command_that_is_not_accepted_in_time_says_what_to_do(
    cloud: Cloud, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "COMMAND_SECONDS", 0)
    end = (await asked(client, cloud.id, "stop"))["end"]
    assert (end["status"], end["code"]) == (503, "Service Unavailable")
    assert "ask with the same Idempotency-Key" in end["error"]


@pytest.mark.parametrize(("ref", "verb", "payload", "status", "says"), [
    ("1i1", "dance", None, 404, "no verb 'dance': it has"),
    ("1i1", "top", None, 501, "can't answer top: they answer exec, inspect, logs, stats"),
    ("1i999", "logs", None, 404, "1i999"),
    ("web", "logs", None, 404, "name it by its id"),
    ("abcdef", "logs", None, 404, "engine's id that begins with abcdef"),
    ("1i1", "logs", {"tail": "x"}, 422, "tail is a number of lines"),
    ("1i1", "exec", {}, 422, "a command is needed"),
    ("1i1", "logs", [], 400, ""),
])  # fmt: skip
async def test_what_cannot_be_answered_is_told(
    cloud: Cloud, client: Client, ref: str, verb: str, payload: Any, status: int, says: str
) -> None:
    end = (await asked(client, ref, verb, payload))["end"]
    assert end["status"] == status, end
    assert says in end["error"]


async def test_what_is_no_json_is_told(cloud: Cloud, client: Client) -> None:
    answer = await client.request(f"corral.instance.{cloud.id}.logs", b"{follow", timeout=SECONDS)
    assert json.loads(answer.data)["end"]["code"] == "InvalidBodyContent"


async def test_an_engine_s_id_names_what_runs_there_unless_several_are_meant(cloud: Cloud, client: Client) -> None:
    other = (await cloud.api.post("/v1/containers", imageUuid="sim:talk"))["id"]
    for id, engine in ((cloud.id, "abcd11"), (other, "abcd22")):
        stream = f"instance-{id.removeprefix('1i')}"
        told = Event("updated", {"changes": {"+data": {"dockerContainer": {"Id": engine}}}})
        async with asyncio.timeout(SECONDS):
            while (await cloud.api.get(f"/v1/containers/{id}"))["state"] != "running":
                await asyncio.sleep(0.05)
        await cloud.api.store.append([Write(stream, len(await cloud.api.store.read(stream)), (told,))])
    await cloud.api.settled()
    assert (await asked(client, "abcd1", "inspect"))["data"]["state"] == "running"
    ambiguous = (await asked(client, "abcd", "inspect"))["end"]
    assert f"abcd may be any of {cloud.id}, {other}" in ambiguous["error"]


async def test_a_command_s_output_and_status_come_and_its_input_goes_where_its_pieces_are_answered(cloud: Cloud, client: Client) -> None:
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.exec", {"command": ["cat"], "stdin": True})
    started, answers = await stream.next()
    assert started["data"] == {"started": True}
    await client.publish(answers, b'{"stdin": "hello"}')
    assert (await stream.next())[0]["data"]["text"] == "{'STDIN': 'HELLO'}"
    await client.publish(answers, b'{"eof": true}')
    assert (await stream.next())[0]["end"] == {"exit": 0}

    without = await Stream.of(client, f"corral.instance.{cloud.id}.exec", {"command": ["cat"]})
    await without.next()
    assert (await without.next())[0]["end"] == {"exit": 0}, "its input is empty"


async def test_input_of_any_length_reaches_the_command_whole(cloud: Cloud, client: Client) -> None:
    """As large as a message may be, with what Corral adds to it it would be too large."""
    long = "\u00e4" * ((client.max_payload - 16) // 2)
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.exec", {"command": ["cat"], "stdin": True})
    _, answers = await stream.next()
    await client.publish(answers, json.dumps({"stdin": long}, ensure_ascii=False).encode())
    heard = ""
    while len(heard) < len(long):
        heard += ast.literal_eval((await stream.next())[0]["data"]["text"])["STDIN"]
    assert heard == long.upper()
    await client.publish(answers, json.dumps({"base64": base64.b64encode(b"x" * 100_000).decode()}).encode())
    count = 0
    while count < 100_000:
        count += len(base64.b64decode(ast.literal_eval((await stream.next())[0]["data"]["text"])["BASE64"]))
    assert count == 100_000
    await client.publish(answers, b'{"resize": [80, 24]}')
    assert (await stream.next())[0]["data"]["text"] == "{'RESIZE': [80, 24]}"
    await client.publish(answers, b'{"eof": true}')
    assert (await stream.next())[0]["end"] == {"exit": 0}


@pytest.mark.parametrize(("said", "says"), [
    (b"no json", '{"stdin": "text"}'),
    (b"[]", '{"stdin": "text"}'),
    (b'{"stdin": 5}', '{"stdin": "text"}'),
    (b'{"base64": "?"}', '{"stdin": "text"}'),
    (b'{"more": "some"}', '{"more": 20}'),
])  # fmt: skip
async def test_what_no_command_can_be_given_ends_the_answer_and_says_why(cloud: Cloud, client: Client, said: bytes, says: str) -> None:
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.exec", {"command": ["cat"], "stdin": True})
    _, answers = await stream.next()
    await client.publish(answers, said)
    end = (await stream.next())[0]["end"]
    assert (end["code"], end["status"]) == ("InvalidFormat", 422)
    assert says in end["error"]
    await cloud.until(lambda: cloud.driver.under_way == 0)


async def test_input_that_comes_too_fast_is_not_lost_in_silence(cloud: Cloud, client: Client) -> None:
    stream = await Stream.of(client, f"corral.instance.{cloud.id}.exec", {"command": ["cat"], "stdin": True, "credit": 1})
    _, answers = await stream.next()
    for _ in range(MOST_INPUT + 8 * WINDOW):
        await client.publish(answers, b'{"stdin": "x"}')
    assert "faster than the command takes it" in (await stream.next())[0]["end"]["error"]


async def test_where_keys_are_asked_for_they_are_asked_for_here_too(
    store: PostgresStore, database: str, nats_url: str, client: Client
) -> None:
    async with serving(store, database, nats=nats_url, settings={"api.security.enabled": True}) as api:
        account, key = await account_with_key(api, "user", "somebody")
        theirs, another = [await api.add("container", accountId=owner, imageUuid="sim:talk") for owner in (account, api.admin)]
        await api.settled()
        basic = {"Authorization": f"Basic {base64.b64encode(':'.join(key).encode()).decode()}"}
        assert (await asked(client, f"1i{theirs}", "inspect"))["end"]["code"] == "Unauthorized"
        nowhere = await asked(client, f"1i{theirs}", "inspect", **basic)
        assert "on no host" in nowhere["end"]["error"]
        assert (await asked(client, f"1i{another}", "inspect", **basic))["end"]["status"] == 404, "another account's is not there"


async def test_of_several_gateways_one_answers(store: PostgresStore, database: str, nats_url: str, client: Client) -> None:
    async with serving(store, database, nats=nats_url) as api, serving(store, database, nats=nats_url, projecting=False):
        number = await api.add("container", imageUuid="sim:talk")
        await api.settled()
        for _ in range(5):
            stream = await Stream.of(client, f"corral.instance.1i{number}.inspect", {})
            assert "on no host" in (await stream.next())[0]["end"]["error"]
            await asyncio.sleep(0.2)
            assert stream.messages.empty(), "the other one keeps silent"
            await stream.end()
