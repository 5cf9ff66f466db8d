# SPDX-License-Identifier: MIT
"""The library in every interpreter: what is checked are the functions of two scripts."""

from __future__ import annotations

import pytest

from support.foreign_prefixes import ENDS, VERSIONS
from worker.interpreters import FOREIGN, functions, run_check

FLAGS = ("-s", "-B", "-W", "ignore")  # numpy warns of odd observations

# one process each
GROUPS = {
    "loop": ("plain_native.py", [c for c in functions("plain_native.py") if "leave" not in c]),
    "leaks": ("plain_native.py", [c for c in functions("plain_native.py") if "leave" in c]),
    "port": ("plain_port.py", functions("plain_port.py")),
}
WITHOUT_LOOP = [
    "commands_and_replies",
    "waiting_lets_other_threads_run",
    "libraries_that_cannot_be_used",
    "segments_that_cannot_be_used",
    "loops_need_cpython",
]
PARAMETERS = [
    (version, group, check)
    for version in VERSIONS
    for group, (_, checks) in GROUPS.items()
    for check in checks
    if version != "pypy" or check in WITHOUT_LOOP
]


def test_there_are_checks():
    found = {group: len(names) for group, (_, names) in GROUPS.items()}
    assert found["loop"] > 7
    assert found["leaks"] == 2
    assert set(GROUPS["port"][1]) > set(WITHOUT_LOOP)


@pytest.mark.parametrize(("version", "group", "check"), PARAMETERS)
def test_native(version, group, check, foreign_python):
    script, names = GROUPS[group]
    if version == "pypy":
        names = WITHOUT_LOOP
    arguments = FOREIGN / "libenvring.so", *names
    # random steps are fewer between them
    some = {} if version in ENDS else {"ENVRING_SOME_STEPS": "1"}
    run_check(foreign_python(version), script, check, *arguments, flags=FLAGS, seconds=50, **some)
