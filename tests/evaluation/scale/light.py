"""A worker's process without a worker: ends as its number says, else with its keeper."""

import os
import signal
import subprocess
import sys

print("begun", file=sys.stderr, flush=True)
assert sys.stdin.readline().count(" ") == 2
slot = int(sys.argv[1])
if slot == 6:  # what is left behind holds all that this one held, until its input ends
    print("RuntimeError: it left", file=sys.stderr)
    subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"])
    os._exit(3)
if slot == 7:
    print("RuntimeError: it broke", file=sys.stderr)
    sys.exit(5)
if slot == 8:
    os.kill(os.getpid(), signal.SIGKILL)
while sys.stdin.readline():
    pass
