"""What a simulation fails with."""

from __future__ import annotations


class Broken(AssertionError):
    """A promise does not hold."""
