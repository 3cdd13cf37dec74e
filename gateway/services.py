"""What the gateway works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands.accepting.service import Commands
from commands.catalogue.catalogue import Catalogue
from commands.config.sources import Sources
from commands.secrets.vault import Vault
from commands.watching.settings_watch import SettingsWatch
from eventstore import Store
from gateway.inside.pictures import Pictures
from gateway.joining.agent_file import AgentFiles
from projections.views import Views


@dataclass(frozen=True, slots=True)
class Services:
    """`info`: what /corral/info tells beside the position, e.g. {"version": ..., "nats": ...}. `admin`: the first admin account, for
    requests that come before the views know it. `watch`: what keeps `settings` at what the log says; without it they stay as they are."""

    store: Store
    views: Views
    commands: Commands
    catalogue: Catalogue
    settings: Mapping[str, Any]
    info: Mapping[str, Any] = field(default_factory=dict)
    admin: int | None = None
    watch: SettingsWatch | None = None
    pictures: Pictures = field(default_factory=Pictures)
    agent_files: AgentFiles = field(default_factory=AgentFiles)
    content: Sources = field(default_factory=Sources)
    """The config items of agents."""
    templates: Path | None = None
    """The folder of container templates, if it is there."""
    names: frozenset[str] = frozenset()
    """Under which this server is reached, beside addresses: what it listens on, what its machine is called. In small letters."""

    @property
    def vault(self) -> Vault:
        """The commands' own, so that a key is known to both."""
        return self.commands.vault
