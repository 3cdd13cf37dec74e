"""A server that others reach asks for keys and tells the admin's; HTTPS with a certificate of one's own; the CLI with both."""

from __future__ import annotations

import json
import re
import ssl
import stat
from pathlib import Path

import httpx
import pytest

from deploy.settings import SECURITY, BadSetting, read_settings
from tests.deploy.test_cli import Cli
from tests.support.certificates import self_signed
from tests.support.server import Server


@pytest.mark.parametrize(("listen", "secure"), [
    ("127.0.0.1", False), ("127.0.0.2", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True), ("10.0.0.1", True),
    ("corral.example", True),
])  # fmt: skip
def test_what_others_reach_asks_for_keys_unless_told_not_to(listen: str, secure: bool) -> None:
    assert read_settings(listen=listen).orchestration()[SECURITY] is secure
    for chosen in (True, False):
        assert read_settings(listen=listen, set=f"{SECURITY}={str(chosen).lower()}").orchestration()[SECURITY] is chosen


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="CORRAL_TLS_CERTIFICATE and CORRAL_TLS_KEY go together"):
        read_settings(tls_certificate=str(tmp_path / "c.pem"))


@pytest.mark.timeout(180)
def test_https_with_keys_and_the_cli_of_its_home_and_of_another(tmp_path: Path) -> None:
    cert, private = self_signed(tmp_path)
    with Server(tmp_path / "home", set=f"{SECURITY}=true", tls_certificate=str(cert), tls_key=str(private)) as server:
        url = server.url.replace("http://", "https://")
        kept = server.home / "admin.key"
        key = json.loads(kept.read_bytes())
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        told = server.said()
        assert f"curl -u {key['access']}:{key['secret']} {url}/v1\n" in told, "as it can be pasted"
        assert f"corral --key {key['access']}:{key['secret']} ps --url {url}\n" in told
        joining = re.search(rf"curl -sS '{re.escape(url)}/v1/scripts/(\S+)' \| sh ", told)
        assert joining is not None
        context = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(base_url=url, verify=context, timeout=20) as http:
            assert http.get("/v1").status_code == 401
            assert http.get("/corral/info").status_code == 401, "it tells where NATS is"
            assert http.get("/ping").text == "pong"
            answer = http.get("/v1", auth=(key["access"], key["secret"]))
            assert answer.json()["links"]["self"] == f"{url}/v1"
            schemas = http.get("/v1/schemas", auth=("registrationToken", joining[1])).json()
            assert [each["id"] for each in schemas["data"]] == ["register", "schema"]
        with pytest.raises(httpx.ConnectError), httpx.Client(timeout=20) as unbelieving:
            unbelieving.get(f"{url}/v1")

        own = Cli(server.home)
        assert [each["name"] for each in own.json("ps")] == ["hello-corral"]
        stranger = Cli(tmp_path / "elsewhere")
        assert "certificate verify failed" in stranger.ended("ps", "--url", url, status=1).stderr.lower()
        stranger = Cli(stranger.home, {"CORRAL_CA": str(cert)})
        assert "--key ACCESS:SECRET" in stranger.ended("ps", "--url", url, status=1).stderr
        assert [each["name"] for each in stranger.json("--key", f"{key['access']}:{key['secret']}", "ps", "--url", url)] == ["hello-corral"]
        known = {**stranger.variables, "CORRAL_ACCESS_KEY": key["access"], "CORRAL_SECRET_KEY": key["secret"]}
        stranger = Cli(stranger.home, known)
        assert [each["name"] for each in stranger.json("ps", "--url", url)] == ["hello-corral"]
