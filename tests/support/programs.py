"""Programs that some tests need and not every machine has. In CI they are there, or the tests fail."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str | None, package: str) -> pytest.MarkDecorator:
    """`program`: where it is; None: nowhere. `package`: Debian's, which has it."""
    return pytest.mark.skipif(program is None and not os.environ.get("CI"), reason=f"it is missing (Debian: apt-get install {package})")


GRAPHVIZ = needs(shutil.which("dot"), "graphviz")
