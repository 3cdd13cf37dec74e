"""What Cattle's own client sends and reads that curl would not: its headers, bodies without a type, its whole objects, pages, plain ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cattle
import pytest
import requests

from tests.support.http import Api

SCHEMAS = "X-API-Schemas"


def heard(client: Any, use: Callable[[], Any]) -> list[requests.Response]:
    """The answers, with their requests, of what is done."""
    answers: list[requests.Response] = []
    hook = client._session.hooks["response"]
    hook.append(lambda answer, **_: answers.append(answer))
    use()
    hook.clear()
    return answers


async def some_hosts(api: Api, count: int = 5) -> None:
    for number in range(count):
        await api.add("host", name=f"h{number}", accountId=api.admin)
    await api.settled()


async def test_every_request_names_nobody_wants_json_and_types_no_body(api: Api) -> None:
    def ask(client: Any) -> None:
        create = {"imageUuid": "sim:x", "name": "a%b", "environment": {"A": "b"}, "startOnCreate": False}
        [answer] = heard(client, lambda: client.create_container(**create))
        sent = answer.request
        assert (sent.method, sent.headers["Authorization"], sent.headers["Accept"]) == ("POST", "Basic Tm9uZTpOb25l", "application/json")
        assert "Content-Type" not in sent.headers
        assert json.loads(sent.body or "") == create
        made = answer.json()
        assert (answer.status_code, made["environment"], made["startOnCreate"]) == (201, {"A": "b"}, False)
        assert answer.headers["Content-Type"].startswith("application/json")
        [got] = heard(client, lambda: client.by_id_container(made["id"]))
        assert got.request.url == made["links"]["self"]
        [listed] = heard(client, lambda: client.list_container(name_like="a%b", state=None, include=["image", "account"], bad_=True))
        assert listed.request.url == f"{api.url}/v1/containers?name_like=a%25b&include=image&include=account&bad_=True"

    await api.with_client(ask)


async def test_schemas_are_found_by_their_header_and_fetched_again_when_that_is_asked_for(api: Api) -> None:
    def ask(client: Any) -> None:
        bound = client.list_container
        first, second = heard(client, client.reload_schema)
        assert (first.request.url, first.headers[SCHEMAS]) == (f"{api.url}/v1", f"{api.url}/v1/schemas")
        assert (second.request.url, second.headers[SCHEMAS]) == (f"{api.url}/v1/schemas", f"{api.url}/v1/schemas")
        assert client.list_container is not bound
        assert heard(client, client._load_schemas) == [], "once they are there, they are kept"
        client._url = f"{api.url}/v1/schemas"
        [direct] = heard(client, client.reload_schema)
        assert direct.request.url == f"{api.url}/v1/schemas"
        assert client.valid()

    await api.with_client(ask)


async def test_pages_and_orders_are_gone_through_by_the_links_that_are_given(api: Api) -> None:
    await some_hosts(api)

    def ask(client: Any) -> None:
        page = client.list_host(limit=2, name_prefix="h")
        urls, names = [], []
        while True:
            assert (page.pagination.limit, page.pagination.partial) == (2, page.pagination.next is not None)
            names += [each.name for each in page]
            if page.pagination.next is None:
                break
            urls.append(page.pagination.next)
            page = page.next()
        assert names == [f"h{number}" for number in range(5)]
        assert not hasattr(page, "next"), "which loops of its users end on"
        assert [parse_qs(urlsplit(url).query)["name_prefix"] for url in urls] == [["h"], ["h"]]
        assert all(url.startswith(f"{api.url}/v1/hosts?") for url in urls)

        by_name = client._get(client.list_host().sortLinks.name)
        assert (by_name.sort.name, by_name.sort.order, [each.name for each in by_name]) == ("name", "asc", names)
        back = client._get(by_name.sort.reverse)
        assert (back.sort.order, [each.name for each in back]) == ("desc", names[::-1])

    await api.with_client(ask)


async def test_plain_ids_are_given_and_taken_where_they_are_asked_for(api: Api) -> None:
    await some_hosts(api, 1)

    def ask(client: Any) -> None:
        [host] = client.list_host(_plainId="true")
        assert host.id.isdigit()
        assert client.by_id_host(host.id, _plainId="true").accountId.isdigit()
        assert client.by_id_host(host.id) is None
        [same] = client.list_host(accountId=host.accountId, _plainId="true")
        assert same.uuid == host.uuid

    await api.with_client(ask)


async def test_a_whole_object_is_sent_back_with_all_that_nobody_may_write(api: Api) -> None:
    await some_hosts(api, 1)

    def ask(client: Any) -> None:
        [host] = client.list_host()
        [answer] = heard(client, lambda: client.update(host, host, {"name": "renamed", "state": "removed"}))
        sent, back = json.loads(answer.request.body or ""), answer.json()
        assert {"links", "actions", "created", "uuid"} <= set(sent)
        assert (sent["state"], back["state"], back["name"]) == ("removed", host.state, "renamed")
        assert {key: back[key] for key in ("id", "uuid", "created", "accountId")} == {
            key: sent[key] for key in ("id", "uuid", "created", "accountId")
        }

    await api.with_client(ask)


async def test_a_strict_client_knows_what_can_be_searched_before_it_asks(api: Api) -> None:
    def ask(client: Any) -> None:
        client._strict = True
        assert len(client.list_host(name="nobody", state_ne="removed")) == 0
        with pytest.raises(cattle.ClientApiError, match="nothing is not searchable field"):
            client.list_host(nothing=1)

    await api.with_client(ask)


async def test_an_address_that_leads_nowhere_is_the_clients_own_error(api: Api) -> None:
    def ask(client: Any) -> None:
        for url in (f"{api.url}/v1/nothing", f"{api.url}/nothing"):
            with pytest.raises(cattle.ApiError, match="Not Found : ") as lost:
                client._get(url)
            assert (lost.value.error.status, lost.value.error.type) == (404, "error")

    await api.with_client(ask)
