# SPDX-License-Identifier: MIT
"""From nothing to the end of examples/quickstart.ipynb: a clean environment, a wheel of dist/.

    make quickstart                    after make wheels
    python scripts/quickstart.py [WHEEL] [--limit 30]

Prints the seconds of each part. The exit status is 1 if all together take longer than the limit.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def find_wheel() -> Path:
    """The wheel in dist/ for this interpreter and machine, with glibc."""
    version = "{}{}".format(*sys.version_info[:2])
    pattern = f"envring-*-cp{version}-*linux*{platform.machine()}.whl"
    found = [path for path in (ROOT / "dist").glob(pattern) if "musllinux" not in path.name]
    if not found:
        sys.exit(f"error: there is no {pattern} in dist: make wheels, or name a wheel")
    return max(found, key=lambda path: path.stat().st_mtime)


def run(*command: object, cwd: Path) -> float:
    """Runs a command with nothing of the caller's Python in its environment; its seconds."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ENVRING"))}
    began = time.monotonic()
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}\nexit code {done.returncode}")
    return time.monotonic() - began


def script() -> str:
    """The code of the notebook, cell after cell, as users would run it."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code.append("assert envring.__file__.startswith(sys.prefix), envring.__file__")
    return "\n\n".join(code) + "\n"


def main() -> None:
    """Runs the parts, and prints how long they take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", nargs="?", type=Path)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds for all (30)")
    options = parser.parse_args()
    wheel = (options.wheel or find_wheel()).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = folder / "venv/bin/python"
        (folder / "quickstart.py").write_text(script(), encoding="utf-8")
        took = {"environment": run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)}
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        took["pip install"] = run(*pip, wheel, cwd=folder)
        took["quickstart"] = run(python, "-W", "error", "quickstart.py", cwd=folder)
    total = sum(took.values())
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    print(f"{wheel.name}: {parts}; together {total:.1f} s")
    if total > options.limit:
        sys.exit(f"error: that is more than {options.limit:g} s")


if __name__ == "__main__":
    main()
