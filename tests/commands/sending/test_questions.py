"""What agents are asked beside all processes: who asks hears the first answer in time, and nobody the others."""

from __future__ import annotations

import asyncio

import nats
from nats.aio.msg import Msg

from agents.wire import Message, agent_commands, partition_of
from commands.catalogue.builtin import CATALOGUE
from commands.resource import empty
from commands.sending.bus import Bus
from commands.sending.questions import Questions
from tests.support.waiting import happens

AGENT = empty("agent-40417")


async def test_the_first_answer_is_whose_question_it_was_and_another_is_nobodys(nats_url: str) -> None:
    bus, said, others = Bus(nats_url), [], []
    bus.on_reply = lambda message, subject: others.append(message.data)
    await bus.listen(partition_of(AGENT.stream))
    await bus.start()
    await happens(lambda: bus.connected)
    client = await nats.connect(nats_url)

    async def answer_twice(heard: Msg) -> None:
        asked = Message.decode(heard.data)
        assert (asked.resourceType, asked.resourceId, asked.timeoutMillis, asked.context) == ("agent", "1a40417", 20_000, {"a": 1})
        for times in (1, 2):
            await client.publish(asked.replyTo or "", asked.reply({"times": times, **asked.data}).encode())

    await client.subscribe(agent_commands(AGENT.id), cb=answer_twice)
    await client.flush()
    await Questions(bus, CATALOGUE, 20.0).ask(AGENT, "ping", {"of": "me"}, lambda answer: said.append(answer.data), {"a": 1})
    await happens(lambda: said and others)
    assert (said, others) == ([{"times": 1, "of": "me"}], [{"times": 2, "of": "me"}])
    assert not bus.awaited
    await client.close()
    await bus.close()


async def test_of_what_nobody_answers_in_time_nothing_is_kept() -> None:
    bus = Bus("nats://127.0.0.1:1")  # it is never started: what is asked is lost
    questions = Questions(bus, CATALOGUE, 0.05)
    await questions.ask(AGENT, "ping", {}, lambda answer: None)
    await questions.ask(AGENT, "ping", {}, lambda answer: None)
    early = set(bus.awaited)
    await asyncio.sleep(0.1)
    await questions.ask(AGENT, "ping", {}, lambda answer: None)
    assert len(early) == 2
    assert len(bus.awaited) == 1
    assert not early & set(bus.awaited)
