"""`make bench`: every benchmark, one after the other; or those that are named."""

import importlib
import sys

ALL = ("tap", "card", "fifo", "ticks", "reconcile", "strangers", "halt", "options")

for name in sys.argv[1:] or ALL:
    print(f"== {name}")
    importlib.import_module(f"benchmarks.{name}").main()
