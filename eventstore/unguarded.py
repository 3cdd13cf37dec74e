"""For the few values that are made anew for every event: frozen to whoever writes and checks the code, unguarded when it runs.

A frozen dataclass sets each field through object.__setattr__, which takes four times as long as an assignment. Of what decoding and
folding an event costs, that was two fifths.
"""

from __future__ import annotations

from dataclasses import field, fields, make_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def unguarded(frozen: type[T]) -> type[T]:
    """Put over a frozen dataclass: assigning to a field is still an error to the type checker, and no longer one at run time."""
    same = [(each.name, Any, field(default=each.default, default_factory=each.default_factory)) for each in fields(frozen)]  # type: ignore[arg-type]
    plain = make_dataclass(frozen.__name__, same)
    frozen.__init__ = plain.__init__  # type: ignore[misc, method-assign]
    del frozen.__setattr__, frozen.__delattr__
    return frozen
