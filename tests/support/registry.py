"""A registry of Docker images in a process of its own, as far as an engine pulls from it: version 2 of its HTTP API, over plain HTTP.

    python -m tests.support.registry IMAGE.tar [--auth basic|token] [--user NAME --password SECRET] [--padding BYTES] [--rate BYTES]

It serves one image (a root file system) under every name and tag, and says its port and the image's digest. It ends with its stdin.
https://github.com/distribution/distribution/blob/main/docs/content/spec/api.md
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import io
import json
import os
import platform
import re
import secrets
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agents.docker.busybox import MACHINES
from tests.support.lab import LabHost, lab_folder
from tests.support.server import CHECKOUT
from tests.support.small_server import Answering, SmallServer, served

USER, PASSWORD = "puller", "a registry's secret"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CHUNK = 64 * 1024


class Registry(SmallServer):
    """`rate`: bytes of a layer that are sent in a second, 0: as fast as it goes. `credentials`: None lets everybody in."""

    def __init__(self, tars: Sequence[bytes], auth: str, credentials: tuple[str, str] | None, rate: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.auth, self.credentials, self.rate = auth, credentials, rate
        self.token = secrets.token_hex(8)
        self.blobs: dict[str, bytes] = {}
        layers = [self._keep(gzip.compress(each, 1, mtime=0), LAYER) for each in tars]
        diffs = [digest_of(each) for each in tars]
        about = {"Cmd": ["sh"], "Env": ["PATH=/bin"], "ExposedPorts": {"80/tcp": {}}}
        config = {"architecture": MACHINES.get(platform.machine(), "amd64"), "os": "linux", "config": about}
        config_blob = json.dumps({**config, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self._keep(config_blob, CONFIG), "layers": layers}
        self.manifest = json.dumps(manifest).encode()

    def _keep(self, blob: bytes, media: str) -> dict[str, object]:
        self.blobs[digest_of(blob)] = blob
        return {"mediaType": media, "size": len(blob), "digest": digest_of(blob)}


class Handler(Answering):
    server: Registry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            if self._basic():
                self.say({"token": self.server.token})
            else:
                self.say({"details": "incorrect username or password"}, 401)
        elif not self._allowed():
            self._challenge()
        elif self.path in ("/v2/", "/v2"):
            self.say({})
        elif found := re.fullmatch(r"/v2/.+/manifests/(.+)", self.path):
            wrong = found[1].startswith("sha256:") and found[1] != digest_of(self.server.manifest)
            self._send(None if wrong else self.server.manifest, MANIFEST)
        elif found := re.fullmatch(r"/v2/.+/blobs/(.+)", self.path):
            self._send(self.server.blobs.get(found[1]), "application/octet-stream", self.server.rate)
        else:
            self.say({"errors": [{"code": "NOT_FOUND", "message": self.path}]}, 404)

    def _send(self, content: bytes | None, media: str, rate: int = 0) -> None:
        if content is None:
            self.say({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, 404)
            return
        self.send_response(200)
        for name, value in (("Content-Type", media), ("Content-Length", str(len(content))), ("Docker-Content-Digest", digest_of(content))):
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(content) if self.command == "GET" else 0, CHUNK):
            self.wfile.write(content[start : start + CHUNK])
            self.wfile.flush()
            if rate:
                time.sleep(CHUNK / rate)

    def _basic(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        return self.server.credentials is None or given == base64.b64encode(":".join(self.server.credentials).encode()).decode()

    def _allowed(self) -> bool:
        if self.server.auth == "token" and self.server.credentials is not None:
            return self.headers.get("Authorization") == f"Bearer {self.server.token}"
        return self._basic()

    def _challenge(self) -> None:
        bearer = f'Bearer realm="{self.server.url}/token",service="tests"'
        self.send_response(401)
        self.send_header("WWW-Authenticate", bearer if self.server.auth == "token" else 'Basic realm="tests"')
        self.send_header("Content-Length", "0")
        self.end_headers()


def digest_of(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@dataclass(frozen=True, slots=True)
class RunningRegistry:
    address: str
    """As the engine calls it, whose network it is in: 127.0.0.1:40001. An engine speaks plain HTTP to those alone."""
    digest: str


@contextmanager
def a_registry(host: LabHost, *options: str, private: bool = True) -> Iterator[RunningRegistry]:
    """Serves the lab's busybox on a host's loopback, for PASSWORD's USER if it is private."""
    who = ("--user", USER, "--password", PASSWORD) if private else ()
    program = [*host.inside, sys.executable, "-m", "tests.support.registry", str(lab_folder() / "busybox.tar"), *who, *options]
    with subprocess.Popen(program, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port, digest = process.stdout.readline().split()
            yield RunningRegistry(f"127.0.0.1:{port}", digest)
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tar", type=Path)
    parser.add_argument("--auth", choices=["basic", "token"], default="basic")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--padding", type=int, default=0)
    parser.add_argument("--rate", type=int, default=0)
    given = parser.parse_args()
    credentials = (given.user, given.password) if given.user else None
    tars = [given.tar.read_bytes(), padding(given.padding)]
    with served(Registry(tars, given.auth, credentials, given.rate)) as registry:
        sys.stdout.write(f"{registry.server_address[1]} {digest_of(registry.manifest)}\n")
        sys.stdout.flush()
        sys.stdin.read()


def padding(size: int) -> bytes:
    """A layer that is new to every engine, of so many bytes that can't be packed."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        member = tarfile.TarInfo("padding")
        member.size = size + 16
        tar.addfile(member, io.BytesIO(os.urandom(member.size)))
    return written.getvalue()


if __name__ == "__main__":
    main()
