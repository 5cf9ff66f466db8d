# SPDX-License-Identifier: MIT
"""A worker process, spoken to directly: what it says first, what it serves, how it leaves."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from support.foreign_prefixes import VERSIONS
from worker.caller import FOREIGN, LIBRARY, Caller, Gone, source

OLD_AND_NEW = ["2.7", "3.6", "3.13"]
EACH = pytest.mark.parametrize("version", VERSIONS)
OLD_NEW = pytest.mark.parametrize("version", OLD_AND_NEW)
BOTH = pytest.mark.parametrize("library", [LIBRARY, None], ids=["native", "relay"])


@pytest.fixture
def python(version, foreign_python) -> str:
    return foreign_python(version)


# -- the handshake -----------------------------------------------------------------------------


@EACH
@BOTH
@pytest.mark.parametrize("compiled", [True, False], ids=["C loop", "Python loop"])
def test_serves_from_hello_to_close(python, version, library, compiled):
    sources = [source("Counting"), source("Counting", length=2), source("Counting", five=False)]
    with Caller(python, sources, library=library, first_env=1, compiled=compiled) as caller:
        ready = caller.ready()
        assert caller.facts["executable"] == python
        assert caller.facts["pid"] == caller.process.pid
        assert caller.facts["bits"] == 64 and caller.facts["machine"] == os.uname().machine
        assert caller.python2 is (version == "2.7")
        if version != "pypy":
            assert caller.facts["implementation"] == "cpython"
            assert caller.facts["version"].startswith(f"{version}.")
        assert ready["native"] is (library is not None), ready["why_not_native"]
        assert bool(ready["why_not_native"]) is (library is None)
        assert ready["metadata"] == {"render_modes": ["rgb_array"], "render_fps": 7}
        kinds, which = ready["observation_spaces"]
        assert len(kinds) == 1 and which == [0, 0, 0] and kinds[0][0] == "box"
        assert ready["action_spaces"][0][0][:2] == ("discrete", 100)
        assert ready["gym"] is None and re.match(r"\d+\.\d+", ready["numpy"])

        assert caller.attach() == ("attached",)
        assert caller.reset(seed=3) is None
        assert caller.obs[1:].tolist() == [[0, 3]] * 3
        assert not caller.obs[0].any()  # another worker's
        expected = [[1, 3], [1, 3], [1, 3]], [[2, 3], [2, 3], [2, 3]], [[3, 3], [0, 4], [3, 3]]
        for step, rows in enumerate(expected):
            assert caller.step([7, 8, 9]) is None
            assert caller.obs[1:].tolist() == rows
            assert caller.rewards.tolist() == [0, 7, 0 if step == 2 else 8, 9]
            assert caller.terminations.tolist() == [False, False, step == 1, False]
            assert not caller.truncations.any()
        caller.close_envs()
        assert caller.wait() == 0
        # not an error of the interpreter's end among it, either
        assert sorted(caller.tail().split("\n")) == ["closed an env"] * 3


@OLD_NEW
@pytest.mark.parametrize("library", [LIBRARY, None], ids=["native", "relay"])
def test_serves_over_pipes_and_a_named_segment(python, library, tmp_path):
    """As in a container: nothing is inherited but descriptors 0, 1 and 2."""
    with Caller(
        python, [source("Counting")], pipes=True, captures=False, library=library
    ) as caller:
        caller.ready()
        layout = caller.lay_out(str(tmp_path / "segment"))
        assert caller.attach(layout) == ("attached",)
        caller.reset(seed=2)
        caller.step()
        assert caller.obs.tolist() == [[1, 2]]
        caller.close_envs()
        assert caller.wait() == 0
        assert caller.tail() == "closed an env"


@OLD_NEW
def test_noise_before_the_handshake_is_no_harm(python, tmp_path):
    """A wrapper prints, and so does the interpreter's own start, the latter into a buffer."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.stdout.write('noise of the interpreter\\n')\n"
    )
    script = 'echo "noise of a wrapper"; exec "$@"'
    with Caller(
        "/bin/sh",
        [source("Counting")],
        argv=["-c", script, "sh", python, "-s"],
        environ={"PYTHONPATH": str(tmp_path)},
    ) as caller:
        caller.up()
        assert caller.noise == b"noise of a wrapper\n"
        caller.close_envs()
        assert caller.wait() == 0
        assert "noise of the interpreter" in caller.tail()


@OLD_NEW
def test_hello_comes_before_anything_is_asked(python):
    with Caller(python, [source("Counting")]) as caller:
        caller.greet()
        caller.send("start", caller.config)
        assert caller.receive()[0] == "ready"
        caller.send("attach", caller.lay_out(), {"obs": ("leaf", 0, "<f4", (2,)), "action": None})
        assert caller.receive() == ("attached",)


