"""External handlers as a simulation has them: they answer, fail, say nothing, answer twice, or after they were asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import orjson

from agents.wire import Message
from tests.simulation.network import Delivery, Network

ALL = "corral.handler.>"


class Handlers:
    """All that anybody registered. They keep nothing: who asks twice may be told this and then that."""

    def __init__(self, network: Network, fails: Callable[[str], None], tell: Callable[[str, str], None]) -> None:
        """`fails` is told of each error before it is said."""
        self._network, self._fails, self._tell = network, fails, tell

    def start(self) -> None:
        self._network.subscribe(ALL, self._heard)

    def _heard(self, delivery: Delivery) -> Coroutine[None, None, None]:
        return self._answer(delivery, Message.decode(delivery.data))

    async def _answer(self, delivery: Delivery, asked: Message) -> None:
        weather = self._network.weather
        await asyncio.sleep(weather.random.random() * weather.work_seconds)
        if weather.strikes(weather.silence):
            self._tell("handlers", f"      {asked.name} is not answered")
            return
        told: dict[str, object] = {"data": {"continue": True}}  # in the place of nothing that is built in
        if weather.strikes(weather.failures):
            self._fails(asked.name)
            told = {"transitioning": "error", "transitioningMessage": f"{asked.name} fails"}
        elif weather.random.random() < 0.3:
            progress = {"transitioning": "yes", "transitioningMessage": "half done", "transitioningProgress": 50}
            self._network.publish(delivery.reply, orjson.dumps(progress))
        self._tell("handlers", f"      {asked.name}: {told}")
        for _ in range(2 if weather.strikes(weather.doubling) else 1):
            self._network.publish(delivery.reply, orjson.dumps(told))
