# SPDX-License-Identifier: MIT
"""A worker process that cannot be one: what it says, and that it leaves nothing half done."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from support.foreign_prefixes import interpreter
from worker.caller import LIBRARY, Caller, source

OLD_NEW = pytest.mark.parametrize("version", ["2.7", "3.6", "3.13"])

# runs worker.py as if this were another version
PRETEND = """
import runpy, sys
sys.version_info = {version} + tuple(sys.version_info[len({version}):])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def python(version, foreign_python) -> str:
    return foreign_python(version)


def failed(caller: Caller, message: Any) -> tuple[int, str, str, str]:
    """What a worker says of its failure, after which it ends with exit code 1."""
    name, env_id, kind, text, trace = message
    assert name == "failed"
    assert all(type(part) is str for part in (kind, text, trace))
    assert caller.wait() == 1
    return env_id, kind, text, trace


@OLD_NEW
@pytest.mark.parametrize("shown", [(2, 6, 9), (3, 0, 1), (3, 5, 10)])
def test_an_interpreter_that_is_too_old_says_so(python, shown):
    argv = ["-s", "-u", "-c", PRETEND.format(version=shown)]
    with Caller(python, [source("Counting")], argv=argv) as caller:
        with pytest.raises(AssertionError) as said:  # a failure in the place of hello
            caller.start()
        env_id, kind, text, trace = failed(caller, said.value.args[0])
        assert (env_id, kind, trace) == (-1, "version", "")
        assert f"Python {shown[0]}.{shown[1]};" in text
        assert "2.7, or 3.6 and newer" in text
        assert caller.tail() == ""


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9", "3.13"])
def test_numpy_is_missing(version):
    bare = interpreter(version)
    if bare is None:
        pytest.skip(f"there is no Python {version} here: one without NumPy stays unchecked")
    # flags that leave out every site-packages
    with Caller(bare, [source("Counting")], argv=["-s", "-S", "-u"]) as caller:
        env_id, kind, text, trace = failed(caller, caller.start())
        assert (env_id, kind) == (-1, "numpy")
        assert bare in text or os.path.realpath(bare) in text
        assert re.search(r"Error: No module named '?numpy'?\n", text)
        assert "install it there" in text
        assert "Traceback" in trace


@OLD_NEW
def test_numpy_that_breaks_on_import(python, tmp_path):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('built for another day')\n")
    with Caller(python, [source("Counting")], environ={"PYTHONPATH": str(tmp_path)}) as caller:
        _, kind, text, trace = failed(caller, caller.start())
        assert kind == "numpy"
        assert "RuntimeError: built for another day" in text
        assert "numpy.py" in trace


@OLD_NEW
@pytest.mark.parametrize(
    ("env", "changes", "kind", "text"),
    [
        ("refuse", {}, "env", "ValueError: no licence for this"),
        ("refuse", {"kwargs": {"how": "gr\xf6\xdfe"}}, "env", "ValueError: no licence for gr"),
        ("refuse", {"kwargs": {"how": "exit"}}, "env", "SystemExit: I would rather not"),
        ("refuse", {"kwargs": {"bogus": 1}}, "kwargs", "bogus"),
        ("nothing", {}, "env", "None, which is not an env"),
        ("missing", {}, "import", "missing"),
        ("Counting", {"imports": ["no.such.module"]}, "import", "no module"),
        ("Counting", {"setup": "/no/such/setup.py"}, "setup", "/no/such/setup.py"),
        ("NoSpace", {}, "space", "observation space"),
    ],
)
def test_an_env_that_cannot_be_had(python, env, changes, kind, text):
    """Those built before are closed, and the env is named."""
    sources = [source("Counting"), {**source(env), **changes}, source("Counting")]
    with Caller(python, sources, first_env=3) as caller:
        env_id, said_kind, said, trace = failed(caller, caller.start())
        assert (env_id, said_kind) == (4, kind)
        assert text in said
        if "licence" in text:
            assert "in refuse" in trace
        assert caller.tail().count("closed an env") == (3 if kind == "space" else 1)


