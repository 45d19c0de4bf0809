"""A worker's process without a worker: ends as its number says, else with its keeper."""

import os
import signal
import sys

print("begun", file=sys.stderr, flush=True)
assert sys.stdin.readline().count(" ") == 2
slot = int(sys.argv[1])
if slot == 7:
    print("RuntimeError: it broke", file=sys.stderr)
    sys.exit(5)
if slot == 8:
    os.kill(os.getpid(), signal.SIGKILL)
while sys.stdin.readline():
    pass
