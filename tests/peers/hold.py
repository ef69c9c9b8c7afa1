"""Stops a thread of another process, as a driver that never answers does."""

import pathlib
import subprocess
import sys

# Holds a thread as a debugger does, until this process ends.
HOLD = """
import ctypes, sys, time
seize, interrupt = 0x4206, 0x4207
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
for request in (seize, interrupt):
    if ptrace(request, int(sys.argv[1]), None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
print("held", flush=True)
time.sleep(1000)
"""


def hold(pid, thread):
    """Stops one thread of a process, as a driver that never answers does, for as long as what is returned runs."""
    for comm in pathlib.Path(f"/proc/{pid}/task").glob("*/comm"):
        if comm.read_text().strip() == thread:
            break
    else:
        raise AssertionError(f"there is no thread {thread}")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, comm.parent.name], stdout=subprocess.PIPE, text=True)
    if holder.stdout.readline() != "held\n":
        raise AssertionError("the thread was not stopped")
    return holder
