"""Who looks at a page, and where from: what of it can be done, and where its links lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import ResourceType
from gateway.access.caller import Caller


@dataclass(frozen=True, slots=True)
class View:
    """`caller` None: nobody known, who sees the document and nothing else."""

    catalogue: Catalogue
    caller: Caller | None
    base: str
    path: str
    query: str
    schemas: str
    position: str | None
    script: str = ""
    """What shows the page instead of us (setting api.ui.js.url)."""
    style: str = ""
    nonce: str = ""

    def type(self, name: Any) -> ResourceType | None:
        return self.catalogue.types.get(name) if isinstance(name, str) else None

    def href(self, url: Any) -> str:
        """A link of a document without its server: pages stay where they were loaded from."""
        path = str(url).removeprefix(self.base)
        return path if path.startswith("/") and not path.startswith("//") else "/v1"

    def here(self, **changed: str | None) -> str:
        """This page with other parameters, None: without."""
        pairs = [(key, value) for key, value in parse_qsl(self.query, keep_blank_values=True) if key not in changed]
        pairs += [(key, value) for key, value in changed.items() if value is not None]
        return f"?{urlencode(pairs)}" if pairs else "?"

    def without(self, name: str) -> str:
        return self.here(**{name: None})

    def may(self, type: ResourceType | None, method: str, *, collection: bool = False) -> bool:
        if type is None or self.caller is None:
            return False
        methods = self.caller.methods(type)
        return method in (methods.collection if collection else methods.resource)

    @property
    def listed(self) -> list[ResourceType]:
        """The types whose collections the caller can look at."""
        types = (each for each in self.catalogue.types.values() if self.may(each, "GET", collection=True))
        return sorted(types, key=lambda type: type.plural.lower())