@OLD_NEW
@pytest.mark.parametrize("when", ["before hello", "before start", "before attach"])
def test_a_caller_that_goes_during_the_handshake_is_left_quietly(python, when):
    with Caller(python, [source("Counting")]) as caller:
        if when == "before start":
            caller.greet()
        if when == "before attach":
            caller.ready()
        caller.hang_up()
        assert caller.wait(5) in (0, 1)
        assert caller.tail() == ("closed an env" if when == "before attach" else "")


@OLD_NEW
def test_the_caller_may_decide_not_to_attach(python):
    with Caller(python, [source("Counting")]) as caller:
        caller.ready()
        caller.send("close")
        assert caller.wait() == 0
        assert caller.tail() == "closed an env"


# -- what an env finds -------------------------------------------------------------------------


@OLD_NEW
def test_surroundings_are_those_of_a_program_of_its_own(python, version, tmp_path):
    stray = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(stray, True)
    cpu = min(os.sched_getaffinity(0))
    try:
        with Caller(python, [source("Surroundings")], cpu=cpu) as caller:
            caller.up()
            (seen,) = caller.call("look")
    finally:
        os.close(stray)
    assert str(FOREIGN) not in seen["path"] and seen["path"]
    assert seen["children's fds"] == [0, 1, 2, 3], "3 is the directory that ls lists"
    assert seen["sigint"] and seen["sigterm"] and seen["writes bytecode"]
    assert seen["stdin"] == "/dev/null"
    assert seen["cpus"] == str(cpu)
    if version != "2.7":
        assert seen["encoding"] == "utf-8"
    assert seen["threads"] == ["MainThread", "envring-hangup", "envring-stderr"]


@OLD_NEW
def test_children_by_spawn_import_the_main_module_and_nothing_happens(python):
    with Caller(python, [source("Surroundings")]) as caller:
        caller.up()
        assert caller.call("spawn") == [0]


@OLD_NEW
def test_writes_nothing_beside_the_package(python, tmp_path):
    home = tmp_path / "of another interpreter"
    shutil.copytree(FOREIGN, home, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    before = sorted(home.rglob("*"))
    with Caller(python, [source("Counting")], home=home) as caller:
        caller.up()
        caller.reset()
        caller.close_envs()
        assert caller.wait() == 0
    assert sorted(home.rglob("*")) == before


@OLD_NEW
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_paths_beyond_ascii(python, tmp_path, locale):
    home = tmp_path / "gr\xf6\xdfe"
    shutil.copytree(FOREIGN, home, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    path, _, name = source("Counting")["env"].rpartition(":")
    shutil.copy(path, home / "\xfcber.py")
    there = {**source("Counting"), "env": f"{home / chr(0xFC)}ber.py:{name}"}
    with Caller(
        python,
        [there],
        home=home,
        library=str(home / "libenvring.so"),
        environ={"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ) as caller:
        assert caller.ready()["native"]
        assert caller.attach(caller.lay_out(str(home / "segment"))) == ("attached",)
        caller.step(4)
        assert caller.rewards.tolist() == [4]


@OLD_NEW
def test_signals_blocked_or_ignored_by_the_caller_work_in_the_worker(python):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        caller = Caller(python, [source("Counting")])
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with caller:
        caller.up()
        text = Path(f"/proc/{caller.process.pid}/status").read_text()
        masks = dict(re.findall(r"Sig(\w+):\s*([0-9a-f]+)", text))
        bit = 1 << (signal.SIGUSR1 - 1)
        if not caller.python2:  # which has no function for it
            assert not int(masks["Blk"], 16) & bit
        assert not int(masks["Ign"], 16) & (1 << (signal.SIGTERM - 1))


# -- what the env does to its process ------------------------------------------------------------


@OLD_NEW
@BOTH
def test_interrupted_system_calls_are_taken_up_again(python, library):
    with Caller(python, [source("Interrupted")], library=library) as caller:
        caller.up()
        for _ in range(20):
            caller.step()
            assert caller.call("size_of", "x" * 300_000) == [300_000]
        assert len(caller.call("many", 1_000_000)[0]) == 1_000_000
        caller.close_envs()
        assert caller.wait() == 0
        assert caller.tail() == ""


@OLD_NEW
def test_threads_of_envs_end_with_them(python):
    with Caller(python, [source("Threaded")]) as caller:
        caller.up()
        caller.close_envs()
        assert caller.wait() == 0


@OLD_NEW
def test_sigint_is_for_the_caller_and_sigterm_ends_it(python):
    with Caller(python, [source("Counting")]) as caller:
        caller.up()
        os.killpg(caller.process.pid, signal.SIGINT)
        caller.step()
        assert caller.obs[0, 0] == 1
        caller.process.terminate()
        assert caller.wait() == -signal.SIGTERM
        with pytest.raises(Gone):
            caller.receive()
