# SPDX-License-Identifier: MIT
"""Variables and scripts of conda packages, run once and stored."""

import json
import os
import stat

import pytest

from envring.errors import InterpreterError
from envring.launchers import activation
from envring.launchers.base import Needs
from envring.launchers.prefix import Prefix
from launchers.running import SEEN, run_in

BASE = {"PATH": "/usr/bin:/bin", "HOME": "/home/nobody"}


@pytest.fixture
def script(conda_prefix):
    """Adds an activation script."""

    def add(name, text):
        file = conda_prefix / "etc/conda/activate.d" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return add


@pytest.fixture
def runs(tmp_path, script):
    """How often the scripts have run."""
    count = tmp_path / "runs"
    count.touch()
    script("00-count.sh", f"echo . >> '{count}'")
    return lambda: len(count.read_text().split())


def activate(prefix, **more):
    return activation.activate(str(prefix), {**BASE, **more})


def test_a_conda_prefix_without_scripts(conda_prefix):
    assert activate(conda_prefix) == {
        **BASE,
        "PATH": f"{conda_prefix}/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(conda_prefix),
        "CONDA_DEFAULT_ENV": "game",
        "CONDA_SHLVL": "1",
    }


def test_a_prefix_outside_of_envs_is_named_by_its_path(tmp_path):
    (tmp_path / "elsewhere/conda-meta").mkdir(parents=True)
    found = activate(tmp_path / "elsewhere")
    assert found["CONDA_DEFAULT_ENV"] == str(tmp_path / "elsewhere")


def test_a_venv_beside_conda_records_is_a_venv(conda_prefix):
    (conda_prefix / "pyvenv.cfg").touch()
    found = activate(conda_prefix)
    assert found["VIRTUAL_ENV"] == str(conda_prefix) and "CONDA_PREFIX" not in found


def test_variables_of_packages_come_first_and_the_owner_s_win(conda_prefix):
    folder = conda_prefix / "etc/conda/env_vars.d"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"A": "package", "B": "first", "E": "package"}')
    (folder / "b.json").write_text('{"B": "second", "C": "\u00e9t\u00e9"}', encoding="utf-8")
    state = {"version": 1, "env_vars": {"A": "owner", "D": "4", "E": "***unset***"}}
    (conda_prefix / "conda-meta/state").write_text(json.dumps(state))
    found = activate(conda_prefix)
    assert [found.get(name) for name in "ABCDE"] == ["owner", "second", "\u00e9t\u00e9", "4", None]


def test_scripts_set_change_and_remove_variables(conda_prefix, script):
    script("a.sh", 'export GAME_DATA="$CONDA_PREFIX/share"; export PATH="/opt/game:$PATH"')
    script("b.sh", 'unset DISPLAY; export GAME_MAPS="$GAME_DATA/maps"; local_only=1')
    found = activate(conda_prefix, DISPLAY=":0", LIBRARY="kept")
    assert found["GAME_DATA"] == f"{conda_prefix}/share"
    assert found["GAME_MAPS"] == f"{conda_prefix}/share/maps"
    assert found["PATH"] == f"/opt/game:{conda_prefix}/bin:/usr/bin:/bin"
    assert found["LIBRARY"] == "kept"
    assert not found.keys() & {"DISPLAY", "local_only", "SHLVL", "_", "PWD"}


def test_scripts_are_bash_and_see_the_variables_of_packages(conda_prefix, script):
    state = {"env_vars": {"GAME": "pong"}}
    (conda_prefix / "conda-meta/state").write_text(json.dumps(state))
    script("a.sh", 'list=(x y); export SEEN="${list[1]}-$GAME"; f() { :; }; export -f f')
    found = activate(conda_prefix)
    assert found["SEEN"] == "y-pong"
    assert not [name for name in found if name.startswith("BASH_FUNC")]


def test_values_with_newlines_and_odd_bytes_come_through(conda_prefix, script):
    script("a.sh", "export ODD=$'one\\ntwo=2\\n\\xe9'")
    assert activate(conda_prefix)["ODD"] == "one\ntwo=2\n\udce9"


def test_only_sh_files_are_scripts_of_a_shell(conda_prefix, script):
    script("a.fish", "set -gx WRONG 1")
    script("a.csh", "setenv WRONG 1")
    script("a.bat", "set WRONG=1")
    assert "WRONG" not in activate(conda_prefix)


def test_output_of_scripts_is_no_variable(conda_prefix, script, capfd):
    script("a.sh", "echo NOISE=1; echo NOISE=2 >&2; printf 'X=1\\0'; export QUIET=1")
    found = activate(conda_prefix)
    assert found["QUIET"] == "1" and not found.keys() & {"NOISE", "X"}
    assert capfd.readouterr() == ("", "")


def test_a_command_that_fails_stops_no_script(conda_prefix, script):
    script("a.sh", "false; ls /nowhere; export AFTER=1; return 3")
    script("b.sh", "export NEXT=1")
    found = activate(conda_prefix)
    assert (found["AFTER"], found["NEXT"]) == ("1", "1")


@pytest.mark.parametrize("text", ["exit 0", "exit 7", "set -e; false", "set -u; echo $NOT_SET"])
def test_a_script_that_ends_the_shell_is_named_with_what_it_said(conda_prefix, script, text):
    script("a.sh", "export FINE=1")
    bad = script("b.sh", f"echo no licence for this game >&2; {text}")
    with pytest.raises(InterpreterError) as caught:
        activate(conda_prefix)
    message = str(caught.value)
    assert f"Prefix {conda_prefix} cannot be activated: its script {bad} ended the shell" in message
    assert "no licence for this game" in message


