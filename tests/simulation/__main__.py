"""python -m tests.simulation --seed 7 --verbose (one, told), or --seeds 0:1000 (many; the failing ones are printed)."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time

from tests.simulation.mutations import MUTATIONS
from tests.simulation.story import Result, run
from tests.simulation.world import Parts, listen_to_logs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", default="0:100", help="run these, as first:beyond (default %(default)s)")
    parser.add_argument("--mutation", default="", choices=["", *MUTATIONS], help="break something on purpose")
    parser.add_argument("--verbose", action="store_true", help="tell what happens, with virtual times")
    parser.add_argument("--most", type=int, default=3, help="failing seeds to find until it ends (default %(default)s)")
    options = parser.parse_args()
    parts = MUTATIONS[options.mutation]() if options.mutation else Parts()
    if options.seed is not None:
        listen_to_logs(options.verbose)
        result = run(options.seed, parts, options.verbose)
        _tell_trace(result)
        _tell(result)
        return 1 if result.error else 0
    first, _, beyond = options.seeds.partition(":")
    return _run_many(range(int(first), int(beyond)), parts, options.most)


def _run_many(seeds: range, parts: Parts, most: int) -> int:
    listen_to_logs(False)
    gc.freeze()  # what is here already is none of what each seed leaves behind: looking through it takes a tenth of the time
    began = time.perf_counter()
    failed = events = 0
    for seed in seeds:
        result = run(seed, parts)
        events += result.events
        if result.error:
            failed += 1
            _tell(result)
            if failed >= most:
                break
    took = time.perf_counter() - began
    print(f"{len(seeds)} seeds, {events} events, {took:.1f} s, {1000 * took / max(1, len(seeds)):.0f} ms a seed; failed: {failed}")
    return 1 if failed else 0


def _tell(result: Result) -> None:
    what = f"{result.events} events in {result.seconds:.0f} s of virtual time, {result.steps} steps"
    print(f"seed {result.seed}: {what}, log {result.digest[:16]}")
    if result.error:
        print(f"  FAILED: {result.error}")
        print(f"  replay: python -m tests.simulation --seed {result.seed} --verbose")


def _tell_trace(result: Result) -> None:
    for at, who, what in result.trace:
        print(f"{at:9.3f} {who:<12} {what}")


if __name__ == "__main__":
    if not os.environ.get("PYTHONHASHSEED", "").isdigit():  # the order of sets of names must not be another in each run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
