"""What a request may be known by, how fast that ends, and how often it may be tried."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from commands import events
from commands.logic.registration_tokens import token
from commands.snapshots import latest
from eventstore import Event
from eventstore.postgres import PostgresStore
from gateway.access import credentials
from gateway.access.callers import MOST_ALIKE
from tests.gateway.access.test_access import account_with_key
from tests.gateway.html.test_pages import FIREFOX
from tests.support.http import Api, serving

SECURE = {"api.security.enabled": True}


@pytest.fixture
async def secure(store: PostgresStore, database: str) -> AsyncIterator[Api]:
    async with serving(store, database, settings=SECURE) as api:
        yield api


async def credential(api: Api, account: int, kind: str, public: str, secret: str) -> int:
    number = await api.add("credential", accountId=account, kind=kind, publicValue=public, secretValue=secret)
    await api.happened(f"credential-{number}", Event(events.UPDATED, {"changes": {"state": "active"}}))
    await api.settled()
    return number


async def test_a_bearer_shows_the_pair_as_it_is_or_in_base64(secure: Api) -> None:
    _, (access, secret) = await account_with_key(secure, "user", "u")
    pair = f"{access}:{secret}"
    for given in (pair, base64.b64encode(pair.encode()).decode()):
        assert (await secure.http.get("/v1", headers={"Authorization": f"Bearer {given}"})).status_code == 200
    for given in ("Basic \xff", "Basic /w==", "Bearer \xff", "Bearer \xff:\xff", "\xff"):
        answer = await secure.http.get("/v1", headers=[(b"Authorization", given.encode("latin-1"))])
        assert answer.status_code == 401, (given, answer.text)
    for given in ("Bearer", "Bearer x", f"Bearer {access}:", "Digest x", f"Bearer {access}:{secret}x", "Basic " + "A" * 100_000):
        assert (await secure.http.get("/v1", headers={"Authorization": given})).status_code in (401, 431, 400), given[:30]


async def test_a_name_that_had_many_passwords_has_its_newest(secure: Api) -> None:
    account, _ = await account_with_key(secure, "user", "u")
    for number in range(MOST_ALIKE + 2):
        made = await credential(secure, account, "apiKey", "name", f"password {number}")
        assert (await secure.http.get("/v1", auth=("name", f"password {number}"))).status_code == 200, number
        await secure.happened(f"credential-{made}", Event(events.UPDATED, {"changes": {"state": "inactive"}}))


async def test_a_registration_token_registers_machines_and_nothing_else(secure: Api) -> None:
    account, _ = await account_with_key(secure, "admin", "a")
    number = await credential(secure, account, "registrationToken", "PUBLIC", "s3cret")
    now = int(secure.store.now().timestamp() * 1000)
    key = ("registrationToken", token("PUBLIC", "s3cret", now))
    schemas = (await secure.http.get("/v1/schemas", auth=key)).json()["data"]
    assert [each["id"] for each in schemas] == ["register", "schema"]
    made = await secure.http.post("/v1/register", json={"key": "machine"}, auth=key)
    assert made.status_code == 201, made.text
    assert (await secure.http.get("/v1/containers", auth=key)).status_code == 404
    old = token("PUBLIC", "s3cret", now - 366 * 24 * 3_600_000)
    for wrong in (old, token("PUBLIC", "other", now), token("OTHER", "s3cret", now), "PUBLIC:x:y", "", key[1] + "x", "PUBLIC\0:1:x"):
        assert (await secure.http.get("/v1", auth=("registrationToken", wrong))).status_code == 401, wrong
    assert (await secure.http.get("/v1", auth=("PUBLIC", "s3cret"))).status_code == 401, "its secret is no key"
    await secure.happened(f"credential-{number}", Event(events.UPDATED, {"changes": {"state": "inactive"}}))
    assert await refused_within(secure.http, key, 2.0)


async def test_a_header_names_an_account_only_where_it_is_trusted(store: PostgresStore, database: str) -> None:
    for trusted, status in ((False, 401), (True, 200)):
        async with serving(store, database, settings={**SECURE, "api.auth.header.enabled": trusted}) as api:
            answer = await api.http.get("/v1/accounts", headers={"X-Account-Uuid": "admin"})
            assert answer.status_code == status
            assert (await api.http.get("/v1", headers={"X-Account-Uuid": "system"})).status_code in (401, 403)
            assert (await api.http.get("/v1", headers={"X-Account-Uuid": "nobody"})).status_code == 401


async def refused_within(http: httpx.AsyncClient, key: tuple[str, str], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (await http.get("/v1", auth=key)).status_code == 401:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize("what", ["credential", "account"])
async def test_what_is_taken_back_is_refused_on_every_gateway_though_the_views_stand_still(
    store: PostgresStore, database: str, what: str
) -> None:
    async with serving(store, database, settings=SECURE) as one:
        account, key = await account_with_key(one, "user", "u")
        number = await credential(one, account, "apiKey", "SECOND", "secret")
        second = ("SECOND", "secret")
        async with serving(store, database, settings=SECURE, projecting=False) as other:
            for api in (one, other):
                assert (await api.http.get("/v1", auth=second)).status_code == 200
            stream = f"credential-{number}" if what == "credential" else f"account-{account}"
            await one.happened(stream, Event(events.UPDATED, {"changes": {"state": "inactive"}}))
            assert await refused_within(one.http, second, 2.0)
            assert await refused_within(other.http, second, 2.0) or (await other.http.get("/v1", auth=second)).status_code == 503
            assert ((await one.http.get("/v1", auth=key)).status_code == 200) is (what == "credential")


async def test_a_password_is_kept_as_a_hash_that_nobody_reads(secure: Api) -> None:
    account, admin = await account_with_key(secure, "admin", "a")
    body = {"kind": "usernamePassword", "publicValue": "jane", "secretValue": "correct horse", "accountId": f"1a{account}"}
    made = (await secure.http.post("/v1/credentials", json=body, auth=admin)).json()
    assert made["secretValue"] is None
    number = int(made["id"][2:])
    await secure.happened(f"credential-{number}", Event(events.UPDATED, {"changes": {"state": "active"}}))
    await secure.settled()
    assert (await secure.http.get("/v1", auth=("jane", "correct horse"))).status_code == 200
    assert (await secure.http.get("/v1", auth=("jane", "wrong"))).status_code == 401
    found = (await secure.http.get(f"/v1/credentials/{made['id']}", auth=admin)).json()
    assert found["secretValue"] is None
    opened = await secure.commands.vault.opened(await latest(secure.store, f"credential-{number}"))
    assert opened.row["secretValue"].startswith("scrypt$")
    assert (await secure.http.get("/v1", auth=("jane", opened.row["secretValue"]))).status_code == 401, "the hash itself opens nothing"
    changed = await secure.http.put(f"/v1/credentials/{made['id']}", json={"secretValue": "another"}, auth=admin)
    assert (changed.status_code, changed.json()["secretValue"]) == (200, None)
    opened = await secure.commands.vault.opened(await latest(secure.store, f"credential-{number}"))
    assert opened.row["secretValue"].startswith("scrypt$")


async def test_wrong_keys_are_limited_by_address_and_those_that_were_good_go_on(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={**SECURE, "api.failed.logins.per.minute": 3}) as api:
        _, good = await account_with_key(api, "user", "good")
        _, late = await account_with_key(api, "user", "late")
        assert (await api.http.get("/v1", auth=good)).status_code == 200
        guesses = [await api.http.get("/v1", auth=("key-good", f"guess{n}")) for n in range(5)]
        assert [each.status_code for each in guesses] == [401, 401, 401, 429, 429]
        assert guesses[-1].json()["code"] == "Too Many Requests"
        assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 20
        assert (await api.http.get("/v1", auth=late)).status_code == 429, "nobody tells whether this one is good"
        await asyncio.sleep(1.1)  # its key is looked up anew
        assert (await api.http.get("/v1", auth=good)).status_code == 200
        assert (await api.http.get("/v1")).status_code == 401, "without a key nothing is guessed"


async def test_a_browsers_wrong_password_counts_once(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={**SECURE, "api.failed.logins.per.minute": 3}) as api:
        guesses = [await api.http.get("/v1", auth=("key", f"guess{n}"), headers=FIREFOX) for n in range(4)]
        assert "html" in guesses[0].headers["Content-Type"]
        assert [each.status_code for each in guesses] == [401, 401, 401, 429]


async def test_many_guesses_at_once_are_as_many(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={**SECURE, "api.failed.logins.per.minute": 3}) as api:
        answers = await asyncio.gather(*(api.http.get("/v1", auth=("key", f"guess{n}")) for n in range(20)))
        assert sum(each.status_code == 401 for each in answers) <= 4


async def test_a_key_may_ask_so_often_and_others_as_often(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={**SECURE, "api.requests.per.second": 1}) as api:
        _, one = await account_with_key(api, "user", "one")
        _, other = await account_with_key(api, "user", "other")
        answers = await asyncio.gather(*(api.http.get(path, auth=one) for path in ("/v1", "/v1/events") * 20))
        refused = [each for each in answers if each.status_code == 429]
        assert {each.url.path for each in refused} == {"/v1", "/v1/events"}
        assert refused[0].headers["Retry-After"] == "1"
        assert (await api.http.get("/v1", auth=other)).status_code == 200


def test_secrets_are_compared_in_a_time_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def spied(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spied)
    assert credentials.same("secret", "secret")
    for given in ("", "s", "secres", "secret" * 1000, "\udc00"):
        assert not credentials.same("secret", given)
    assert {(len(one), len(other)) for one, other in compared} == {(32, 32)}, "neither a beginning nor a length shows"


@pytest.mark.parametrize(("believed", "answers"), [(False, [401, 401, 429, 429]), (True, [401, 401, 401, 401])])
async def test_who_is_no_proxy_guesses_no_more_often_as_many_others(
    store: PostgresStore, database: str, believed: bool, answers: list[int]
) -> None:
    """Nor does it help to come from elsewhere under another's name, where no setting says that proxies may."""
    settings = {**SECURE, "api.failed.logins.per.minute": 2, "api.allow.client.override": believed}
    async with serving(store, database, settings=settings) as api:
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")  # what comes from 127.0.0.1 is a proxy's
        async with httpx.AsyncClient(transport=transport, base_url=api.url, timeout=20) as http:
            names = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(4)]
            asked = [await http.get("/v1", auth=("guess", str(number)), headers=name) for number, name in enumerate(names)]
            assert [each.status_code for each in asked] == answers
            assert asked[3].headers["X-API-Client-IP"] == "203.0.113.3"
