"""ssh keys over HTTP: pairs that are made, the private one to keep, and the server's own for machines to let it in."""

from __future__ import annotations

import asyncio
from typing import Any

from cryptography.hazmat.primitives import serialization

from eventstore.postgres import PostgresStore
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, serving


def public_of(pem: str) -> str:
    """Kind and number of the public key that belongs to a private one, as OpenSSH writes them."""
    key = serialization.load_pem_private_key(pem.encode(), None)
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


async def test_a_pair_is_made_shown_and_its_private_key_downloaded(api: Api) -> None:
    made = await api.post("/v1/sshkeys", name="my key/ü")
    assert made["publicValue"] == f"{public_of(made['secretValue'])} cattle@cattle"
    assert made["links"]["pem"] == f"{made['links']['self']}/pem"
    file = await api.http.get(made["links"]["pem"])
    assert (file.status_code, file.text) == (200, made["secretValue"])
    assert file.headers["content-disposition"] == "attachment; filename=my_key__.pem"
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["x-api-schemas"] == f"{api.url}/v1/schemas"
    await api.settled()
    assert "pem" in (await api.get("/v1/credentials", kind="sshKey"))["data"][0]["links"], "also among other credentials"


async def test_without_a_private_key_there_is_none_to_download(api: Api) -> None:
    own = await api.post("/v1/sshkeys", publicValue="ssh-rsa AAAA mine")
    assert (own["publicValue"], own["secretValue"]) == ("ssh-rsa AAAA mine", None)
    key = await api.post("/v1/apikeys")
    for each in (own, key):
        assert "pem" not in each["links"]
        answer = await api.http.get(f"{each['links']['self']}/pem")
        assert (answer.status_code, answer.json()["type"]) == (404, "error")


async def test_users_neither_see_ssh_keys_nor_download_them(api: Api) -> None:
    number, key = await account_with_key(api, "user", "somebody")
    made = await api.add("sshKey", accountId=number, kind="sshKey")
    await api.settled()
    for where in (f"/v1/sshkeys/1c{made}", f"/v1/sshkeys/1c{made}/pem", f"/v1/credentials/1c{made}/pem", "/v1/authorized_keys"):
        assert (await api.http.get(where, auth=key)).status_code == 404, where


async def test_the_servers_own_public_key_is_one_line_and_stays_the_same(api: Api) -> None:
    answers = await asyncio.gather(*(api.http.get(f"/v1/{path}") for path in ("authorized_keys", "AUTHORIZED_KEYS/", "authorized")))
    [line] = {answer.text for answer in answers}
    assert [answer.headers["content-type"] for answer in answers] == ["text/plain; charset=utf-8"] * 3
    assert line.startswith("ssh-rsa AAAA")
    assert line.endswith(" cattle@cattle\n")
    assert line.count("\n") == 1
    await api.settled()
    assert (await api.get("/v1/datas"))["data"] == [], "no list shows the private one"
    assert "PRIVATE" not in str(await api.store.read_all(0, 1000)), "and the log has it sealed"
    assert (await api.http.get("/v1/authorized_keys")).text == line


async def test_all_servers_have_the_same_key(store: PostgresStore, database: str) -> None:
    async with serving(store, database) as first, serving(store, database, projecting=False) as second:
        answers: list[Any] = await asyncio.gather(*(each.http.get("/v1/authorized_keys") for each in (first, second)))
        assert answers[0].text == answers[1].text
