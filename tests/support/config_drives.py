"""What is on a virtual machine's config drive."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pycdlib.pycdlib import PyCdlib


def read_config_drive(path: Path) -> dict[str, str]:
    """Its files, as Linux would see them (Rock Ridge)."""
    image = PyCdlib()
    image.open(str(path))
    try:
        result = {}
        for child in image.list_children(rr_path="/"):
            if not child.is_file():
                continue
            name = child.rock_ridge.name().decode()
            content = BytesIO()
            image.get_file_from_iso_fp(content, rr_path=f"/{name}")
            result[name] = content.getvalue().decode()
        return result
    finally:
        image.close()
