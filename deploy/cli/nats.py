"""corral nats-key and nats-config: a key of one's own at NATS, and how a NATS of others is set up to ask for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.joining.access import SEED, own_seed, public
from agents.joining.registration import RegistrationRefused
from deploy.cli.client import Client, home
from deploy.cli.database import Home, Postgres, database_of
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.options import SERVER, Output, Url, command, connect
from deploy.cli.show import Format, hint, out, print_json


def register(app: typer.Typer) -> None:
    """Adds these commands to the CLI."""

    @command(app, "nats-key", SERVER, [
        "corral nats-key                             (your own: to look on, and to ask instances)",
        "corral nats-key --handler demo --home demo  (an external handler's, in the folder demo)",
        "corral nats-key --agent 1a7 --home ./agent  (an agent's that is no `corral agent`)",
        "corral nats-key --revoke                    (yours is good no more)",
    ])  # fmt: skip
    def nats_key(
        handler: Annotated[str | None, typer.Option("--handler", metavar="NAME", help="That of an external handler.")] = None,
        agent: Annotated[str | None, typer.Option("--agent", metavar="ID", help="That of an agent.")] = None,
        folder: Annotated[
            Path | None, typer.Option("--home", help="Where its private half is, made if need be.", show_default="$CORRAL_HOME/keys")
        ] = None,
        revoke: Annotated[bool, typer.Option("--revoke", help="Take it back instead.")] = False,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Make a key with which NATS lets somebody in, and tell the server its public half. The one before is good no more."""
        if handler and agent:
            raise WrongUse("a handler and an agent have a key each: say --handler or --agent")
        place = (folder or home() / "keys").expanduser().absolute()
        with connect(url) as client:
            whose: dict[str, Any] = {"agentId": agent} if agent else {"externalHandlerId": _handler(client, handler)} if handler else {}
            try:
                key = None if revoke else public(own_seed(place))
            except RegistrationRefused as error:
                raise Failed(str(error)) from None
            told = client.post("/corral/nats/keys", {"key": key, **whose}).document
        if output is Format.JSON:
            print_json({**told, "seed": None if revoke else str(place / SEED)})
            return
        if revoke:
            out().print(f"{told['of']} has no key at NATS any more: who is connected with it is cut off.")
            return
        out().print(f"{told['of']} has the key {key} at NATS; the private half is {place / SEED}")
        out().print(f"  it hears {', '.join(told['hears'])}")
        out().print(f"  it says  {', '.join(told['says']) or 'nothing'}")
        hint(f"nats --nkey {place / SEED} -s \"$NATS_URL\" sub '{told['hears'][0]}'")

    @command(app, "nats-config", SERVER, [
        "corral nats-config > corral.conf            (include it in the nats-server.conf of all of its servers)",
        "corral nats-config --postgres postgresql://user:password@host/corral",
    ])  # fmt: skip
    def nats_config(home_folder: Home = None, postgres: Postgres = None) -> None:
        """Print what a NATS of your own is to be configured with, so that it lets in whom Corral knows. It holds nothing secret."""
        from deploy.nats import access_config

        config = access_config(asyncio.run(_keys(database_of(home_folder, postgres), (home_folder or home()).expanduser().absolute())))
        out().print("# What Corral lets in is asked of Corral itself. Give its processes CORRAL_NATS_KEYS=true.", markup=False)
        out().print(config, markup=False, end="")


async def _keys(where: str, folder: Path) -> Any:
    from commands.secrets.sealing import WrongMasterKey
    from deploy.master import master_keys
    from deploy.nats import keys_of
    from deploy.settings import BadSetting, read_settings
    from eventstore import StoreError

    try:
        return await keys_of(where, master_keys(read_settings(home=folder, postgres=where, nats="nats://configured:4222"), folder))
    except (StoreError, OSError, WrongMasterKey, BadSetting) as error:
        raise Failed(f"the cloud's keys can't be read: {error}. Start Corral, or say --postgres and CORRAL_MASTER_KEY") from None


def _handler(client: Client, name: str) -> str:
    found = client.all("/v1/externalhandlers", name=name)
    if not found:
        raise Failed(f"there is no external handler {name}: make one first (POST /v1/externalhandlers)")
    return str(found[0]["id"])
