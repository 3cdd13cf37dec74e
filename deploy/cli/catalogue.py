"""The catalogue that the CLI reads types and ids by: that of this home, its extensions included."""

from __future__ import annotations

from functools import cache

from commands.catalogue.model import Catalogue
from deploy.cli.client import home
from deploy.cli.errors import Failed
from deploy.extensions import ExtensionFailed, catalogue_of


@cache
def catalogue() -> Catalogue:
    """Raises Failed for an extension that can't be used."""
    try:
        return catalogue_of(home())
    except ExtensionFailed as failed:
        raise Failed(str(failed)) from None
