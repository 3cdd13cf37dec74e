"""The documents that clients build themselves from: versions, schemas, resources, errors."""

from __future__ import annotations

import re

from tests.support.http import Api


async def test_the_version_document_lists_what_can_be_listed(api: Api) -> None:
    document = await api.get("/v1")
    assert (document["id"], document["type"]) == ("v1", "apiVersion")
    assert document["links"]["self"] == f"{api.url}/v1"
    assert document["links"]["instanceHostMaps"] == f"{api.url}/v1/instancehostmaps"
    assert "instanceStops" not in document["links"]
    versions = await api.get("/")
    assert versions["links"]["latest"] == f"{api.url}/v1"
    assert versions["data"] == [{**document, "links": {**document["links"]}}]


async def test_every_answer_says_where_the_schemas_are_and_who_asked(api: Api) -> None:
    for path in ("/v1", "/v1/nothing", "/v1/containers/1i99"):
        response = await api.http.get(path, headers={"X-Forwarded-For": "1.2.3.4"})
        assert response.headers["X-API-Schemas"] == f"{api.url}/v1/schemas"
        assert response.headers["X-API-Client-IP"] == "1.2.3.4"
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_links_stand_under_the_host_that_was_asked(api: Api) -> None:
    response = await api.http.get("/v1/hosts", headers={"Host": "10.9.8.7:81"})
    assert response.json()["links"]["self"] == "http://10.9.8.7:81/v1/hosts"


async def test_a_schema_tells_fields_methods_actions_and_filters(api: Api) -> None:
    schemas = await api.get("/v1/schemas")
    assert schemas["resourceType"] == "schema"
    container = await api.get("/v1/schemas/container")
    assert container in schemas["data"]
    assert container["links"] == {"self": f"{api.url}/v1/schemas/container", "collection": f"{api.url}/v1/containers"}
    assert (container["parent"], container["pluralName"]) == ("instance", "containers")
    assert container["collectionMethods"] == ["GET", "POST"]
    assert container["resourceMethods"] == ["GET", "PUT", "DELETE"]
    start = container["resourceFields"]["startOnCreate"]
    assert (start["type"], start["create"], start["update"], start["nullable"], start["default"]) == ("boolean", True, False, False, True)
    assert container["resourceFields"]["state"]["options"][:2] == ["creating", "migrating"]
    assert "offeringId" not in container["resourceFields"]
    assert container["resourceActions"]["stop"]["input"] == "instanceStop"
    assert container["resourceActions"]["start"]["input"] is None
    assert container["collectionFilters"]["name"]["modifiers"] == ["eq", "ne", "prefix", "like", "notlike", "null", "notnull"]
    assert "hosts" in container["includeableLinks"]
    stop = await api.get("/v1/schemas/instancestop")
    assert stop["collectionMethods"] == ["POST"]
    assert stop["collectionFilters"] == {}


async def test_a_resource_shows_every_readable_field_with_null_for_what_is_not_set(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1", name="web", networkIds=[], environment={"A": "b"}, count=1)
    container = await api.get(f"/v1/containers/{made['id']}")
    assert made == container
    assert re.fullmatch(r"1i\d+", container["id"])
    assert (container["type"], container["kind"], container["state"]) == ("container", "container", "creating")
    assert (container["transitioning"], container["transitioningMessage"]) == ("yes", "In Progress")
    assert container["transitioningProgress"] is None
    assert container["description"] is None
    assert container["environment"] == {"A": "b"}
    assert container["memoryMb"] == 256
    assert container["accountId"] == f"1a{api.admin}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", container["created"])
    assert isinstance(container["createdTS"], int)
    assert (container["removed"], container["removedTS"]) == (None, None)
    for hidden in ("networkIds", "count", "offeringId"):
        assert hidden not in container
    assert "environment" in container["data"]["fields"]
    links = container["links"]
    assert links["self"] == f"{api.url}/v1/containers/{container['id']}"
    assert links["instanceHostMaps"] == f"{links['self']}/instancehostmaps"
    assert "image" in links
    assert "agent" not in links  # a to-one link only where there is one
    assert container["actions"]["remove"] == f"{links['self']}/?action=remove"


