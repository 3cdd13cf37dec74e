"""Everything `corral up` can be told: by options of the CLI, by CORRAL_ variables, else these defaults. Read once, at the start.

The CLI makes its options from `Settings.model_fields`' names, and passes what was given to `read_settings`; the rest comes from
the environment. A value that is wrong is named with its variable.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agents.joining.api import is_loopback
from commands.settings.in_force import Settings as Orchestration
from commands.settings.settings import BadValue, changed
from deploy.sources import BadSource, setting_of, settings_of

PREFIX = "CORRAL_"

SECURITY = "api.security.enabled"

TEMPLATES = "libvirt-templates"
"""The folder in a home where a user's own templates of virtual machines are."""


class BadSetting(Exception):
    """A setting can't be used; the message names its variable, what was given and what is allowed."""


class Role(StrEnum):
    GATEWAY = "gateway"
    ENGINE = "engine"
    PROJECTOR = "projector"
    AGENTS = "agents"


WHOLE = (Role.GATEWAY, Role.ENGINE, Role.PROJECTOR)
"""Together they are a Corral; agents may be anywhere."""

NEEDS_NATS = {Role.GATEWAY, Role.ENGINE, Role.AGENTS}
"""The gateway tells agents where it is, and brings it to who subscribes over HTTP; it serves all else without."""


class LocalHost(StrEnum):
    DOCKER = "docker"
    LIBVIRT = "libvirt"
    SIM = "sim"


class MachineType(StrEnum):
    AUTO = "auto"
    KVM = "kvm"
    QEMU = "qemu"

    @property
    def chosen(self) -> str | None:
        return None if self is MachineType.AUTO else self.value


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class RequestLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    OFF = "off"