@OLD_NEW
def test_broken_setup_file(python, tmp_path):
    setup = tmp_path / "setup_env.py"
    setup.write_text("import sys\nprint('setting up')\nraise KeyError('rom')\n")
    with Caller(python, [{**source("Counting"), "setup": str(setup)}]) as caller:
        env_id, kind, text, trace = failed(caller, caller.start())
        assert (env_id, kind) == (0, "setup")
        assert "KeyError: 'rom'" in text and str(setup) in text
        assert "line 3" in trace
        assert caller.tail() == "setting up"


@OLD_NEW
@pytest.mark.parametrize("library", [LIBRARY, None], ids=["native", "relay"])
@pytest.mark.parametrize("wrong", ["abi", "magic", "short", "path", "leaf"])
def test_a_segment_that_is_not_what_was_said(python, library, wrong):
    with Caller(python, [source("Counting")], library=library) as caller:
        caller.ready()
        layout = caller.lay_out()
        if wrong == "abi":
            os.pwrite(caller.memfd, struct.pack("<I", 77), 8)
        elif wrong == "magic":
            os.pwrite(caller.memfd, bytes(8), 0)
        elif wrong == "short":
            layout["bytes"] += 1 << 30
        elif wrong == "path":
            layout.update(fd=-1, path="/no/such/segment")
        elif wrong == "leaf":
            layout["off_actions"] = layout["bytes"]
        env_id, kind, text, _ = failed(caller, caller.attach(layout))
        assert (env_id, kind) == (-1, "library")
        assert "shared memory" in text
        assert {"abi": "ABI 77", "path": "/no/such/segment"}.get(wrong, "") in text
        assert caller.tail() == "closed an env"


@OLD_NEW
def test_a_library_that_does_not_load_is_done_without(python, tmp_path):
    (tmp_path / "libenvring.so").write_text("no library at all")
    for path in (str(tmp_path / "libenvring.so"), str(tmp_path / "missing.so")):
        with Caller(python, [source("Counting")], library=path) as caller:
            ready = caller.ready()
            assert ready["native"] is False
            assert path in ready["why_not_native"]
            assert caller.attach() == ("attached",)
            caller.reset(seed=1)
            caller.step(3)
            assert caller.obs.tolist() == [[1, 1]] and caller.rewards.tolist() == [3]
            caller.close_envs()
            assert caller.wait() == 0


@pytest.mark.parametrize("version", ["3.6", "3.13"])  # NumPy for 2.7 needs it itself
def test_without_ctypes_it_does_without_the_library(python, tmp_path):
    (tmp_path / "ctypes.py").write_text("raise ImportError('libffi is missing')\n")
    (tmp_path / "plain.py").write_text(
        Path(source("Counting")["env"].rpartition(":")[0])
        .read_text()
        .replace("import ctypes\n", "")
    )
    plain = {**source("Counting"), "env": f"{tmp_path / 'plain.py'}:Counting"}
    with Caller(python, [plain], environ={"PYTHONPATH": str(tmp_path)}) as caller:
        ready = caller.ready()
        assert ready["native"] is False and "ctypes" in ready["why_not_native"]
        assert caller.attach() == ("attached",)
        caller.step(3)
        assert caller.rewards.tolist() == [3]


@OLD_NEW
def test_a_package_that_is_not_whole(python, tmp_path):
    (tmp_path / "envring_worker").mkdir()
    (tmp_path / "envring_worker/__init__.py").touch()
    worker = tmp_path / "worker.py"
    worker.write_bytes(Path(LIBRARY).with_name("worker.py").read_bytes())
    with Caller(python, [source("Counting")], home=tmp_path) as caller:
        with pytest.raises(AssertionError) as said:
            caller.start()
        env_id, kind, text, trace = failed(caller, said.value.args[0])
        assert (env_id, kind) == (-1, "worker")
        assert "the worker's own modules cannot be imported" in text
        assert "Traceback" in trace
