"""What the whole suite says of itself: where something could not be tried, the last lines name it."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

# How fast examples are made says how busy the machine is, not whether the code is right.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_xdist_auto_num_workers(config: Any) -> int:
    """One more than there are cores: many tests wait for a wire, and somebody can work meanwhile."""
    return (os.cpu_count() or 2) + 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which tests did not run, and why, in words that nobody overlooks."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"NOT TRIED: {report.nodeid}: {reason}", yellow=True)
