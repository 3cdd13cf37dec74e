"""What the scripts for machines that join know by themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import gateway.joining

FUNCTIONS = Path(gateway.joining.__file__).with_name("agent.sh")


@pytest.mark.parametrize(("name", "status"), [("agent/run", 0), ("agent/agent.pyz", 0), ("agent/other", 1)])
def test_an_agent_is_at_work_from_when_it_says_which_process_it_is(tmp_path: Path, name: str, status: int) -> None:
    program = tmp_path / name
    program.parent.mkdir()
    program.write_text('echo $$ >"$1"; read -r until_the_end')
    pid = tmp_path / "pid"
    pid.touch()
    with subprocess.Popen(["/bin/sh", str(program), str(pid)], stdin=subprocess.PIPE) as running:
        asked = f'. "{FUNCTIONS}"; home="{tmp_path}"; while [ ! -s "$home/pid" ]; do pause; done; at_work'
        assert subprocess.run(["sh", "-c", asked], timeout=30, check=False).returncode == status
        running.communicate(timeout=30)
    assert subprocess.run(["sh", "-c", asked], timeout=30, check=False).returncode == 1
