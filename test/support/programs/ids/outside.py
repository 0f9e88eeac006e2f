"""Lives until its standard input ends, with a child and threads, and counts: what a debugger is attached to from outside."""
import ctypes
import os
import subprocess
import sys
import threading
import time

ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & (2**64 - 1)))  # PR_SET_PTRACER_ANY, where Yama asks for it
counts = [0, 0]


def count(index):
    while True:
        counts[index] += 1
        time.sleep(0.005)
        assert os.getpid() == own


own = os.getpid()
for index in range(2):
    threading.Thread(target=count, args=(index,), daemon=True).start()
print("id", own, flush=True)
print("ready", flush=True)
for line in sys.stdin:
    before = list(counts)
    time.sleep(0.1)
    assert all(now > then for now, then in zip(counts, before))
    assert subprocess.run(["true"]).returncode == 0
    print("alive", line.strip(), flush=True)
print("PASS", flush=True)