class LogFormat(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class Settings(BaseSettings):
    """One process' settings. Lists are written with commas between their words, in variables as in options."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    home: Annotated[Path, Field(description="Folder of the embedded servers' data, and of what Corral remembers.")] = Path("~/.corral")
    listen: Annotated[str, Field(description="Address to serve HTTP on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to serve HTTP on; 0 for any free one.")] = 8080
    metrics_port: Annotated[
        int | None, Field(ge=0, le=65535, description="Serve /metrics, /healthz and /readyz on this port, too; 0 for any free one.")
    ] = None
    metrics_listen: Annotated[str, Field(description="Address of that port; 0.0.0.0 for all of this machine's.")] = "127.0.0.1"
    hosts: Annotated[
        tuple[LocalHost, ...], NoDecode, Field(description="Hosts that this process brings itself: docker, libvirt, sim, or none.")
    ] = (LocalHost.DOCKER, LocalHost.SIM)
    roles: Annotated[
        tuple[Role, ...], NoDecode, Field(description="What this process does: gateway, engine, projector, agents.")
    ] = tuple(Role)
    postgres: Annotated[
        str, Field(description="An external Postgres, postgresql://user:password@host/database; without it, an embedded one is started.")
    ] = ""
    nats: Annotated[
        str, Field(description="An external NATS, nats://host:4222, or several with commas; without it, an embedded one is started.")
    ] = ""
    nats_listen: Annotated[
        str, Field(description="Address the embedded NATS listens on; 0.0.0.0 lets agents on other machines in.")
    ] = "127.0.0.1"
    nats_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of the embedded NATS; 0 for the one it had before, or 4222, or any free one.")
    ] = 0
    nats_keys: Annotated[
        bool | None,
        Field(description="Whether NATS asks for keys. Without it, the embedded one does where the API does, and another does not."),
    ] = None
    nats_tls_certificate: Annotated[
        Path | None,
        Field(description="Certificate (and its chain) of the embedded NATS, a PEM file. Without it, HTTPS' where it asks for keys."),
    ] = None
    nats_tls_key: Annotated[Path | None, Field(description="That certificate's private key, a PEM file.")] = None
    nats_ca: Annotated[
        Path | None, Field(description="Whose certificates are believed at NATS, a PEM file; agents are told it, too.")
    ] = None
    postgres_port: Annotated[
        int | None, Field(ge=0, le=65535, description="Also serve the embedded Postgres on this port of 127.0.0.1; 0 for any free one.")
    ] = None
    tls_certificate: Annotated[
        Path | None, Field(description="Certificate (and its chain) to serve HTTPS with, a PEM file; goes with CORRAL_TLS_KEY.")
    ] = None
    tls_key: Annotated[Path | None, Field(description="The certificate's private key, a PEM file.")] = None
    master_key: Annotated[
        SecretStr,
        Field(description="The key over the keys of all secrets, or its file; without it, an embedded Postgres has one in the home."),
    ] = SecretStr("")
    archive: Annotated[
        Path | None, Field(description="Folder of the events that left the log (corral archive); without it, archive in the home.")
    ] = None
    docker: Annotated[str, Field(description="Where the local Docker engine answers; without it, DOCKER_HOST or the usual socket.")] = ""
    libvirt: Annotated[
        str, Field(description="Where the local libvirt answers; without it, LIBVIRT_DEFAULT_URI or qemu:///system.")
    ] = ""
    libvirt_type: Annotated[
        MachineType, Field(description="How the local virtual machines run: kvm, qemu (emulated), or auto for the best there is.")
    ] = MachineType.AUTO
    libvirt_storage: Annotated[
        Path | None, Field(description="Folder of the local virtual machines' images and disks; without it, one that fits the libvirt.")
    ] = None
    libvirt_migration: Annotated[
        str, Field(description="Where other hosts' libvirts reach the local one, to move running machines: qemu+tls://this-host/system.")
    ] = ""
    set: Annotated[
        dict[str, str], NoDecode, Field(description="Settings of the orchestration that are not to have their default: name=value.")
    ] = {}
    log_level: Annotated[LogLevel, Field(description="What is logged: debug, info, warning or error, and all above.")] = LogLevel.WARNING
    log_format: Annotated[LogFormat, Field(description="How: text, json, or auto (text on a terminal).")] = LogFormat.AUTO
    log_requests: Annotated[
        RequestLevel, Field(description="At which level each HTTP request is logged: debug, info, warning, or off.")
    ] = RequestLevel.INFO

    @field_validator("hosts", mode="before")
    @classmethod
    def _hosts(cls, given: object) -> object:
        words = _words(given)
        if words == ("none",):
            return ()
        if isinstance(words, tuple) and (wrong := [each for each in words if each not in list(LocalHost)]):
            if "none" in wrong:
                raise ValueError("none stands alone: leave it out, or the others")
            raise ValueError(f"there is no host {wrong[0]!r}: say {', '.join(LocalHost)}, with a comma between several, or none")
        return words

    @field_validator("roles", mode="before")
    @classmethod
    def _roles(cls, given: object) -> object:
        words = _words(given)
        if words == ():
            raise ValueError("a process needs at least one role")
        return words

    @field_validator("set", mode="before")
    @classmethod
    def _set(cls, given: object) -> object:
        if not isinstance(given, (str, list, tuple)):
            return given
        pairs = [each.partition("=") for each in (given.split(",") if isinstance(given, str) else given) if str(each).strip()]
        for name, equals, _ in pairs:
            if not equals:
                raise ValueError(f"{name.strip()} has no value: write name=value, with commas between several")
        return {name.strip(): value.strip() for name, _, value in pairs}

    @field_validator("set")
    @classmethod
    def _is_known(cls, given: dict[str, str]) -> dict[str, str]:
        try:
            changed(given)
        except BadValue as bad:
            raise ValueError(str(bad)) from None
        return given

    @field_validator(
        "home", "archive", "tls_certificate", "tls_key", "libvirt_storage", "nats_tls_certificate", "nats_tls_key", "nats_ca"
    )
    @classmethod
    def _absolute(cls, given: Path | None) -> Path | None:
        return given.expanduser().absolute() if given is not None else None

    @field_validator("postgres")
    @classmethod
    def _postgres(cls, given: str) -> str:
        return _checked(given, ("postgresql", "postgres"), "postgresql://user:password@host:5432/database")

    @field_validator("nats")
    @classmethod
    def _nats(cls, given: str) -> str:
        for address in given.split(",") if given else ():
            _checked(address.strip(), ("nats", "tls", "ws", "wss"), "nats://host:4222")
        return given

    @field_validator("log_level", "log_format", "log_requests", mode="before")
    @classmethod
    def _small_letters(cls, given: object) -> object:
        return given.lower() if isinstance(given, str) else given

    @model_validator(mode="after")
    def _embedded_or_not(self) -> Settings:
        # An option without effect is a misunderstanding: better said than ignored.
        if self.postgres and self.postgres_port is not None:
            raise ValueError("CORRAL_POSTGRES_PORT is for the embedded Postgres, and CORRAL_POSTGRES names another: unset one of them")
        if self.nats and (self.nats_port or self.nats_listen != "127.0.0.1"):
            raise ValueError("CORRAL_NATS_PORT and CORRAL_NATS_LISTEN are for the embedded NATS, and CORRAL_NATS names another: unset that")
        if self.nats and self.nats_tls_certificate:
            raise ValueError("CORRAL_NATS_TLS_CERTIFICATE is for the embedded NATS: one that CORRAL_NATS names has its own. Unset that")
        return self

    @model_validator(mode="after")
    def _both_or_neither(self) -> Settings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("CORRAL_TLS_CERTIFICATE and CORRAL_TLS_KEY go together: set both, or neither")
        if (self.nats_tls_certificate is None) != (self.nats_tls_key is None):
            raise ValueError("CORRAL_NATS_TLS_CERTIFICATE and CORRAL_NATS_TLS_KEY go together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _whole_or_external(self) -> Settings:
        # Embedded servers belong to the one process that has all of it; a part finds the other parts by the servers they share.
        if lacking := [role for role in WHOLE if role not in self.roles]:
            apart = {"CORRAL_POSTGRES": self.postgres, "CORRAL_NATS": self.nats or not NEEDS_NATS & set(self.roles)}
            if missing := [name for name, given in apart.items() if not given]:
                raise ValueError(
                    f"a process with {_and(self.roles)} alone is a part of a Corral, and finds the others by the servers that they share: "
                    f"set {_and(missing)} to theirs, or give this process {_and(lacking)}, too (CORRAL_ROLES, --role)"
                )
        return self

    def orchestration(self) -> Orchestration:
        """Cattle's and Corral's own settings, as all but the log says them. What is reached from elsewhere asks for keys, unless it
        is told not to. Raises BadSetting."""
        try:
            return settings_of(os.environ, self.set, self.home, {SECURITY: not (self.loopback and self.metrics_loopback)})
        except BadSource as bad:
            raise BadSetting(str(bad)) from None

    @property
    def nats_asks(self) -> bool:
        """Whether NATS lets in only who has a key. Raises BadSetting."""
        if self.nats_keys is not None:
            return self.nats_keys
        return not self.nats and (bool(self.orchestration()[SECURITY]) or not is_loopback(self.nats_listens))

    @property
    def nats_listens(self) -> str:
        """Where the embedded NATS does: agents that reach the API have to reach it, too."""
        return self.nats_listen if not is_loopback(self.nats_listen) else self.listen

    @property
    def nats_tls(self) -> tuple[Path, Path] | None:
        """Certificate and key of the embedded NATS."""
        if self.nats_tls_certificate and self.nats_tls_key:
            return self.nats_tls_certificate, self.nats_tls_key
        return (self.tls_certificate, self.tls_key) if self.tls_certificate and self.tls_key and self.nats_asks else None

    @property
    def scheme(self) -> str:
        return "https" if self.tls_certificate else "http"

    @property
    def loopback(self) -> bool:
        """Only this machine reaches its HTTP."""
        return is_loopback(self.listen)

    @property
    def metrics_loopback(self) -> bool:
        """Only this machine reaches the port of its figures, if it has one."""
        return self.metrics_port is None or is_loopback(self.metrics_listen)

    @property
    def archive_folder(self) -> Path:
        return self.archive or self.home / "archive"

    @property
    def whole(self) -> bool:
        """It needs no other process."""
        return all(role in self.roles for role in WHOLE)

    def has(self, role: Role) -> bool:
        return role in self.roles


def read_settings(**given: Any) -> Settings:
    """What was given here wins, None counts as not given; then the environment. Raises BadSetting, naming every wrong variable."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise BadSetting("\n".join(_sentence(problem) for problem in error.errors(include_url=False))) from None


def variable(name: str) -> str:
    """The variable of a setting: home -> CORRAL_HOME."""
    return PREFIX + name.upper()


def described() -> dict[str, str]:
    """Each setting's variable, and what it is for: for help and documentation."""
    return {variable(name): field.description or "" for name, field in Settings.model_fields.items()}


def unknown_variables() -> list[str]:
    """Variables that look like ours and are not: a misspelt one would be ignored in silence otherwise."""
    known = described().keys()
    ours = (name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return sorted(name for name in ours if setting_of(name.removeprefix(PREFIX)) is None)


def _sentence(problem: Any) -> str:
    where = problem["loc"]
    reason = str(problem["msg"]).removeprefix("Value error, ")
    if not where:
        return reason
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {where[0]!r}; there are {', '.join(Settings.model_fields)}"
    return f"{variable(str(where[0]))} can't be {problem['input']!r}: {reason[0].lower()}{reason[1:]}"


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _words(given: object) -> object:
    """'docker, sim' -> ('docker', 'sim'); once each, in the order given."""
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, (list, tuple)):
        return given
    return tuple(dict.fromkeys(word.strip().lower() if isinstance(word, str) else word for word in given if word))


def _checked(address: str, schemes: tuple[str, ...], example: str) -> str:
    if address and (urlsplit(address).scheme not in schemes or "//" not in address):
        raise ValueError(f"it is not an address such as {example}")
    return address
