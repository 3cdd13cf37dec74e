"""Whose certificates a server is believed by."""

from __future__ import annotations

import os
import ssl

CA = "CORRAL_CA"
"""The variable that names a file of certificates to believe, beside those of the system."""


class UnreadableCertificate(Exception):
    """The text says which file, and what is wrong with it."""


def believing(context: ssl.SSLContext, file: str, what: str) -> ssl.SSLContext:
    """`what`: where the file's name comes from. Raises UnreadableCertificate."""
    try:
        context.load_verify_locations(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise UnreadableCertificate(f"{what}, {file}, can't be read as a certificate in PEM: {error.strerror or error}") from None
    return context


def trusting() -> ssl.SSLContext:
    """The system's, and those of CORRAL_CA. Raises UnreadableCertificate."""
    context = ssl.create_default_context()
    given = os.environ.get(CA)
    return believing(context, given, CA) if given else context
