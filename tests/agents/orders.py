"""Commands as the engine sends them, and an engine's ear: what it hears from an agent. For the tests of agents."""

from __future__ import annotations

import asyncio
import uuid
from types import TracebackType
from typing import Any, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from agents.process.connection import reached
from agents.wire import Message, Presence, command_subject, presence_subject, reply_subject

Json = dict[str, Any]


def instance(name: str = "web", **fields: Any) -> Json:
    """An instance's tree with a new uuid."""
    own = str(uuid.uuid4())
    return {"id": 54, "type": "instance", "kind": "container", "uuid": own, "name": name, "data": {"fields": fields}}


def on_host(tree: Json) -> Json:
    return {"instanceHostMap": {"id": 50, "type": "instanceHostMap", "host": {"uuid": "host1"}, "instance": tree}}


def on_pool(tree: Json, device: int = 0, volume: str | None = None) -> Json:
    """Its root volume's data; the volume's uuid follows from the instance's."""
    own = {"id": 7, "uuid": volume or f"volume-of-{tree['uuid']}", "deviceNumber": device, "instance": tree}
    return {"volumeStoragePoolMap": {"id": 8, "volume": own, "storagePool": {"uuid": "pool1"}}}


def in_pool(uuid_: str, **image: Any) -> Json:
    return {"imageStoragePoolMap": {"id": 9, "image": {"uuid": uuid_, "name": None, **image}, "storagePool": {"uuid": "pool1"}}}


def command(name: str, data: Json, epoch: int | None = None, id_: str | None = None, agent: int = 7) -> Message:
    id_ = id_ or str(uuid.uuid4())
    context = {} if epoch is None else {"epoch": epoch}
    return Message(id=id_, name=name, replyTo=reply_subject(3, agent, id_), data=data, context=context)


def activate(tree: Json, epoch: int | None = 10, id_: str | None = None, **more: Any) -> Message:
    return command("compute.instance.activate", on_host(tree), epoch, id_, **more)


def deactivate(tree: Json, epoch: int | None = 20, id_: str | None = None, **more: Any) -> Message:
    return command("compute.instance.deactivate", on_host(tree), epoch, id_, **more)


def purge(tree: Json, epoch: int | None = 30, id_: str | None = None, **more: Any) -> Message:
    return command("storage.volume.remove", on_pool(tree), epoch, id_, **more)


class Ear:
    """An engine's connection: sends commands to one agent and hears its replies and heartbeats."""

    def __init__(self, url: str, agent: int) -> None:
        self.agent = agent
        self.heard: list[Message] = []
        self.presences: list[Presence] = []
        self._url = url
        self._client = Client()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self._client.connect(self._url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_quiet, ping_interval=1)
        await self._client.subscribe(reply_subject(3, self.agent, "*"), cb=self._reply)
        await self._client.subscribe(presence_subject(self.agent), cb=self._presence)
        await reached(self._client, 5)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.wait_for(self._client.close(), 5)

    async def send(self, *messages: Message) -> None:
        for message in messages:
            await self._client.publish(command_subject(self.agent, message.name), message.encode())
        await reached(self._client, 2)

    async def send_raw(self, name: str, payload: bytes) -> Message:
        """As any NATS client would, with an inbox for the answer."""
        answer = await self._client.request(command_subject(self.agent, name), payload, timeout=5)
        return Message.decode(answer.data)

    async def ask(self, message: Message, seconds: float = 10) -> Message:
        """Sends it and waits for its next final reply."""
        before = len(self.finals(message.id))
        await self.send(message)
        return (await self.wait_for(message.id, before + 1, seconds))[-1]

    async def ask_until_answered(self, message: Message, seconds: float = 20, resend: float = 0.3) -> Message:
        """As the engine does: again and again, with the same id."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            try:
                await self.send(message)
                return (await self.wait_for(message.id, 1, resend))[-1]
            except (TimeoutError, NatsError):
                continue
        raise TimeoutError(f"{message.name} was not answered within {seconds} seconds")

    async def wait_for(self, id_: str, count: int = 1, seconds: float = 10) -> list[Message]:
        """Its final replies, when there are so many."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: len(self.finals(id_)) >= count)
        return self.finals(id_)

    async def wait_for_presence(self, count: int = 1, seconds: float = 10) -> Presence:
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: len(self.presences) >= count)
        return self.presences[-1]

    def finals(self, id_: str) -> list[Message]:
        return [each for each in self.heard if each.previousIds == [id_] and each.transitioning != "yes"]

    def progress(self, id_: str) -> list[Message]:
        return [each for each in self.heard if each.previousIds == [id_] and each.transitioning == "yes"]

    async def _reply(self, message: Msg) -> None:
        async with self._changed:
            self.heard.append(Message.decode(message.data))
            self._changed.notify_all()

    async def _presence(self, message: Msg) -> None:
        async with self._changed:
            self.presences.append(Presence.decode(message.data))
            self._changed.notify_all()


async def _quiet(error: Exception) -> None:
    """The tests take NATS away on purpose."""
