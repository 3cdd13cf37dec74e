"""corral up, agent, rebuild, env: the commands that run or mend a server, and say where it is."""

from __future__ import annotations

import asyncio
import inspect
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from deploy.cli.client import DEFAULT_URL, base_url, home, remembered
from deploy.cli.database import Home, Postgres, advance, archive_folder, database_of, opened, progress
from deploy.cli.errors import REFUSED, Failed, WrongUse
from deploy.cli.options import SERVER, Output, Url, command
from deploy.cli.show import Format, err, hint, out, print_json
from deploy.settings import BadSetting, Settings, read_settings, unknown_variables, variable

OWN_VARIABLES = frozenset({"CORRAL_URL", "CORRAL_FAILPOINT", "CORRAL_ACCESS_KEY", "CORRAL_SECRET_KEY", "CORRAL_CA"})
"""Variables that are ours without being settings of `corral up`."""

OPTIONS = {"roles": ("--role", "--roles"), "set": ("--set",)}
"""Options that may be given several times, and how they are called."""


def register(app: typer.Typer) -> None:
    """Adds these commands to the CLI."""
    command(app, "up", SERVER, [
        "corral up",
        "corral up --listen 0.0.0.0              (let other machines in)",
        "corral up --port 9000 --hosts sim       (the same as CORRAL_PORT=9000 CORRAL_HOSTS=sim corral up)",
        "corral up --hosts none                  (a bare control plane)",
        "corral up --role engine --role projector --postgres postgresql://... --nats nats://...      (one of several servers)",
        "corral up --set engine.processes=200    (a setting of the orchestration)",
    ])(up_command())  # fmt: skip

    @command(app, "env", SERVER, ["corral env", 'eval "$(corral env)"', "corral env -o json"])
    def env(home_folder: Home = None, url: Url = None, output: Output = Format.TEXT) -> None:
        """Print the addresses in force, as lines that export them in a shell."""
        values = addresses(home_folder or home(), url)
        if output is Format.JSON:
            print_json(values)
            return
        for name, value in values.items():
            out().print(Text(f"export {name}={shlex.quote(value)}"))

    @command(app, "rebuild", SERVER, [
        "corral rebuild",
        "corral rebuild --postgres postgresql://user:password@host/corral",
    ])  # fmt: skip
    def rebuild(
        home_folder: Home = None,
        postgres: Postgres = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Build the views anew from the log, beside those in use, compare the two, and switch. Safe at any time."""
        asyncio.run(_rebuild(database_of(home_folder, postgres), archive_folder(home_folder), output))


def addresses(folder: Path, url: str | None = None) -> dict[str, str]:
    """Where everything of this home is; what is not known is left out."""
    where = base_url(url or remembered("url", folder) or DEFAULT_URL)
    found = {
        "CORRAL_HOME": str(folder.expanduser().absolute()),
        "CORRAL_URL": where,
        "CORRAL_NATS": remembered("nats", folder),
        "CORRAL_POSTGRES": remembered("postgres", folder),
        "NATS_URL": remembered("nats", folder),
        "NATS_NKEY": remembered("nats_nkey", folder),
        "NATS_CA": remembered("nats_ca", folder),
        "CATTLE_URL": f"{where}/v1",
    }
    return {name: value for name, value in found.items() if value}


def up_command() -> Callable[..., None]:
    """`corral up`, with an option for each setting there is: its name, its variable and its sentence are the setting's own."""

    def up(**given: Any) -> None:
        """Start Corral: its servers, engine, API and local hosts in one process, until Ctrl-C. Each option has its variable."""
        try:
            lists = {name: ",".join(value) or None for name, value in given.items() if isinstance(value, list)}
            settings = read_settings(**{**given, **lists, **own_servers(given)})
        except BadSetting as bad:
            raise WrongUse(str(bad)) from None
        for name in unknown_variables():
            if name not in OWN_VARIABLES:
                err().print(Text(f"{name} is set and means nothing to Corral: `corral up --help` lists the variables", style="yellow"))
        from deploy.up import run  # the whole server: what the other commands need not load

        raise typer.Exit(run(settings))

    parameters = []
    for name, field in Settings.model_fields.items():
        option = typer.Option(
            *OPTIONS.get(name, (f"--{name.replace('_', '-')}",)), envvar=variable(name), help=field.description, metavar=name.upper(),
            show_default=shown_default(field.default) or False,
        )  # fmt: skip
        kind: Any = Annotated[list[str] | None, option] if name in OPTIONS else Annotated[str | None, option]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    up.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    up.__annotations__ = {each.name: each.annotation for each in parameters}
    return up


def own_servers(given: Mapping[str, Any]) -> dict[str, str]:
    """The addresses among these that are of this home's own embedded servers, as not given: a shell that has evaluated `corral env`
    names them, and they live only as long as the process that is to be started."""
    folder = Path(given.get("home") or home()).expanduser()
    own = [name for name in ("postgres", "nats") if given.get(name) and given[name] == remembered(f"own_{name}", folder)]
    if own:
        named, names = " and ".join(map(variable, own)), "name" if len(own) > 1 else "names"
        hint(f"{named} {names} what this home has of its own (`corral env` sets that): it is started as ever")
    return dict.fromkeys(own, "")


def shown_default(default: Any) -> str:
    """As it would be typed."""
    if isinstance(default, tuple):
        return ",".join(str(each) for each in default)
    return str(default) if default or default == 0 else ""


async def _rebuild(where: str, archive: Path, output: Format) -> None:
    from projections.rebuild import rebuild

    async with opened(where, archive) as store:
        try:
            with progress("building the views") as bar:
                done = await rebuild(store, where, lambda folded, of_all: advance(bar, folded, of_all))
        except (RuntimeError, TimeoutError) as error:
            raise Failed(str(error)) from None
    if output is Format.JSON:
        print_json({"schema": done.schema, "position": done.position, "equal": done.equal, "poisoned": done.poisoned})
    elif done.equal:
        out().print(f"The views were built anew from {done.position} events, and are equal to those that were in use.")
    else:
        out().print(f"The views were built anew from {done.position} events. Those in use were not equal to them, and are replaced.")
    for stream in done.poisoned:
        hint(f"{stream} has an event that can't be folded, and is left out: corral events --stream {stream}")
    if not done.equal:
        raise typer.Exit(REFUSED)
