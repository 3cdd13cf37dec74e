"""Images that are files of the agent's own machine: in a folder for them alone, for it is users who name them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agents.driver import DriverError


def image_file(url: str, folder: Path, name: str) -> Path:
    """The file that a file:// url names as image `name`. Raises DriverError, also for one that leads out of the folder by a link."""
    try:
        path = Path(os.path.realpath(unquote(urlsplit(url).path)))
    except ValueError as error:  # a zero byte, say
        raise DriverError(f"image {name} can't be taken from {url!r}: {error}") from error
    if not path.is_relative_to(os.path.realpath(folder)):
        raise DriverError(f"image {name} can't be taken from {url}: only files in the agent's folder {folder} can be")
    if not path.is_file():
        raise DriverError(f"image {name} can't be taken: there is no file {path} on the agent's machine")
    return path
