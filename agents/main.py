"""The agent of a machine that has nothing of Corral but this package: python3 agent.pyz --join URL. (Else it is `corral agent`.)

    read the options -> agents.run, until a signal ends it; what it says goes to stderr
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from agents.driver import DriverError
from agents.joining.by_token import Member, invitation, token_given
from agents.joining.credentials import Credentials
from agents.joining.registration import RegistrationRefused
from agents.joining.trust import CA, UnreadableCertificate, trusting
from agents.process.ledger import LedgerInUse
from agents.run import AgentOptions, keep_kind, kind_of, run_until_ended


def main(arguments: Sequence[str] | None = None) -> None:
    """Ends the process; 1: it can't work, and has said why, 2: it was not asked rightly."""
    given = options().parse_args(arguments)
    try:
        chosen = _read(given)
    except (RegistrationRefused, UnreadableCertificate) as error:
        _say(f"Corral: {error}")
        raise SystemExit(2) from None
    _log(given.log_level)
    raise SystemExit(asyncio.run(_run(chosen)))


def options() -> argparse.ArgumentParser:
    """Those of `corral agent`, so far as they are a machine's that joins."""
    parser = argparse.ArgumentParser(prog="agent.pyz", description="Makes this machine a host of a Corral, until it is stopped.")
    parser.add_argument("--url", default=os.environ.get("CATTLE_URL"), help="the server, as in http://server:8080")
    parser.add_argument("--join", metavar="URL", help="the address of a registration token's script: names the server, and joins it")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--docker", metavar="URL", default=os.environ.get("CORRAL_DOCKER"), help="the engine (DOCKER_HOST, or the socket)")
    sim = os.environ.get("CORRAL_SIM", "").lower() in ("1", "true")
    kind.add_argument("--sim", action="store_true", default=sim, help="simulate a host instead")
    parser.add_argument("--docker-cert-path", metavar="DIR", type=Path, help="ca.pem, cert.pem and key.pem, for an engine with TLS")
    verify = "whether the engine's certificate must be its authority's"
    parser.add_argument("--docker-tls-verify", action=argparse.BooleanOptionalAction, help=verify)
    parser.add_argument("--libvirt", metavar="URI", default=os.environ.get("CORRAL_LIBVIRT"), help="the libvirt, for virtual machines")
    how, storage = (os.environ.get(f"CORRAL_LIBVIRT_{each}") or None for each in ("TYPE", "STORAGE"))
    parser.add_argument(
        "--libvirt-type", choices=("auto", "kvm", "qemu"), default=how or "auto", help="how they run; auto: the best there is"
    )
    parser.add_argument("--libvirt-storage", metavar="FOLDER", type=Path, default=storage, help="where their images and disks are")
    migration = os.environ.get("CORRAL_LIBVIRT_MIGRATION")
    parser.add_argument("--libvirt-migration", metavar="URI", default=migration, help="where other hosts' libvirts reach this one")
    port = os.environ.get("CORRAL_CONSOLE_PORT") or "0"
    parser.add_argument("--console-port", metavar="PORT", type=int, default=port, help="for the screens of virtual machines (any free one)")
    parser.add_argument("--name", help="what people call it (this machine's name)")
    parser.add_argument("--home", type=Path, help="where it remembers who it is ($CORRAL_HOME/agent)")
    parser.add_argument("--host-ip", metavar="IP", default=os.environ.get("CATTLE_AGENT_IP"), help="where its published ports are reached")
    parser.add_argument("--nats", metavar="URL", default=os.environ.get("CORRAL_NATS"), help="where NATS is (what the server says)")
    parser.add_argument("--cacert", metavar="FILE", help=f"certificates to believe, beside those of the system (${CA})")
    over_ssh = "as the server starts it: this agent, whose keys are in CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY, until stdin ends"
    parser.add_argument("--over-ssh", metavar="NUMBER", type=int, help=over_ssh)
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    return parser


def _read(given: argparse.Namespace) -> AgentOptions:
    """Raises RegistrationRefused, UnreadableCertificate."""
    if given.cacert:
        os.environ[CA] = given.cacert
    url, token = invitation(given.join) if given.join else (given.url, token_given())
    if not url:
        raise RegistrationRefused("which server it is to work for is not said: give --join or --url")
    home = given.home or Path(os.environ.get("CORRAL_HOME") or "~/.corral") / "agent"
    folder = home.expanduser().absolute()
    keep_kind(folder, kind_of(sim=given.sim, docker=given.docker, libvirt=given.libvirt))
    access, secret = (os.environ.get(f"CATTLE_{each}_KEY") for each in ("ACCESS", "SECRET"))
    keys = Credentials(access, secret) if access and secret else None
    if given.over_ssh is not None and keys is None:
        raise RegistrationRefused("an agent that is started over ssh is given its keys in CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY")
    member = Member(given.over_ssh, keys) if given.over_ssh is not None and keys is not None else None
    return AgentOptions(
        url.rstrip("/").removesuffix("/v1"), folder, sim=given.sim, docker=given.docker, libvirt=given.libvirt,
        libvirt_type=None if given.libvirt_type == "auto" else given.libvirt_type, libvirt_storage=given.libvirt_storage,
        libvirt_migration=given.libvirt_migration, console_port=given.console_port,
        libvirt_templates=folder.parent / "libvirt-templates", name=given.name, host_ip=given.host_ip, nats=given.nats, credentials=keys,
        token=token, member=member, tls=trusting() if url.startswith("https") else None,
        docker_certificates=given.docker_cert_path, docker_verify=given.docker_tls_verify,
    )  # fmt: skip


def _log(level: str) -> None:
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    wrapper = structlog.make_filtering_bound_logger(getattr(logging, level.upper()))
    structlog.configure(processors, wrapper, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # its errors reach our own callbacks


async def _run(options: AgentOptions) -> int:
    try:
        await run_until_ended(options, _say, lambda hosts: _say("It is active"))
    except (RegistrationRefused, LedgerInUse, DriverError) as error:
        _say(f"Corral: {error}")
        return 1
    return 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
