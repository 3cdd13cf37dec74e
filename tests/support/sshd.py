"""A real sshd on a loopback port, with keys, users' files and a configuration of its own, that takes this very user."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
STARTS = 10.0


class Sshd:
    """`with Sshd(folder) as sshd`: at 127.0.0.1:`port`. Who logs in finds `folder`/home as CORRAL_HOME."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.user = getpass.getuser()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(exist_ok=True)
        self.new_host_key()
        self.authorized = folder / "authorized_keys"
        self.authorized.touch(0o600)
        (folder / "sshd_config").write_text("\n".join([
            "ListenAddress 127.0.0.1", f"Port {self.port}", f"HostKey {folder}/host_key", f"AuthorizedKeysFile {self.authorized}",
            f"PidFile {folder}/pid", "StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes",
            f"SetEnv CORRAL_HOME={self.home}", "",
        ]))  # fmt: skip

    @property
    def uri(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def new_host_key(self) -> None:
        key = self.folder / "host_key"
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, stdin=subprocess.DEVNULL, timeout=30)

    def trust(self, keys: str) -> None:
        self.authorized.write_text(keys)

    def start(self) -> Self:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")], stderr=log, start_new_session=True)
        deadline = time.monotonic() + STARTS
        while time.monotonic() < deadline:
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def kill(self) -> None:
        """With all its connections, as when the machine loses its power: nobody says goodbye."""
        if self._process is not None:
            for pid in [*_below(self._process.pid), self._process.pid]:
                _kill(pid)
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def _below(pid: int) -> list[int]:
    """The sshd processes that a listening one started: one or two for each connection, in sessions of their own."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            name = (place / "comm").read_text()
        except OSError:
            continue
        if parent == pid and name.startswith("sshd"):
            found += [*_below(int(place.name)), int(place.name)]
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
