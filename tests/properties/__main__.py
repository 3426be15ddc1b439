"""The long run: `make properties EXAMPLES=... SEED=...`. Prints what was done, how often, and the first difference with the steps to it."""

import argparse
import logging
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.machine import FACTS, STEPS, Desk


def main() -> int:
    """Returns 1 where a counterexample was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties", description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    begun, failed = time.monotonic(), 0
    rules = settings(
        max_examples=asked.examples,
        stateful_step_count=asked.steps,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    try:
        run_state_machine_as_test(seed(asked.seed)(Desk), settings=rules)
    except Exception:  # noqa: BLE001 - whatever it is, it is a difference
        traceback.print_exc(file=sys.stdout)
        failed = 1
    say = sys.stdout.write
    say(f"seed {asked.seed}: {time.monotonic() - begun:.0f} s, {sum(STEPS.values())} steps\n")
    for name, count in sorted(FACTS.items()):
        say(f"  {name}: {count}\n")
    for name, count in STEPS.most_common():
        say(f"    {count:7d}  {name}\n")
    say("DIFFERENCE FOUND\n" if failed else "no difference\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
