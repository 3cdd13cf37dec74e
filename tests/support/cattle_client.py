"""Cattle's own Python client, as it needs to be on Python 3, for tests that hold the API against it.

Its RestObject was an old-style class: len(), [], in and == went through __getattr__ there. Here they are methods.
"""

from __future__ import annotations

from typing import Any

import cattle
import gdapi


def _length(self: Any) -> int:
    return int(self.__getattr__("__len__")())


def _item(self: Any, key: Any) -> Any:
    return self.__getattr__("__getitem__")(key)


def _set_item(self: Any, key: str, value: Any) -> None:
    self.__dict__[key] = value


def _delete_item(self: Any, key: str) -> None:
    del self.__dict__[key]


def _contains(self: Any, key: str) -> bool:
    return key in self.__dict__


def _equal(self: Any, other: object) -> bool:
    return bool(self.__dict__ == (other.__dict__ if isinstance(other, gdapi.RestObject) else other))


def _to_value(self: Any, value: Any) -> Any:
    if isinstance(value, gdapi.RestObject):
        return {key: self._to_value(each) for key, each in value.__dict__.items() if not callable(each)}
    if isinstance(value, dict):
        return {key: self._to_value(each) for key, each in value.items()}
    if isinstance(value, list):
        return [self._to_value(each) for each in value]
    return value


def patch() -> None:
    """Once or often: the same."""
    gdapi.RestObject.__len__ = _length
    gdapi.RestObject.__getitem__ = _item
    gdapi.RestObject.__setitem__ = _set_item
    gdapi.RestObject.__delitem__ = _delete_item
    gdapi.RestObject.__contains__ = _contains
    gdapi.RestObject.__eq__ = _equal
    gdapi.RestObject.__hash__ = None
    gdapi.Client._to_value = _to_value


def cattle_client(url: str, access_key: str = "None", secret_key: str = "None") -> Any:
    """A client of the API at `url` (.../v1). It blocks: in an async test, call it in a thread.

    Without keys the client sends "None:None"; said as text here, because requests warns about None.
    """
    patch()
    return cattle.Client(url=url, access_key=access_key, secret_key=secret_key, cache=False)
