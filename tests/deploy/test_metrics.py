"""/metrics: the table, the documentation and what a server shows are the same; what is counted is what happened."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.metrics import FIGURES
from deploy.settings import SECURITY, read_settings
from eventstore.counts import Distribution
from gateway.observed import route_of
from tests.support.server import CHECKOUT, Server
from tests.support.waiting import until

ROW = re.compile(r"^\| `(corral_[a-z_]+)(?:\{([a-z_, ]+)\})?` \| (.+?) \| .*\|$", re.MULTILINE)


def shown(url: str, **headers: str) -> dict[str, float]:
    """name{label=value,...} -> value, of what begins with corral_."""
    answer = httpx.get(f"{url}/metrics", headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name.startswith("corral_")
    }


OF_KEYS = "corral_nats_admissions_total"
"""Of who has a NATS that asks for keys."""


def names(url: str) -> set[str]:
    said = httpx.get(f"{url}/metrics", timeout=20).text
    return {name for name in re.findall(r"^# TYPE (\S+) ", said, re.MULTILINE) if name.startswith("corral_")}


def test_the_documentation_has_every_figure_with_its_labels_and_no_other() -> None:
    rows = ROW.findall((CHECKOUT / "docs/operating.md").read_text(encoding="utf-8"))
    assert [(name, tuple(filter(None, labels.split(", ")))) for name, labels, _ in rows] == [(each.name, each.labels) for each in FIGURES]


def test_names_keep_to_the_conventions() -> None:
    for each in FIGURES:
        assert re.fullmatch(r"corral_[a-z]+(_[a-z]+)*", each.name)
        assert each.name.endswith("_total") is (each.family.__name__ == "CounterMetricFamily"), each.name
    assert not [name for name, times in Counter(each.name for each in FIGURES).items() if times > 1]


def test_a_distribution_counts_what_is_at_most_its_bounds() -> None:
    seconds = Distribution((0.1, 1.0))
    for value in (0.05, 0.1, 0.2, 1.0, 7.0):
        seconds.add(value)
    assert (seconds.counts, seconds.count, round(seconds.sum, 2)) == ([2, 2, 1], 5, 8.35)


@pytest.mark.parametrize(("path", "route"), [
    ("/", "/"), ("/v1", "/v1"), ("/V1/", "/v1"), ("/v1/containers", "/v1/{type}"), ("/v1/containers/1i1/", "/v1/{type}/{id}"),
    ("/v1/containers/1i1/why", "/v1/{type}/{id}/{link}"), ("/v1/a/b/c/d", "other"), ("/v1/events", "/v1/events"),
    ("/v1/scripts/SECRET", "/v1/scripts"), ("/metrics", "/metrics"), ("/static/corral/page.css", "/static"), ("/etc/passwd", "other"),
])  # fmt: skip
def test_paths_are_counted_by_few_routes(path: str, route: str) -> None:
    assert route_of(path) == route


def test_a_port_that_others_reach_asks_for_keys_unless_told_not_to() -> None:
    assert read_settings(metrics_port=9464).orchestration()[SECURITY] is False
    assert read_settings(metrics_listen="0.0.0.0").orchestration()[SECURITY] is False, "without the port it says nothing"
    assert read_settings(metrics_port=9464, metrics_listen="0.0.0.0").orchestration()[SECURITY] is True
    assert read_settings(metrics_port=9464, metrics_listen="0.0.0.0", set=f"{SECURITY}=false").orchestration()[SECURITY] is False


@pytest.mark.timeout(180)
def test_a_whole_server_shows_each_figure_and_what_it_did(tmp_path: Path) -> None:
    with Server(tmp_path / "home") as server:
        assert names(server.url) == {each.name for each in FIGURES} - {OF_KEYS}
        assert httpx.get(f"{server.url}/healthz").json()["alive"] is True
        ready = httpx.get(f"{server.url}/readyz", timeout=20)
        assert ready.status_code == 200, ready.text
        assert set(ready.json()["checks"]) == {"database", "log", "partitions", "views", "nats"}

        before = shown(server.url)
        made = httpx.post(f"{server.url}/v1/containers", json={"imageUuid": "sim:hello", "name": "counted"}, timeout=20)
        assert made.status_code == 201

        def counted() -> dict[str, float]:
            now = shown(server.url)
            return {name: value - before.get(name, 0.0) for name, value in now.items()}

        more = until(counted, lambda each: each.get("corral_processes_ended_total outcome=succeeded process=instance.start") == 1)
        assert more["corral_processes_begun_total process=instance.create"] == 1
        assert more["corral_commands_sent_total command=compute.instance.activate"] == 1
        assert more["corral_command_answer_seconds_count command=compute.instance.activate"] == 1
        assert more["corral_local_commands_total outcome=done"] >= 1
        assert more["corral_http_requests_total method=POST route=/v1/{type} status=201"] == 1
        assert more["corral_http_request_seconds_count method=POST route=/v1/{type}"] == 1
        assert more["corral_log_events_total"] > 10
        assert more["corral_log_position"] > 10
        assert more["corral_log_append_seconds_count"] == more["corral_log_appends_total"] > 0
        assert more["corral_log_batch_events_sum"] == more["corral_log_events_total"]
        assert more["corral_turn_seconds_count"] > 0
        now = until(lambda: shown(server.url), lambda each: max(v for k, v in each.items() if k.startswith("corral_views_lag_events")) == 0)
        assert now["corral_engine_partitions"] == 16
        assert now["corral_nats_connected of=engine"] == now["corral_postgres_up"] == 1


@pytest.mark.timeout(180)
def test_with_keys_asked_for_figures_are_the_admins_unless_a_setting_opens_them(tmp_path: Path) -> None:
    with Server(tmp_path / "home", set=f"{SECURITY}=true") as server:
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        assert httpx.get(f"{server.url}/healthz").status_code == httpx.get(f"{server.url}/readyz", timeout=20).status_code == 200
        kept = json.loads((tmp_path / "home" / "admin.key").read_text())
        access, secret = kept["access"], kept["secret"]
        answer = httpx.get(f"{server.url}/metrics", auth=(access, secret))
        assert answer.status_code == 200
        assert f"# TYPE {OF_KEYS} counter" in answer.text
        user = httpx.post(f"{server.url}/v1/accounts", json={"kind": "user", "name": "someone"}, auth=(access, secret)).json()
        key = until(
            lambda: httpx.get(f"{server.url}/v1/credentials", params={"accountId": user["id"]}, auth=(access, secret)).json()["data"],
            lambda found: bool(found) and found[0]["state"] == "active",
        )[0]
        assert httpx.get(f"{server.url}/metrics", auth=(key["publicValue"], key["secretValue"])).status_code == 403
        opened = httpx.put(f"{server.url}/v1/settings/1as!api.metrics.open", json={"value": "true"}, auth=(access, secret))
        assert opened.status_code == 200
        assert until(lambda: httpx.get(f"{server.url}/metrics").status_code, lambda status: status == 200)
