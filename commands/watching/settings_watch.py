"""The log's settings, in every process: looked for a few times a second, so that a change is in force everywhere within one.

    /v1/settings --> setting-5 in the log --> look() here, at once on the server that wrote it --> Settings.take --> on_change
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from commands.resource import Resource
from commands.secrets.vault import PURGED, Vault
from commands.settings.in_force import Row, Settings
from commands.settings.setting_rows import SETTING, stored_text
from commands.snapshots import form, resumed
from eventstore import Store, StoreError

log = structlog.get_logger("corral.settings")

LOOK_SECONDS = 0.3


class SettingsWatch:
    """Keeps `settings` at what the log says. `run` ends when it is cancelled."""

    def __init__(self, store: Store, vault: Vault, settings: Settings, *, pause: float = LOOK_SECONDS) -> None:
        self.settings = settings
        self._store, self._vault, self._pause = store, vault, pause
        self._position = -1
        """Of the log, when it was looked at last."""
        self._listeners: list[Callable[[], None]] = []
        self._looking = asyncio.Lock()

    def on_change(self, listener: Callable[[], None]) -> None:
        """It is called after every change of what is in force."""
        self._listeners.append(listener)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self.look()
            except StoreError as error:
                log.info("Changes of settings wait for the database", action="settings-wait", error=str(error))

    async def look(self) -> None:
        """What the log says of settings when this is called, or later, is in force after it."""
        async with self._looking:
            if await self._store.head() == self._position:
                return
            loaded = await self._store.load((SETTING,), (), form())
            changed = self.settings.take(await self._rows(resumed(loaded).values()))
            self._position = loaded.position
        if changed:
            for listener in self._listeners:
                listener()

    async def _rows(self, resources: Iterable[Resource]) -> list[Row]:
        opened = await self._vault.opened_all([each for each in resources if each.state != PURGED])
        return [Row(each.id, str(each.row["name"]), stored_text(each.row)) for each in opened if each.row.get("name")]
