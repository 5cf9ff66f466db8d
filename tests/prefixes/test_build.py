# SPDX-License-Identifier: MIT
"""Builds with a stand-in for the solver: what is built again, what is not, what is said."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envring.errors import LauncherError, SolveError
from envring.launchers.base import Needs
from envring.launchers.micromamba import Micromamba
from envring.prefixes import cache, lock
from prefixes.solving import BUILDER, WITHIN, wait_until


@pytest.fixture
def says(monkeypatch):
    """A function that sets what the stand-in does."""

    def says(**what):
        for name, value in what.items():
            monkeypatch.setenv(f"STAND_IN_{name.upper()}", value)

    return says


def test_the_second_time_nothing_is_run(solving, capsys):
    spec = solving.spec()
    entry, ready = Micromamba(spec).obtain()
    assert len(solving.calls) == 1
    assert ready.prefix == str(entry.prefix) == os.path.dirname(os.path.dirname(ready.executable))
    assert (ready.name, ready.solver, ready.python) == ("game", "micromamba", "3.11.0")
    said = capsys.readouterr().err
    assert said.startswith(f"envring: game: building with micromamba, log: {entry.log}\n")
    assert "envring: game: installing conda packages\n" in said
    assert "ready after" in said
    assert "looking for packages" in entry.log.read_text()
    assert Micromamba(spec).obtain() == (entry, ready)
    assert len(solving.calls) == 1
    assert capsys.readouterr().err == ""


def test_launch_is_that_of_an_activated_prefix(solving):
    spec = solving.spec("name: game\ndependencies: [python]\nvariables: {LEVEL: 3, TEMPO: 4}\n")
    launch = Micromamba(spec).prepare(Needs(environ={"TEMPO": "5", "CONDA_SHLVL": None}))
    prefix = launch.environ["CONDA_PREFIX"]
    assert launch.argv[0] == f"{prefix}/bin/python"
    assert launch.environ["PATH"].startswith(f"{prefix}/bin:")
    assert launch.environ["LEVEL"] == "3"
    assert launch.environ["TEMPO"] == "5"
    assert "CONDA_SHLVL" not in launch.environ
    assert launch.description == f"prefix of {spec} (Python 3.11.0)"


def test_only_content_counts(solving):
    first = Micromamba(solving.spec("name: game\ndependencies: [python]\n")).obtain()[1]
    text = "# the same\ndependencies:\n  - python\nname: game\n"
    assert Micromamba(solving.spec(text, "elsewhere/spec.yml")).obtain()[1] == first
    assert len(solving.calls) == 1


def test_each_part_of_the_content_counts(solving, monkeypatch):
    def prefix(text="", setup=None, solver=None):
        spec = solving.spec(f"name: game\ndependencies: [python]\n{text}")
        return Micromamba(spec, setup, solver).obtain()[1].prefix

    setup = solving.directory / "setup.py"
    setup.write_text("")
    seen = [prefix(), prefix("channels: [x]"), prefix("variables: {A: b}"), prefix(setup=setup)]
    setup.write_text("pass")
    seen.append(prefix(setup=setup))
    seen.append(prefix(solver=str(solving.install("conda"))))
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", "https://mirror")
    seen.append(prefix())
    assert len(set(seen)) == len(seen) == len(solving.calls)


def test_solvers_see_their_settings_and_not_what_is_active(solving, monkeypatch):
    program = solving.install()
    program.write_text(program.read_text().replace("exit", "env\nexit"))
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12")
    monkeypatch.setenv("MAMBA_SSL_VERIFY", "/own.pem")
    monkeypatch.setenv("CONDA_PREFIX", "/callers")
    monkeypatch.setenv("PYTHONPATH", "/callers")
    entry, _ = Micromamba(solving.spec()).obtain()
    seen = entry.log.read_text().splitlines()
    assert {"CONDA_OVERRIDE_CUDA=12", "MAMBA_SSL_VERIFY=/own.pem"} <= set(seen)
    assert f"MAMBA_ROOT_PREFIX={solving.cache}/micromamba" in seen
    assert not [line for line in seen if line.endswith("=/callers")]
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "11")
    assert Micromamba(solving.spec()).obtain()[0] != entry


def test_files_of_the_pip_section_count(solving):
    spec = solving.spec("dependencies: [python, pip: [-r more.txt]]\n")
    more = Path(spec).with_name("more.txt")
    digests = set()
    for text in ("gym", "gym", "gym==0.21"):
        more.write_text(text)
        digests.add(Micromamba(spec).request().digest("conda"))
    assert len(digests) == 2


def test_a_prefix_of_a_solver_that_is_gone_will_do(solving, monkeypatch):
    spec = solving.spec()
    _, first = Micromamba(spec).obtain()
    monkeypatch.delenv("MAMBA_EXE")
    monkeypatch.setenv("PATH", "")
    assert Micromamba(spec).obtain()[1] == first
    assert Micromamba(spec, solver="micromamba").obtain()[1] == first
    with pytest.raises(LauncherError, match="solver 'conda' is not installed"):
        Micromamba(spec, solver="conda").obtain()


def test_failure_shows_the_solvers_last_words_and_the_log(solving, says):
    says(exit="3", says="\\033[31merror\\033[0m: nothing provides gym 99\\ntry another")
    with pytest.raises(SolveError, match="micromamba failed with exit code 3") as caught:
        Micromamba(solving.spec()).obtain()
    (entry,) = cache.entries()
    assert caught.value.log_path == str(entry.log)
    assert caught.value.tail.endswith("error: nothing provides gym 99\ntry another")
    assert str(entry.log) in str(caught.value)
    assert entry.state() == "failed"
    assert not entry.prefix.exists()


def test_failure_is_no_reason_not_to_try_again(solving, says):
    says(exit="3")
    for _ in range(2):
        with pytest.raises(SolveError):
            Micromamba(solving.spec()).obtain()
    says(exit="0")
    entry, _ = Micromamba(solving.spec()).obtain()
    assert entry.state() == "ready"
    assert not entry.failure.exists()
    assert len(solving.calls) == 3


@pytest.mark.parametrize(
    "text",
    [
        "critical libmamba failed to write: No space left on device",
        "NoSpaceLeftError: No space left on devices.",
        "failed to link x: (os error 28)",
        "ERROR: Could not install packages due to an OSError: [Errno 28]" + 30 * "\\nmore",
    ],
)
def test_full_disk(solving, says, text):
    says(exit="1", says=text)
    with pytest.raises(SolveError, match=f"disk of '{solving.cache}' is full: free some"):
        Micromamba(solving.spec()).obtain()


def test_solver_that_is_killed(solving, says, tmp_path):
    program = solving.install()
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(SolveError, match="micromamba was killed by signal 9"):
        Micromamba(solving.spec()).obtain()


def test_solver_that_cannot_be_run(solving):
    solving.install().write_text("#!/gone/interpreter\n")
    with pytest.raises(SolveError, match="micromamba failed") as caught:
        Micromamba(solving.spec()).obtain()
    assert "No such file or directory" in caught.value.tail


def test_spec_without_python(solving, says):
    says(no_python="1")
    with pytest.raises(SolveError, match="has no Python: add python"):
        Micromamba(solving.spec()).obtain()


def test_pip_is_run_by_the_prefix_and_its_failure_shown(solving, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    missing = "envring-no-such-package"
    spec = solving.spec(f"dependencies: [python, pip: [--no-index, {missing}]]\n")
    with pytest.raises(SolveError, match=r"pip failed with exit code 1.*pip section") as caught:
        Micromamba(spec).obtain()
    assert "No module named pip" in caught.value.tail or missing in caught.value.tail
    (entry,) = cache.entries()
    assert (entry.directory / "requirements.txt").read_text() == f"--no-index\n{missing}\n"
    assert f"{entry.prefix}/bin/python -s -m pip install" in entry.log.read_text()


def test_a_build_that_takes_too_long_is_ended(solving, monkeypatch):
    solving.gate()
    monkeypatch.setenv("STAND_IN_GATE", solving.variables["STAND_IN_GATE"])
    monkeypatch.setenv("ENVRING_BUILD_TIMEOUT", "0.5")
    with pytest.raises(SolveError, match="micromamba took too long"):
        Micromamba(solving.spec()).obtain()
    monkeypatch.setenv("ENVRING_BUILD_TIMEOUT", "soon")
    with pytest.raises(LauncherError, match="'soon', which is not a number"):
        Micromamba(solving.spec()).obtain()


def test_waiting_for_another_builder_ends_too(solving, monkeypatch):
    monkeypatch.setenv("ENVRING_BUILD_TIMEOUT", "0.3")
    launcher = Micromamba(solving.spec())
    entry = launcher.request().entry("micromamba")
    with (
        lock.hold(entry.lock, time.monotonic() + WITHIN),
        pytest.raises(SolveError, match=f"not ready after 0 s: .* process {os.getpid()}. End that"),
    ):
        launcher.obtain()


def test_cache_that_cannot_be_made(solving, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(SolveError, match="Not a directory.*Set ENVRING_CACHE"):
        Micromamba(solving.spec()).obtain()


def in_namespace(commands, solving, spec):
    """Runs a builder where a file system can be mounted over the cache, or skips."""
    script = f'{commands} && exec "$@"'
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-c", BUILDER, spec]
    environ = os.environ | {"CACHE": str(solving.cache)}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=WITHIN)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mounting here ({done.stderr.strip()}): real file systems stay untried")
    return done.stdout.strip()


def test_read_only_cache_serves_what_it_holds(solving):
    ready, other = solving.spec(), solving.spec("dependencies: [python, gym]\n", "other.yml")
    _, built = Micromamba(ready).obtain()
    read_only = 'mount --bind "$CACHE" "$CACHE" && mount -o remount,bind,ro "$CACHE"'
    assert in_namespace(read_only, solving, ready) == built.prefix
    said = in_namespace(read_only, solving, other)
    assert said.startswith("SolveError")
    assert "Read-only file system" in said


def test_really_full_disk(solving):
    solving.cache.mkdir()
    text = solving.install().read_text()
    writing = 'dd if=/dev/zero of="$prefix/big" bs=64k count=64 || exit 1\nexit'
    solving.install().write_text(text.replace("exit", writing))
    said = in_namespace('mount -t tmpfs -o size=1m none "$CACHE"', solving, solving.spec())
    assert said.startswith("SolveError")
    assert f"The disk of '{solving.cache}' is full" in said
    # one that says nothing of it, and whose log did not fit
    writing = writing.replace("dd if", "dd 2>/dev/null if")
    solving.install().write_text(text.replace("exit", writing))
    said = in_namespace('mount -t tmpfs -o size=1m none "$CACHE"', solving, solving.spec())
    assert f"The disk of '{solving.cache}' is full" in said


def test_of_eight_who_ask_one_builds_and_the_others_say_that_they_wait(solving):
    spec = solving.spec()
    solving.gate()
    builders = [solving.start(spec) for _ in range(8)]
    wait_until(lambda: solving.calls, "call of the solver")
    building = [each for each in builders if "building with" in each.err.read_text()]
    assert len(building) == 1
    for each in builders:
        if each is not building[0]:
            each.wait_for(f"waiting for process {building[0].process.pid}, which builds it")
    solving.open_gate()
    prefixes = {each.result() for each in builders}
    assert len(prefixes) == len(solving.calls) == 1
    assert all("ready after" in each.err.read_text() for each in builders)


def test_those_who_wait_for_a_build_that_fails_fail_with_it(solving):
    spec = solving.spec()
    solving.gate()
    solving.variables["STAND_IN_EXIT"] = "5"
    builders = [solving.start(spec)]
    builders[0].wait_for("installing")
    builders += [solving.start(spec) for _ in range(2)]
    for each in builders[1:]:
        each.wait_for("waiting for process")
    solving.open_gate()
    said = {each.result() for each in builders}
    assert len(said) == len(solving.calls) == 1
    assert "failed with exit code 5" in said.pop()


def test_a_builder_that_is_killed_takes_the_solver_with_it(solving):
    spec = solving.spec()
    solving.gate()
    first = solving.start(spec)
    wait_until(lambda: solving.calls, "call of the solver")
    (entry,) = cache.entries()
    second = solving.start(spec)
    second.wait_for("waiting for process")
    first.kill()
    # the second clears what is there, and begins anew
    wait_until(lambda: len(solving.calls) == 2, "second call")
    assert entry.state() == "building"
    solving.open_gate()
    assert second.result() == str(entry.prefix)
    assert entry.state() == "ready"


def test_ctrl_c_ends_the_solver_and_takes_away_what_was_built(solving):
    solving.gate()
    builder = solving.start(solving.spec())
    wait_until(lambda: solving.calls, "call of the solver")
    (entry,) = cache.entries()
    builder.process.send_signal(signal.SIGINT)
    assert builder.process.wait(WITHIN) == -signal.SIGINT
    assert "KeyboardInterrupt" in builder.err.read_text()
    assert entry.state() == "unfinished"
    assert not entry.prefix.exists()


def test_nobody_reading_the_progress_is_no_reason_to_stop(solving):
    read, write = os.pipe()
    os.close(read)
    argv = [sys.executable, "-c", BUILDER, solving.spec()]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=write, text=True) as process:
        os.close(write)
        said, _ = process.communicate(timeout=WITHIN)
    assert os.path.exists(said.strip())


def test_the_marker_names_no_secret(solving):
    """Values of the caller's environment stay out of it."""
    entry, _ = Micromamba(solving.spec()).obtain()
    found = json.loads(entry.marker.read_text())["ready"]
    assert set(found) == set(cache.Ready.__dataclass_fields__)


STARTS = """
import json, os, sys
from envring.launchers.base import Needs

spec, prefix = sys.argv[1:]
done, touched, known = [], [], set(sys.modules)

def watch(event, args):
    if event.split(".")[0] in ("subprocess", "socket") or event in (
        "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"
    ):
        done.append(event)
    elif event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith(prefix):
        touched.append(str(args[0]))

sys.addaudithook(watch)
from envring.launchers.micromamba import Micromamba
Micromamba(spec).prepare(Needs())
roots = {name.partition(".")[0] for name in set(sys.modules) - known}
solvers = sorted(roots & {"rattler", "ssl", "http", "urllib"})
print(json.dumps({"done": done, "touched": touched, "solvers": solvers}))
"""


def test_a_start_from_the_cache_costs_little(solving):
    """It runs nothing, asks nobody, imports no solver, and does not go through the prefix."""
    spec = solving.spec()
    entry, _ = Micromamba(spec).obtain()
    argv = [sys.executable, "-c", STARTS, spec, str(entry.prefix)]
    seen = json.loads(subprocess.check_output(argv, timeout=WITHIN))
    assert seen == {"done": [], "touched": [], "solvers": []}
