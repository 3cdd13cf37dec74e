"""A setting as the log has it: a row of type setting, checked before it is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.errors import Refused
from commands.resource import Json
from commands.settings.in_force import Settings
from commands.settings.settings import BadValue, is_secret

SETTING = "setting"

SECRET = "secretValue"
"""The field of a row that holds the value of a secret setting, sealed; its `value` is null."""


def as_stored(settings: Mapping[str, Any], fields: Json) -> Json:
    """What a client submitted as `name` and `value`, as the row has it. Raises Refused for a value that the setting can't have."""
    name, text = fields.get("name"), fields.get("value")
    if not name:
        raise Refused("MissingRequired", "a setting has a name, such as engine.turns", "name")
    if text is not None and isinstance(settings, Settings):
        try:
            settings.check(str(name), str(text))
        except BadValue as bad:
            raise Refused(bad.code, str(bad), "value") from bad
    return {**fields, "value": None, SECRET: text} if is_secret(str(name)) else fields


def stored_text(row: Json) -> str | None:
    """The value of a row whose secrets are open."""
    found = row.get("value") if row.get(SECRET) is None else row[SECRET]
    return None if found is None else str(found)
