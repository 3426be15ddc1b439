"""`python -m sim.tws`: this server by itself, with a control port of its own."""

import sys

from sim.commandline import alone

if __name__ == "__main__":
    sys.exit(alone("tws"))
