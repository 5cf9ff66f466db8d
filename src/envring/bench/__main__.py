# SPDX-License-Identifier: MIT
"""The command `python -m envring.bench`: the same as `envring bench`."""

from __future__ import annotations

from envring.bench.start import require_extra


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: always, with the command's exit code.
    """
    require_extra("click")
    from envring.bench.command import bench

    bench(prog_name="python -m envring.bench")


if __name__ == "__main__":
    main()
