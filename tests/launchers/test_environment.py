# SPDX-License-Identifier: MIT
"""What belongs to the caller's interpreter does not reach another one."""

import os
import sys

import pytest

from envring.launchers import activation, environment
from envring.launchers.base import Needs
from envring.launchers.prefix import Prefix, Python
from launchers.running import SEEN, run_in


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A caller whose every setting would change another interpreter's behaviour."""
    planted = tmp_path / "planted"
    planted.mkdir()
    for name in ("json", "sitecustomize", "usercustomize", "planted_module"):
        (planted / f"{name}.py").write_text("raise SystemExit('a module of the caller')\n")
    other = tmp_path / "callers-env"
    (other / "bin").mkdir(parents=True)
    (other / "lib").mkdir()
    (other / "pyvenv.cfg").write_text(f"home = {other}\n")
    base = tmp_path / "userbase"
    site = base / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    (site / "usercustomize.py").write_text("raise SystemExit('the user site')\n")
    settings = {
        "PYTHONPATH": str(planted),
        "PYTHONHOME": str(other),
        "PYTHONSTARTUP": str(planted / "json.py"),
        "PYTHONUSERBASE": str(base),
        "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": "2",
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "planted_module.hook",
        "PYTHONSAFEPATH": "1",
        "PYTHONEXECUTABLE": "/nowhere/python",
        "PYTHONPLATLIBDIR": "lib-of-the-caller",
        "__PYVENV_LAUNCHER__": "/nowhere/python",
        "VIRTUAL_ENV": str(other),
        "VIRTUAL_ENV_PROMPT": "callers",
        "PYENV_VERSION": "2.7.18",
        "PYENV_ROOT": str(tmp_path / "pyenv"),
        "CONDA_PREFIX": str(other),
        "CONDA_PREFIX_1": str(tmp_path / "base"),
        "CONDA_DEFAULT_ENV": "callers",
        "CONDA_SHLVL": "2",
        "_CE_CONDA": "x",
        "MAMBA_ROOT_PREFIX": str(tmp_path / "base"),
        "MAMBA_EXE": "/nowhere/micromamba",
        "LD_PRELOAD": "/nowhere/libintruder.so",
        "LD_LIBRARY_PATH": f"{other}/lib{os.pathsep}/usr/lib/games",
        "OMPI_COMM_WORLD_RANK": "3",
        "PMI_RANK": "3",
        "PATH": os.pathsep.join(
            [
                f"{other}/bin",
                f"{tmp_path}/base/condabin",
                f"{tmp_path}/pyenv/shims",
                os.path.join(sys.prefix, "bin"),
                "/usr/bin",
                "/bin",
            ]
        ),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GAME_LEVEL", "7")
    return settings


def test_nothing_of_a_hostile_caller_reaches_the_interpreter(hostile, venv_prefix):
    seen = run_in(Prefix(venv_prefix), SEEN)
    assert seen["prefix"] == str(venv_prefix)
    assert not seen["user_site_enabled"]
    assert seen["optimize"] == 0 and seen["warnoptions"] == []
    assert not any("planted" in path or "userbase" in path for path in seen["path"])
    assert seen["environ"]["VIRTUAL_ENV"] == str(venv_prefix)
    kept = {"PATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    assert not (hostile.keys() - kept) & seen["environ"].keys()
    assert seen["environ"]["PATH"].split(os.pathsep) == [f"{venv_prefix}/bin", "/usr/bin", "/bin"]
    assert seen["environ"]["LD_LIBRARY_PATH"] == "/usr/lib/games"


def test_what_is_not_of_the_interpreter_stays(hostile, venv_prefix):
    seen = run_in(Prefix(venv_prefix), SEEN)
    assert seen["environ"]["GAME_LEVEL"] == "7"
    assert seen["environ"]["HOME"] == os.environ["HOME"]


def test_what_the_interpreter_starts_has_no_user_site_either(hostile, venv_prefix):
    code = (
        "import json, subprocess, sys\n"
        "code = 'import site; print(bool(site.ENABLE_USER_SITE))'\n"
        "print(json.dumps(subprocess.check_output([sys.executable, '-c', code]).decode().strip()))"
    )
    assert run_in(Prefix(venv_prefix), code) == "False"


def test_python_by_its_executable_in_a_venv_is_that_venv(hostile, venv_prefix):
    seen = run_in(Python(venv_prefix / "bin/python"), SEEN)
    assert seen["prefix"] == seen["environ"]["VIRTUAL_ENV"] == str(venv_prefix)


def test_python_outside_of_prefixes_sets_no_prefix(hostile):
    seen = run_in(Python(os.path.realpath(sys.executable)), SEEN)
    assert "VIRTUAL_ENV" not in seen["environ"] and "CONDA_PREFIX" not in seen["environ"]
    directory = os.path.dirname(os.path.realpath(sys.executable))
    assert directory in seen["environ"]["PATH"].split(os.pathsep)


def test_what_a_worker_needs_wins(hostile, venv_prefix):
    needs = Needs(environ={"VIRTUAL_ENV": None, "GAME_LEVEL": "8", "PYTHONPATH": "/ours"})
    seen = run_in(Prefix(venv_prefix), SEEN, needs)["environ"]
    assert "VIRTUAL_ENV" not in seen
    assert (seen["GAME_LEVEL"], seen["PYTHONPATH"]) == ("8", "/ours")


def test_the_caller_s_environment_is_left_alone(hostile, venv_prefix):
    before = dict(os.environ)
    Prefix(venv_prefix).prepare(Needs(environ={"GAME_LEVEL": None}))
    assert dict(os.environ) == before


def test_a_directory_that_is_on_path_already_stays_where_it_is():
    before = {"PATH": "/usr/local/bin:/usr/bin"}
    assert activation.activate("/usr", before)["PATH"] == "/usr/local/bin:/usr/bin"
    assert activation.activate("/usr/local", {"PATH": "/usr/bin"})["PATH"] == (
        "/usr/local/bin:/usr/bin"
    )


def test_a_caller_without_path_gets_the_system_s():
    assert environment.clean({})["PATH"] == os.defpath


def test_a_system_prefix_named_as_virtual_environment_keeps_the_system_s_programs():
    cleaned = environment.clean({"VIRTUAL_ENV": "/usr", "PATH": "/usr/bin"})
    assert cleaned["PATH"] == "/usr/bin"


def test_neighbours_with_the_same_beginning_stay():
    cleaned = environment.clean({"VIRTUAL_ENV": "/x/env", "PATH": "/x/env/bin:/x/env2/bin"})
    assert cleaned["PATH"] == "/x/env2/bin"


def test_undecodable_values_pass(venv_prefix, monkeypatch):
    monkeypatch.setenv("GAME_TITLE", os.fsdecode(b"\xe9t\xe9"))
    code = "import json, os; print(json.dumps(list(os.environb[b'GAME_TITLE'])))"
    assert bytes(run_in(Prefix(venv_prefix), code)) == b"\xe9t\xe9"
