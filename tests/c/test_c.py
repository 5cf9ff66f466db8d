# SPDX-License-Identifier: MIT
"""The C programs here, one test each, and what can be said of csrc by reading it."""

import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
PROGRAMS = sorted(path.stem for path in HERE.glob("*.c") if not path.name.startswith("xfail_"))
SKIP = 77

ACQUIRES = ("er_load_acquire", "er_exchange_acquire")
RELEASES = ("er_store_release", "er_fetch_or_release")
BOTH = ("er_cas_acq_rel", "er_fetch_add_acq_rel", "er_fetch_sub_acq_rel")
OPERATION = re.compile(r"\b(" + "|".join(ACQUIRES + RELEASES + BOTH) + r")\(")
LABEL = re.compile(r"SYNC POINT: ([a-z ]+[a-z])")
REACH = 3  # lines from a label to its operation, at most


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    build = tmp_path_factory.mktemp("c")
    made = subprocess.run(
        [HERE / "run.sh", "plain", "--build-only"],
        env={**os.environ, "ER_BUILD": str(build)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return build / "c-plain"


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(built, program):
    ran = subprocess.run([built / program], capture_output=True, text=True, timeout=50, check=False)
    if ran.returncode == SKIP:
        pytest.skip(ran.stderr.strip())
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("target", ["attach", "batch", "ring"])
def test_corpus(target, tmp_path):
    """What libFuzzer has found, under sanitizers; `make fuzz` searches for more."""
    cores = ["batch", "doorbell", "ready", "ring", "segment"]
    sources = {"attach": ["segment"], "ring": ["ring"], "batch": cores}[target]
    program = tmp_path / target
    subprocess.run(
        [
            *os.environ.get("CC", "cc").split(),
            *("-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-D_GNU_SOURCE="),
            *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
            *(f"-I{CSRC}", f"-I{HERE}", "-o", program),
            *(HERE / "fuzz/replay.c", HERE / f"fuzz/{target}.c"),
            *(CSRC / f"er_{name}.c" for name in sources),
        ],
        timeout=50,
        check=True,
    )
    inputs = sorted((HERE / "corpus" / target).iterdir())
    assert len(inputs) > 20
    ran = subprocess.run(
        [program, *inputs], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 0, ran.stderr[-4000:]


def operations():
    """Yields (place, operation, label) of every acquire and release; label None if it has none."""
    for path in sorted(CSRC.glob("*.[ch]")):
        if path.name == "er_atomic.h":  # where they are defined
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            for operation in OPERATION.findall(line):
                near = " ".join(lines[max(0, number - REACH) : number + 1])
                labels = LABEL.findall(near)
                yield f"{path.name}:{number + 1}", operation, labels[-1] if labels else None


def test_every_acquire_and_release_has_a_label():
    unlabelled = [f"{place} {operation}" for place, operation, label in operations() if not label]
    assert not unlabelled


def test_every_sync_point_has_two_sides_and_stands_in_the_table():
    sides = defaultdict(set)
    for _, operation, label in operations():
        if operation not in RELEASES:
            sides[label].add("acquire")
        if operation not in ACQUIRES:
            sides[label].add("release")
    one_sided = {label: found for label, found in sides.items() if len(found) < 2}
    assert not one_sided

    sources = [path for path in CSRC.glob("*.[ch]") if path.name != "er_atomic.h"]
    labels = {label for path in sources for label in LABEL.findall(path.read_text())}
    table = re.findall(r"^\| `([a-z ]+)` \|", (CSRC / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(labels)
    assert labels == set(sides) - {None}  # no label without an operation


def test_every_function_the_table_names_exists():
    section = (CSRC / "README.md").read_text().split("## Sync points")[1].split("\n## ")[0]
    sources = "".join(path.read_text() for path in CSRC.glob("*.[ch]"))
    named = set(re.findall(r"`(er_\w+)`", section))
    assert named
    missing = sorted(name for name in named if not re.search(rf"\b{name}\b", sources))
    assert not missing
