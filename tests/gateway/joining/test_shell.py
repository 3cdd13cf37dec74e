"""What the scripts for machines that join know by themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import gateway.joining

FUNCTIONS = Path(gateway.joining.__file__).with_name("agent.sh")


@pytest.mark.parametrize(("name", "status"), [("agent/run", 0), ("agent/agent.pyz", 0), ("agent/other", 1), ("b/agent.pyz", 1)])
def test_an_agent_is_at_work_from_when_it_says_which_process_it_is(tmp_path: Path, name: str, status: int) -> None:
    program = tmp_path / name
    program.parent.mkdir()
    home = tmp_path / "agent"
    home.mkdir(exist_ok=True)
    program.write_text('echo $$ >"$PID"; read -r until_the_end')
    with subprocess.Popen(["/bin/sh", str(program)], stdin=subprocess.PIPE, env={"PID": str(home / "pid")}) as running:
        asked = f'. "{FUNCTIONS}"; home="{home}"; while [ ! -s "$home/pid" ]; do pause; done; at_work'
        assert subprocess.run(["sh", "-c", asked], timeout=30, check=False).returncode == status
        running.communicate(timeout=30)
    assert subprocess.run(["sh", "-c", asked], timeout=30, check=False).returncode == 1
