"""`python -m bot`, exactly, but for one thing: at the boundary that its page names it sends itself a real SIGKILL."""

import os
import signal
import sys
from pathlib import Path

from bot.__main__ import main
from tests.crash.recorder import Recorder, install
from tests.crash.timeline import Shared

PAGE = "CRASH_PAGE"
"""The variable of the environment that says where the page is."""


def die() -> None:
    """No way back: the kernel ends the process before this returns."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


if __name__ == "__main__":
    install(Recorder(Shared(Path(os.environ[PAGE])), die))
    sys.exit(main(["run"]))
