# SPDX-License-Identifier: MIT
"""A builder may be killed at any line: what it leaves is never taken for a finished prefix."""

import subprocess
import sys

from prefixes.solving import WITHIN

TIMES = 30

# forks, so that each of many builders is there at once
SCRIPT = """
import os, signal, sys, time
import yaml
from envring import prefixes
from envring.launchers.micromamba import Micromamba
from envring.prefixes import build, cache, solvers

OURS = os.path.dirname(prefixes.__file__)
launcher = Micromamba(sys.argv[1], sys.argv[2])
entry = launcher.request().entry("micromamba")

def finished():
    return (entry.prefix / "was_set_up").exists()

def child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    return os.waitpid(pid, 0)[1]

def lines_of(work, at, act):
    count = 0
    def local(frame, event, arg):
        nonlocal count
        if event == "line":
            count += 1
            if count == at:
                act()
        return local
    sys.settrace(lambda frame, event, arg:
                 local if frame.f_code.co_filename.startswith(OURS) else None)
    work()
    sys.settrace(None)
    return count

def counted():
    with open("lines", "w") as file:
        file.write(str(lines_of(launcher.obtain, 0, None)))

assert child(counted) == 0
total = int(open("lines").read())
entry.remove(time.monotonic() + 10)
times = int(sys.argv[3])
killed = 0
for i in range(times):
    at = 1 + i * total // times
    status = child(lambda: lines_of(
        launcher.obtain, at, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    killed += os.WIFSIGNALED(status)
    assert entry.ready() is None or finished(), at
    assert entry.state() != "failed", at
    assert child(launcher.obtain) == 0, at
    assert entry.ready() is not None and finished(), at
    status = child(lambda: lines_of(
        lambda: entry.remove(time.monotonic() + 10), at % 40 + 1,
        lambda: os.kill(os.getpid(), signal.SIGKILL)))
    assert entry.ready() is None or finished(), at
    entry.remove(time.monotonic() + 10)
    assert not entry.directory.exists(), at
print("killed", killed, "of", times)
"""


def test_killed_at_any_line(solving):
    setup = solving.directory / "env_setup.py"
    setup.write_text("import os\nopen(os.environ['CONDA_PREFIX'] + '/was_set_up', 'w')\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, solving.spec(), setup, str(TIMES)],
        cwd=solving.directory,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    # how often the builder looks at its programs varies: the last lines may not be reached
    killed, of = done.stdout.split()[1::2]
    assert int(killed) >= int(of) - 5