def test_a_script_that_hangs_is_ended_with_what_it_started(conda_prefix, script, monkeypatch):
    monkeypatch.setattr(activation, "_TIMEOUT", 2.0)
    bad = script("a.sh", "sleep 1000 & sleep 1000")
    with pytest.raises(InterpreterError, match=r"took more than \d+ s") as caught:
        activate(conda_prefix)
    assert str(bad) in str(caught.value)


def test_scripts_run_once(conda_prefix, script, runs):
    script("a.sh", "export GAME=pong")
    for _ in range(3):
        assert activate(conda_prefix)["GAME"] == "pong"
    assert runs() == 1


def test_another_interpreter_s_prefix_has_its_own_result(conda_prefix, script, runs, tmp_path):
    script("a.sh", 'export HERE="$CONDA_PREFIX"')
    activate(conda_prefix)
    moved = conda_prefix.rename(tmp_path / "moved")
    assert activate(moved)["HERE"] == str(moved)
    assert runs() == 2


def test_a_changed_or_new_script_runs_again(conda_prefix, script, runs):
    script("a.sh", "export GAME=pong")
    activate(conda_prefix)
    script("a.sh", "export GAME=chess")
    assert activate(conda_prefix)["GAME"] == "chess"
    script("b.sh", "export MORE=1")
    assert activate(conda_prefix)["MORE"] == "1"
    assert runs() == 3


def test_a_variable_that_a_script_may_look_at_is_part_of_the_result(conda_prefix, script, runs):
    script("a.sh", 'test -n "$GPU" && export DEVICE="gpu$GPU"')
    assert "DEVICE" not in activate(conda_prefix)
    assert activate(conda_prefix, GPU="1")["DEVICE"] == "gpu1"
    assert activate(conda_prefix, GPU="2")["DEVICE"] == "gpu2"
    assert activate(conda_prefix, GPU="1", UNRELATED="x")["DEVICE"] == "gpu1"
    assert runs() == 3


def test_a_variable_that_a_script_changes_unnamed_is_part_of_it_too(conda_prefix, script, runs):
    script("a.sh", 'name=GAME_; export "${name}MODE"="<$(eval echo \\$${name}MODE)>"')
    assert activate(conda_prefix)["GAME_MODE"] == "<>"
    assert activate(conda_prefix, GAME_MODE="easy")["GAME_MODE"] == "<easy>"


def test_results_are_the_user_s_own_business(conda_prefix, script, own_cache):
    script("a.sh", "export TOKEN=secret")
    activate(conda_prefix)
    (file,) = (own_cache / "activation").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"changes": 3, "before": ""}', '{"changes": {"A": 3}, "before": ""}'],
)
def test_a_damaged_result_is_made_again(conda_prefix, script, runs, own_cache, content):
    script("a.sh", "export GAME=pong")
    activate(conda_prefix)
    (file,) = (own_cache / "activation").iterdir()
    file.write_text(content)
    assert activate(conda_prefix)["GAME"] == "pong"
    assert activate(conda_prefix)["GAME"] == "pong"
    assert runs() == 2


def test_without_a_place_to_store_scripts_run_each_time(conda_prefix, script, runs, own_cache):
    own_cache.write_text("a file where the cache should be")
    script("a.sh", "export GAME=pong")
    for _ in range(2):
        assert activate(conda_prefix)["GAME"] == "pong"
    assert runs() == 2


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("conda-meta/state", "{", "cannot be read"),
        ("conda-meta/state", "[1]", "does not hold a JSON object"),
        ("conda-meta/state", '{"env_vars": ["A"]}', '"env_vars" is not a JSON object'),
        ("conda-meta/state", '{"env_vars": {"A": null}}', "sets the variable 'A' to None"),
        ("conda-meta/state", '{"env_vars": {"A=B": "x"}}', "sets the variable 'A=B'"),
        ("etc/conda/env_vars.d/x.json", '{"A": "nul\\u0000"}', "sets the variable 'A'"),
        ("etc/conda/env_vars.d/x.json", "[" * 100_000, "cannot be read"),
        ("etc/conda/env_vars.d/x.json", '"text"', "does not hold a JSON object"),
    ],
)
def test_variables_that_are_none(conda_prefix, file, content, words):
    path = conda_prefix / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(InterpreterError, match=words) as caught:
        activate(conda_prefix)
    assert str(conda_prefix) in str(caught.value)


def test_a_script_that_cannot_be_read(conda_prefix, script):
    file = script("a.sh", "")
    file.unlink()
    file.symlink_to("nowhere.sh")
    with pytest.raises(InterpreterError, match=r"a\.sh cannot be read: No such file"):
        activate(conda_prefix)


def test_activation_reaches_the_interpreter_and_what_is_needed_wins(conda_prefix, script):
    script("a.sh", "export GAME=pong LEVEL=1 PYTHONHASHSEED=5")
    needs = Needs(environ={"LEVEL": "9", "CONDA_SHLVL": None})
    seen = run_in(Prefix(conda_prefix), SEEN, needs)["environ"]
    assert (seen["GAME"], seen["LEVEL"], seen["PYTHONHASHSEED"]) == ("pong", "9", "5")
    assert seen["CONDA_PREFIX"] == str(conda_prefix) and "CONDA_SHLVL" not in seen
    assert seen["PATH"].split(os.pathsep)[0] == f"{conda_prefix}/bin"
