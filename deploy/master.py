"""Settings and home -> the master key that wraps the keys of the cloud's secrets: given, or this home's own, made on its first start."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from agents.joining.files import keep
from commands.secrets.sealing import KEY_BYTES, MasterKeys
from deploy.settings import BadSetting, Settings

FILE = "master.key"

_HOW = "it must be 32 bytes in base64 (head -c 32 /dev/urandom | base64), or the path of a file that holds such keys, one a line"


def master_keys(settings: Settings, home: Path) -> MasterKeys:
    """Those that CORRAL_MASTER_KEY names; else the home's own file, which is made where the home has a Postgres of its own.

    A Postgres of others without either: the keys of secrets stay unwrapped in it. Raises BadSetting.
    """
    given = settings.master_key.get_secret_value()
    if given:
        return MasterKeys([key for part in given.split(",") for key in _given(part.strip())])
    own = home / FILE
    if not own.exists() and not settings.postgres:
        keep(own, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")  # what it wraps can't be read without it
    return MasterKeys(_in_file(own) if own.exists() else ())


def _given(text: str) -> list[bytes]:
    key = _decoded(text)
    if key is not None:
        return [key]
    path = Path(text).expanduser()
    if not path.is_file():
        raise BadSetting(f"CORRAL_MASTER_KEY is neither a key nor a file that is there: {_HOW}")
    return _in_file(path)


def _in_file(path: Path) -> list[bytes]:
    try:
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"the master key in {path} can't be read: {error}") from error
    keys = [_decoded(line) for line in lines]
    if not keys or None in keys:
        raise BadSetting(f"{path} holds no master key: {_HOW}")
    return [key for key in keys if key is not None]


def _decoded(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None
