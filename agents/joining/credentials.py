"""An API key: what the server is shown by agents, and by the CLI."""

from __future__ import annotations

import base64
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of an account that may do what is asked (with security off none are needed)."""

    access_key: str
    secret_key: str

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.access_key}:{self.secret_key}".encode()).decode()
