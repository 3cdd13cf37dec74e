"""corral agent: this machine as a host of a Corral elsewhere. Reads what it is told, and hands over to agents.run."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from deploy.cli.client import base_url, home, key_at, trusted
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.options import SERVER, Logged, NatsUrl, Url, command, is_from_variable
from deploy.cli.show import err, out
from deploy.settings import TEMPLATES, LogFormat, LogLevel, MachineType

if TYPE_CHECKING:
    from agents.run import AgentOptions


CONTAINERS, MACHINES = "Containers", "Virtual machines"
"""Panels of its help."""


def _words(choice: type[StrEnum]) -> str:
    return ", ".join(choice)


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "agent", SERVER, [
        "corral agent --url http://10.0.0.1:8080     (its Docker becomes a host)",
        "corral agent --join 'http://10.0.0.1:8080/v1/scripts/1B7D...'     (by a token)",
        "corral agent --docker tcp://10.0.0.7:2376 --docker-cert-path ./certs",
        "corral agent --libvirt qemu:///system     (with --docker URL, too: both)",
        "corral agent --sim --name paper --home ./paper     (to try things out)",
    ])  # fmt: skip
    def agent(
        context: typer.Context,
        url: Url = None,
        join: Annotated[
            str | None,
            typer.Option("--join", metavar="URL", help="The address of a registration token's script: names the server, and joins it."),
        ] = None,
        name: Annotated[
            str | None, typer.Option("--name", metavar="NAME", help="What people call it.", show_default="this machine's name")
        ] = None,
        folder: Annotated[
            Path | None,
            typer.Option(
                "--home", metavar="FOLDER", help="Where it remembers who it is; each agent has its own.",
                show_default="$CORRAL_HOME/agent",
            ),
        ] = None,
        host_ip: Annotated[
            str | None,
            typer.Option(
                "--host-ip", metavar="IP", envvar="CATTLE_AGENT_IP", help="Where it, and what it publishes, is reached.",
                show_default="found out",
            ),
        ] = None,
        sim: Annotated[bool, typer.Option("--sim", help="Simulate a host instead.")] = False,
        nats: NatsUrl = None,
        nats_ca: Annotated[
            Path | None,
            typer.Option(
                "--nats-ca", metavar="FILE", envvar="CORRAL_NATS_CA", help="Whose certificates NATS is believed by, PEM.",
                show_default="what the server says",
            ),
        ] = None,
        log_level: Logged = LogLevel.WARNING,
        log_format: Annotated[
            LogFormat,
            typer.Option(
                "--log-format", metavar="FORMAT", envvar="CORRAL_LOG_FORMAT", case_sensitive=False, help=f"How: {_words(LogFormat)}."
            ),
        ] = LogFormat.AUTO,
        docker: Annotated[
            str | None,
            typer.Option(
                "--docker", metavar="URL", envvar="CORRAL_DOCKER", help="The Docker engine.", show_default="DOCKER_HOST, or the socket",
                rich_help_panel=CONTAINERS,
            ),
        ] = None,
        docker_cert_path: Annotated[
            Path | None,
            typer.Option(
                "--docker-cert-path", metavar="DIR", help="ca.pem, cert.pem and key.pem, for an engine with TLS.",
                show_default="DOCKER_CERT_PATH", rich_help_panel=CONTAINERS,
            ),
        ] = None,
        docker_tls_verify: Annotated[
            bool | None,
            typer.Option(
                "--docker-tls-verify/--no-docker-tls-verify", help="Whether the engine's certificate must be its authority's.",
                show_default="yes with a DIR, else as DOCKER_TLS_VERIFY says", rich_help_panel=CONTAINERS,
            ),
        ] = None,
        libvirt: Annotated[
            str | None,
            typer.Option(
                "--libvirt", metavar="URI", envvar="CORRAL_LIBVIRT", help="The libvirt, for virtual machines.", show_default="none",
                rich_help_panel=MACHINES,
            ),
        ] = None,
        machine_type: Annotated[
            MachineType,
            typer.Option(
                "--libvirt-type", metavar="TYPE", envvar="CORRAL_LIBVIRT_TYPE",
                help=f"How they run: {_words(MachineType)}; auto is the best there is.", rich_help_panel=MACHINES,
            ),
        ] = MachineType.AUTO,
        storage: Annotated[
            Path | None,
            typer.Option(
                "--libvirt-storage", metavar="FOLDER", envvar="CORRAL_LIBVIRT_STORAGE", help="Where their images and disks are.",
                show_default="a folder of libvirt's, or in its home", rich_help_panel=MACHINES,
            ),
        ] = None,
        migration: Annotated[
            str | None,
            typer.Option(
                "--libvirt-migration", metavar="URI", envvar="CORRAL_LIBVIRT_MIGRATION",
                help="Where other hosts' libvirts reach this one, to move running machines here.", show_default="nowhere",
                rich_help_panel=MACHINES,
            ),
        ] = None,
        console_port: Annotated[
            int,
            typer.Option(
                "--console-port", metavar="PORT", envvar="CORRAL_CONSOLE_PORT", help="For their screens.", min=0, max=65535,
                show_default="any free one", rich_help_panel=MACHINES,
            ),
        ] = 0,
    ) -> None:
        """Make this machine a host: run its containers, or virtual machines, as the Corral at --url says, until Ctrl-C.

        They go on running after it.

        Where the server asks for an API key: corral --key ACCESS:SECRET agent, or $CORRAL_ACCESS_KEY and $CORRAL_SECRET_KEY.
        With a registration token (--join; or registrationToken in $CATTLE_REGISTRATION_ACCESS_KEY, and the token in
        $CATTLE_REGISTRATION_SECRET_KEY) it joins, and has keys of its own.
        """
        if sim and (docker or docker_cert_path or libvirt):
            other = "--libvirt" if libvirt else "--docker"
            raise WrongUse(f"--sim and {other} are two kinds of hosts: start an agent for each, with a --home of its own")
        from agents.joining.by_token import invitation, token_given
        from agents.joining.registration import RegistrationRefused
        from agents.run import AgentOptions, keep_kind, kind_of
        from deploy.logs import configure

        configure(log_level, log_format)
        if join and url and not is_from_variable(context, "url"):
            raise WrongUse("--join names the server: leave --url out")
        place = (folder or home() / "agent").expanduser().absolute()
        try:
            keep_kind(place, kind_of(sim=sim, docker=docker, libvirt=libvirt))
            given, token = invitation(join) if join else (url, token_given())
        except RegistrationRefused as error:
            raise WrongUse(str(error)) from None
        where = base_url(given)
        asyncio.run(_run(AgentOptions(
            where, place, sim=sim, docker=docker, docker_certificates=docker_cert_path, docker_verify=docker_tls_verify, libvirt=libvirt,
            libvirt_type=machine_type.chosen, libvirt_storage=storage, libvirt_templates=home() / TEMPLATES, libvirt_migration=migration,
            console_port=console_port, name=name, host_ip=host_ip, nats=nats, nats_ca=_certificates(nats_ca),
            credentials=key_at(where), token=token, tls=trusted(where),
        )))  # fmt: skip


def _certificates(path: Path | None) -> str:
    try:
        return path.expanduser().read_text() if path is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} can't be read: {error}. Give --nats-ca a PEM file that can") from None


async def _run(options: AgentOptions) -> None:
    from agents.driver import DriverError
    from agents.joining.registration import RegistrationRefused
    from agents.process.ledger import LedgerInUse
    from agents.run import run_until_ended

    try:
        await run_until_ended(options, lambda sentence: err().print(Text(sentence)), _say_active)
    except (RegistrationRefused, LedgerInUse, DriverError) as error:
        raise Failed(str(error)) from None


def _say_active(hosts: list[str]) -> None:
    out().print(Text(f"It takes instances, as host {', '.join(hosts)}" if hosts else "It is active", style="green"))
