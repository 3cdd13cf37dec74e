"""The API with real views, as in tests/gateway."""

from tests.gateway.conftest import api

__all__ = ["api"]
