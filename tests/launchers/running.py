# SPDX-License-Identifier: MIT
"""Running what a launcher prepares, as a worker would be started."""

import json
import os
import subprocess
import sys

from envring.launchers.base import Needs

# what an interpreter says of itself
SEEN = """
import json, os, site, sys
print(json.dumps({
    "prefix": sys.prefix,
    "path": sys.path,
    "optimize": sys.flags.optimize,
    "warnoptions": sys.warnoptions,
    "user_site_enabled": bool(site.ENABLE_USER_SITE),
    "environ": dict(os.environ),
    "cwd": os.getcwd(),
}))
"""


def link_python(prefix):
    """Makes a directory a prefix: its interpreter is the one that runs the tests."""
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    (prefix / "bin/python").symlink_to(os.path.realpath(sys.executable))
    return prefix


def run_in(launcher, code, needs=None):
    """What a piece of Python prints there, which has to be JSON."""
    launch = launcher.prepare(needs or Needs())
    done = subprocess.run(
        [*launch.argv, "-c", code],
        env=launch.environ,
        cwd=launch.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=50,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
