# SPDX-License-Identifier: MIT
"""What is wrong with an interpreter, a source or an env is told with all that helps to mend it.

After each test the books are checked: no process, descriptor, file or thread is left.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import envring
from envring import (
    EnvSource,
    HandshakeError,
    InterpreterError,
    LauncherError,
    LayoutMismatch,
    Prefix,
    Python,
    RemoteEnvError,
    RingVectorEnv,
    SourceError,
    SpaceDataError,
    WorkerDied,
    WorkerTimeout,
)
from foreign.home import FILE, plain
from support.foreign_prefixes import interpreter

HERE = Path(__file__).parent
# an ELF file for a machine that this is not
OTHER_MACHINE = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 0xF3, 1) + bytes(40)


@pytest.fixture
def there(foreign_python) -> Python:
    return Python(foreign_python("3.9"))


def fails(kind: Any, sources: Any, launcher: Any, *words: str, **kwargs: Any) -> Any:
    """The constructor raises the error, and the text has the words; returns the error."""
    kwargs.setdefault("num_workers", len(sources))
    with pytest.raises(kind) as caught:
        RingVectorEnv(sources, launcher=launcher, **kwargs)
    text = str(caught.value)
    for word in words:
        assert word in text, text
    return caught.value


def program(folder: Path, text: str, name: str = "python", first: str = "#!/bin/sh") -> Path:
    path = folder / name
    path.write_text(f"{first}\n{textwrap.dedent(text)}")
    path.chmod(0o755)
    return path


def impostor(folder: Path, python: str, text: str) -> Python:
    """An interpreter that does something else first; `worker` runs what it was asked to run."""
    prelude = """
        import os, runpy, struct, sys, time
        path = [argument for argument in sys.argv[1:] if argument.endswith("worker.py")][0]
        def worker():
            sys.argv[:] = [path]
            sys.path[0] = os.path.dirname(path)
            runpy.run_path(path, run_name="__main__")
        """
    body = textwrap.dedent(prelude) + textwrap.dedent(text)
    return Python(str(program(folder, body, first=f"#!{python}")))


# -- interpreters ----------------------------------------------------------------------------------


def test_no_such_interpreter(tmp_path):
    missing = str(tmp_path / "bin/python3.9")
    fails(InterpreterError, [plain()], Python(missing), missing)
    fails(InterpreterError, [plain()], Prefix(str(tmp_path / "nowhere")), "nowhere")
    fails(InterpreterError, [plain()], Prefix(str(tmp_path)), str(tmp_path), "bin/python")
    fails(InterpreterError, [plain()], "python:python9.9", "python9.9", "PATH")


def test_interpreter_that_may_not_be_executed(tmp_path):
    path = program(tmp_path, "exit 0")
    path.chmod(0o644)
    fails(InterpreterError, [plain()], Python(str(path)), str(path))


def test_interpreter_for_another_machine(tmp_path):
    path = tmp_path / "python"
    path.write_bytes(OTHER_MACHINE)
    path.chmod(0o755)
    fails(InterpreterError, [plain()], Python(str(path)), str(path), os.uname().machine)


def test_interpreter_that_is_too_old(tmp_path, foreign_python):
    """One that says so itself: no 3.5 is installed anywhere any more."""
    launcher = impostor(
        tmp_path,
        foreign_python("3.9"),
        """
        sys.version_info = (3, 5, 2, "final", 0)
        worker()
        """,
    )
    fails(InterpreterError, [plain()], launcher, "3.5", "2.7", "env 0", str(tmp_path))


def test_interpreter_without_numpy(tmp_path):
    python = interpreter("3.9")
    if python is None:
        pytest.skip("there is no Python 3.9 here: a missing NumPy stays unchecked")
    subprocess.run(
        [python, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True, timeout=40
    )
    launcher = Prefix(str(tmp_path / "venv"))
    fails(InterpreterError, [plain(), plain()], launcher, "NumPy", str(tmp_path / "venv"), "3.9")


@pytest.mark.parametrize("text", ["exit 3", "echo that went wrong >&2; exit 3"])
def test_program_that_is_no_python(text, tmp_path):
    launcher = Python(str(program(tmp_path, text)))
    words = ["env 0", str(tmp_path / "python"), "Command:", "exit code 3"]
    fails(
        HandshakeError,
        [plain()],
        launcher,
        *words,
        *(["that went wrong"] if "echo" in text else []),
    )


def test_program_that_is_killed_at_once(tmp_path):
    launcher = Python(str(program(tmp_path, "kill -9 $$")))
    fails(HandshakeError, [plain()], launcher, "env 0", "Command:", "killed by signal 9 (SIGKILL)")


def test_program_that_says_nothing(tmp_path):
    launcher = Python(str(program(tmp_path, "echo waiting >&2; exec sleep 1000")))
    start = time.monotonic()
    words = ["envs 0, 1", "Command:", "0.5", "start_timeout"]
    fails(HandshakeError, [plain(), plain()], launcher, *words, num_workers=1, start_timeout=0.5)
    assert time.monotonic() - start < 15


def test_program_that_leaves_a_child(tmp_path):
    """What a wrapper started ends with it."""
    launcher = Python(str(program(tmp_path, "sleep 1000 & echo $! > child; sleep 1000")))
    folder = os.getcwd()
    os.chdir(tmp_path)
    try:
        fails(HandshakeError, [plain()], launcher, start_timeout=2.0)
    finally:
        os.chdir(folder)
    assert int((tmp_path / "child").read_text())


def test_program_that_talks_for_ever(tmp_path):
    launcher = Python(str(program(tmp_path, "exec yes")))
    start = time.monotonic()
    fails(HandshakeError, [plain()], launcher, "Command:", start_timeout=2)
    assert time.monotonic() - start < 15


def test_noise_before_the_first_message(tmp_path, foreign_python, capfd):
    """Wrappers may print; it is passed on, and the worker works."""
    launcher = impostor(
        tmp_path,
        foreign_python("3.9"),
        """
        os.write(1, b"Activating the licence ...\\n" + b" x\\n" * 9)
        os.write(1, b"\\0envring\\0\\0envring-worker done\\n")
        worker()
        """,
    )
    envs = RingVectorEnv([plain(), plain()], launcher=launcher, num_workers=2)
    envs.reset()
    assert envs.step([1, 1])[1].tolist() == [1.125, 1.125]
    envs.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("Activating the licence ...") == 2


FRAMES = {
    "garbage": "b'\\xff' * 64",
    "endless frame": "struct.pack('<Q', 2 ** 62) + b'abc'",
    "empty frame": "struct.pack('<Q', 0)",
    "pickle": "frame(__import__('pickle').dumps(('hello', {}), 2))",
    "number": "frame(__import__('marshal').dumps(5, 2))",
    "no facts": "frame(__import__('marshal').dumps((u'hello', [1]), 2))",
    "code": "frame(__import__('marshal').dumps((u'hello', compile('1', '', 'eval')), 2))",
    "deep": "frame(b'(\\1\\0\\0\\0' * 100000)",
}


@pytest.mark.parametrize("name", FRAMES)
def test_first_message_that_is_none(name, tmp_path, foreign_python):
    launcher = impostor(
        tmp_path,
        foreign_python("3.9"),
        f"""
        def frame(data):
            return struct.pack("<Q", len(data)) + data
        os.write(1, b"\\0envring-worker 1\\n" + {FRAMES[name]})
        os.close(1), os.close(0)
        """,
    )
    fails(HandshakeError, [plain()], launcher, "env 0", "Command:", str(tmp_path))


def test_worker_of_another_version(there, monkeypatch):
    """Two versions of the package do not map one segment."""
    from envring.workers import foreign

    class Newer:
        ABI = foreign._core.ABI + 1

    monkeypatch.setattr(foreign, "_core", Newer)
    fails(LayoutMismatch, [plain()], there, "env 0", str(Newer.ABI))


# -- sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 3])
def test_env_whose_constructor_raises(index, there):
    sources = [plain(index=i) for i in range(4)]
    sources[index] = plain(index=index, faults={"init": "raise"})
    words = [f"Env {index}", "Strange", f"in init of env {index}", there.executable, "Command:"]
    error = fails(RemoteEnvError, sources, there, *words, num_workers=2)
    assert "plain_envs.py" in str(error.__cause__)


def test_second_env_of_a_process_that_takes_one(there):
    """The note names the way out; an env that shares its process with none gets no note."""
    sources = [plain(index=0), plain(index=1, faults={"init": "raise"})]
    error = fails(RemoteEnvError, sources, there, "Env 1", num_workers=1)
    assert "num_workers=num_envs" in "".join(error.__notes__)
    error = fails(RemoteEnvError, sources, there, "Env 1", num_workers=2)
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "os._exit"])
def test_worker_that_dies_while_it_builds(how, there):
    sources = [plain(index=0), plain(index=1, faults={"init": how})]
    error = fails(WorkerDied, sources, there, "env 1", "last words of env 1")
    assert error.env_ids == (1,)


def test_env_that_takes_too_long(there):
    sources = [plain(index=0), plain(index=1, faults={"init": "stop"})]
    start = time.monotonic()
    fails(WorkerTimeout, sources, there, "env 1", "start_timeout", start_timeout=4.0)
    assert time.monotonic() - start < 20


def test_all_workers_fail(there):
    sources = [plain(index=i, faults={"init": "raise"}) for i in range(3)]
    fails(RemoteEnvError, sources, there, "Env")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"env": f"{HERE / 'plain_bad.py'}:make"}, ["there_is_no_such_module"]),
        ({"env": "there_is_no_such_package:make"}, ["there_is_no_such_package"]),
        ({"env": "os:no_such_name"}, ["no_such_name"]),
        ({"env": f"{FILE}:Player"}, ["Player", "plain_envs.py"]),
        ({"env": f"{FILE}:number"}, ["number"]),
        ({"env": f"{FILE}:make", "imports": ["no_such_import"]}, ["no_such_import"]),
        ({"env": f"{FILE}:make", "setup": HERE / "plain_bad.py"}, ["there_is_no_such_module"]),
        ({"env": f"{FILE}:make", "kwargs": {"colour": 5}}, ["colour"]),
        ({"env": f"{FILE}:not_callable"}, ["None"]),
        ({"env": "CartPole-v1"}, ["CartPole-v1", "gym"]),
    ],
    ids=[
        "import-error",
        "no-module",
        "no-attribute",
        "no-name-in-file",
        "not-callable",
        "no-import",
        "setup",
        "kwargs",
        "no-env",
        "no-gym",
    ],
)
def test_source_that_cannot_be_built(source, words, there):
    """The error names the env, the interpreter and what was missing."""
    good = plain(index=0)
    where = [there.executable, "Command:", "3.9"]
    kinds = (SourceError, RemoteEnvError)
    fails(kinds, [good, EnvSource(**source)], there, "Env 1", *words, *where)


def test_file_with_a_syntax_error(there, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def make(:\n")
    fails(SourceError, [EnvSource(f"{path}:make")], there, "broken.py", "SyntaxError")


@pytest.mark.parametrize("prefix", ["gym-0.16", "gym-0.21", "gym-0.26", "gymnasium-1.x"])
def test_unknown_id(prefix, matrix_prefix):
    """It says which library was asked, and what comes close."""
    launcher = Prefix(str(matrix_prefix(prefix)))
    library = prefix.partition("-")[0]
    words = ["CartPoel-v1", "CartPole-v1", library, str(matrix_prefix(prefix))]
    fails(SourceError, [EnvSource("CartPoel-v1")], launcher, *words)


@pytest.mark.parametrize("prefix", ["gym-0.21", "gymnasium-1.x"])
def test_kwargs_that_the_env_does_not_take(prefix, matrix_prefix):
    launcher = Prefix(str(matrix_prefix(prefix)))
    source = EnvSource("CartPole-v1", kwargs={"colour": 5})
    fails((SourceError, RemoteEnvError), [source], launcher, "colour", "CartPole-v1")


@pytest.mark.parametrize(
    ("kwargs", "place"),
    [
        ({"a": {1, 2}}, r"kwargs\['a'\]"),
        ({"a": [{"b": object()}]}, r"kwargs\['a'\]\[0\]\['b'\]"),
        ({"a": {1: 2}}, r"kwargs\['a'\]"),
    ],
)
def test_kwargs_that_are_not_json(kwargs, place):
    with pytest.raises(SourceError, match=place):
        EnvSource("CartPole-v1", kwargs=kwargs)


def test_function_for_another_interpreter(there):
    with pytest.raises(envring.EnvFnError, match="EnvSource"):
        RingVectorEnv([lambda: None], launcher=there)


def test_space_that_cannot_be_described(there):
    sources = [plain(), plain("Indescribable", index=1)]
    fails(SpaceDataError, sources, there, "secret", "Stranger", "1", there.executable)


def test_different_spaces(matrix_prefix):
    """Two games in one vector env, over there, are refused as at home."""
    launcher = Prefix(str(matrix_prefix("gymnasium-1.x")))
    sources = [EnvSource("CartPole-v1"), EnvSource("Acrobot-v1")]
    fails(RuntimeError, sources, launcher)


def test_launcher_that_there_is_not():
    fails(LauncherError, [plain()], "nowhere:x", "nowhere", "prefix")
    fails(LauncherError, [plain()], 5, num_workers=1)
    fails(LauncherError, [plain()], Python(sys.executable), "num_workers=0", num_workers=0)


def test_single_env_that_cannot_be_built(there):
    """RingEnv and make tell the same."""
    with pytest.raises(RemoteEnvError, match="in init of env 0"):
        envring.RingEnv(plain(faults={"init": "raise"}), launcher=there)
    with pytest.raises(SourceError, match="gym"):
        envring.make("CartPole-v1", launcher=there)