async def test_errors_are_documents_with_the_status_in_them(api: Api) -> None:
    response = await api.http.get("/v1/containers/1i99")
    error = response.json()
    assert (response.status_code, error["status"], error["code"], error["type"]) == (404, 404, "Not Found", "error")
    assert error["message"]
    assert "fieldName" not in error
    response = await api.http.post("/v1/containers", json={"imageUuid": "nothing:1"})
    error = response.json()
    assert (response.status_code, error["code"], error["fieldName"]) == (422, "InvalidReference", "imageUuid")


async def test_paths_that_name_nothing(api: Api) -> None:
    for path, status, code in (
        ("/v1/nothings", 404, "Not Found"),
        ("/v1/containers/5", 404, "Not Found"),  # a plain number is no id
        ("/v1/containers/1i5/nothing", 404, "Not Found"),
        ("/v1/containers/1i5/volumes/more", 404, "Not Found"),
        ("/v1/containers/1i5/volumes/more/and/more", 404, "Not Found"),
        ("/v2/containers", 422, "UnsupportedVersion"),
        ("/elsewhere", 404, "Not Found"),
        ("/v1/errors", 404, "Not Found"),
    ):
        response = await api.http.get(path)
        assert (response.status_code, response.json()["code"]) == (status, code), path


async def test_methods_that_a_type_does_not_have(api: Api) -> None:
    image = await api.add("image", name="i")
    for method, path in (
        ("POST", "/v1/volumes"),
        ("POST", "/v1/instances"),
        ("GET", "/v1/instancestops"),
        ("POST", "/v1/instancestops"),
        ("DELETE", f"/v1/images/1i{image}"),
        ("DELETE", "/v1/images"),
        ("PATCH", "/v1/images"),
        ("PUT", "/v1"),
        ("POST", f"/v1/images/1i{image}"),
    ):
        response = await api.http.request(method, path)
        assert (response.status_code, response.json()["code"]) == (405, "Method not allowed"), (method, path)


async def test_types_are_found_in_any_case_and_in_the_singular(api: Api) -> None:
    image = await api.add("image", name="i")
    for path in (f"/v1/Image/1i{image}", f"/v1//IMAGES///1i{image}/", f"/v1/images/1I{image}", f"/v1/images/1zz!{image}"):
        assert (await api.get(path))["name"] == "i"


async def test_plain_ids_are_for_who_asks_for_them(api: Api) -> None:
    host = await api.add("host", name="h")
    pool = await api.add("physicalHost", name="p")
    document = await api.get(f"/v1/hosts/{host}", _plainId="true")
    assert document["id"] == str(host)
    assert document["links"]["self"] == f"{api.url}/v1/hosts/{host}"
    response = await api.http.put(f"/v1/hosts/{host}?_plainId=true", json={"physicalHostId": str(pool)})
    assert response.json()["physicalHostId"] == str(pool)
    await api.settled()
    found = await api.get("/v1/hosts", _plainId="true", physicalHostId=str(pool))
    assert [each["id"] for each in found["data"]] == [str(host)]


async def test_ping_health_and_info(api: Api) -> None:
    assert (await api.http.get("/ping")).text == "pong"
    health = await api.get("/healthcheck")
    assert health["healthy"] is True
    info = await api.get("/corral/info")
    assert info == {"version": "test", "nats": "nats://127.0.0.1:1", "position": await api.store.head()}


async def test_head_is_get_without_its_body(api: Api) -> None:
    response = await api.http.head("/v1/containers")
    assert (response.status_code, response.content) == (200, b"")


async def test_the_history_tells_every_event_and_no_secret(api: Api) -> None:
    made = await api.post("/v1/apikeys", publicValue="key", secretValue="the secret")
    assert made["secretValue"] == "the secret"
    history = await api.get(f"/v1/apikeys/{made['id']}/history")
    assert history[0]["type"] == "created"
    assert history[0]["id"].endswith("@1")
    assert history[0]["data"]["changes"]["secretValue"] == "***"
    assert "the secret" not in str(history)


async def test_a_date_of_long_ago_is_one_all_the_same(api: Api) -> None:
    made = await api.post("/v1/hosts", name="h")
    changed = await api.http.put(f"/v1/hosts/{made['id']}", json={"removeTime": "0751-05-16T05:14:00Z"})
    assert changed.json()["removeTime"] == "0751-05-16T05:14:00Z"
