"""python -m tests.golden.record: adds a file for each story that has none, or that says what no file says yet. Writes no file anew."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.golden.corpus import FOLDER, Word, logs, read_log, vocabulary, write
from tests.golden.stories import STORIES


def record(folder: Path = FOLDER) -> list[Path]:
    known: set[Word] = set()
    for path in logs(folder):
        known |= vocabulary(read_log(path))
    added = []
    for story in STORIES:
        log = story().log
        present = sorted(folder.glob(f"{story.__name__}.*.ndjson"))
        if not present or not vocabulary(log) <= known:
            path = folder / f"{story.__name__}.{len(present) + 1}.ndjson"
            write(path, log)
            added.append(path)
            known |= vocabulary(log)
    return added


if __name__ == "__main__":
    new = record()
    sys.stdout.writelines(f"added {path.name}\n" for path in new)
    sys.stdout.write("" if new else "nothing new: every story is recorded\n")
