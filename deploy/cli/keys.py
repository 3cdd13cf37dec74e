"""The API key that the CLI and `corral agent` show a server, and whose certificates they believe.

    CORRAL_ACCESS_KEY and CORRAL_SECRET_KEY, else CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY (corral --key ACCESS:SECRET sets the first),
    else what this home's own server keeps in the home, which no other server is ever shown
"""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

from agents.joining import trust
from agents.joining.credentials import Credentials
from deploy.cli.errors import WrongUse

HOME_KEY = "admin.key"
VARIABLES = ("CORRAL", "CATTLE")


def use(given: str) -> None:
    """corral --key: for this process, before all else."""
    access, colon, secret = given.partition(":")
    if not (access and colon and secret):
        raise WrongUse("--key takes an access key and its secret key with a colon between them: ACCESS:SECRET")
    os.environ["CORRAL_ACCESS_KEY"], os.environ["CORRAL_SECRET_KEY"] = access, secret


def key_for(own: Path | None) -> Credentials | None:
    """`own`: the home whose own server is asked; None: another's."""
    for prefix in VARIABLES:
        access, secret = os.environ.get(f"{prefix}_ACCESS_KEY"), os.environ.get(f"{prefix}_SECRET_KEY")
        if access and secret:
            return Credentials(access, secret)
    return kept(own) if own is not None else None


def kept(home: Path) -> Credentials | None:
    try:
        values = json.loads((home / HOME_KEY).read_bytes())
        return Credentials(str(values["access"]), str(values["secret"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trusting(own_certificate: str = "") -> ssl.SSLContext:
    """`own_certificate`: of this home's own server, which is known by its certificate whatever name it is asked under."""
    try:
        if not own_certificate:
            return trust.trusting()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return trust.believing(context, own_certificate, "the server's certificate")
    except trust.UnreadableCertificate as error:
        raise WrongUse(str(error)) from None


def believing(file: str) -> ssl.SSLContext:
    """Certificates in this file, or signed by one in it, and no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        return trust.believing(context, file, "what is to be believed")
    except trust.UnreadableCertificate as error:
        raise WrongUse(str(error)) from None
