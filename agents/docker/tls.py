"""TLS to an engine on another machine, in the terms of Docker's own command: a folder with ca.pem, cert.pem and key.pem.

Without being told, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say it, as they do for `docker`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.tls import TLSConfig

from agents.driver import DriverError

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"


@dataclass(frozen=True, slots=True)
class EngineTls:
    """`verify`: whether the engine must show a certificate that ca.pem vouches for. Without, TLS hides what is said and proves nothing."""

    folder: Path
    verify: bool = True

    def config(self) -> TLSConfig:
        """Raises DriverError that names the file which is missing."""
        needed = (CERTIFICATE, KEY, *((AUTHORITY,) if self.verify else ()))
        if missing := [name for name in needed if not (self.folder / name).is_file()]:
            raise DriverError(
                f"TLS to the Docker engine needs {', '.join(needed)} in {self.folder}, where {' and '.join(missing)} can't be found: "
                "point --docker-cert-path (or DOCKER_CERT_PATH) at the folder"
            )
        pair = (str(self.folder / CERTIFICATE), str(self.folder / KEY))
        return TLSConfig(client_cert=pair, ca_cert=str(self.folder / AUTHORITY), verify=self.verify)


def engine_tls(folder: Path | None = None, verify: bool | None = None, environment: Mapping[str, str] = os.environ) -> EngineTls | None:
    """What was given, else what the environment says; None: TLS is not asked for. A folder that is given is one to be verified by."""
    said = environment.get("DOCKER_CERT_PATH", "")
    chosen = folder or (Path(said) if said else None)
    if verify is None:
        verify = folder is not None or bool(environment.get("DOCKER_TLS_VERIFY"))
    if chosen is None and not verify:
        return None
    return EngineTls((chosen or Path("~/.docker")).expanduser(), verify)


def told(error: str, tls: EngineTls | None) -> str | None:
    """What is wrong with TLS, where that is what an error is about."""
    where = f"in {tls.folder}" if tls is not None else "given with --docker-cert-path"
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return f"its certificate is not believed ({AUTHORITY} {where} must be its authority's, and the name in it this one)"
    if any(alert in error for alert in ("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "CERTIFICATE_REQUIRED", "CERTIFICATE_UNKNOWN")):
        return f"it does not believe the agent's certificate ({CERTIFICATE} and {KEY} {where})"
    if tls is not None and any(end in error for end in ("EOF occurred", "ConnectionReset", "RemoteDisconnected", "BrokenPipe")):
        # Who is not believed learns it after its own part of the handshake; what says so may be lost with the connection.
        return f"it broke off, as who does not believe the agent's certificate does ({CERTIFICATE} and {KEY} {where}; look at its log)"
    if "HTTP request to an HTTPS server" in error:
        return "it speaks TLS alone: say --docker-cert-path DIR (or set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH)"
    if "WRONG_VERSION_NUMBER" in error or "record layer failure" in error.lower():
        return "it speaks no TLS: leave out --docker-cert-path, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or let it speak TLS"
    return None
