# SPDX-License-Identifier: MIT
"""Environments that uv makes, out of a package made here: nothing is fetched."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from envring.errors import LauncherError, SolveError, SpecError
from envring.launchers import uv
from envring.launchers.base import Needs
from envring.launchers.uv import Uv
from envring.prefixes import cache
from launchers.running import SEEN, run_in

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
NAME = "import json, tinygame; print(json.dumps(tinygame.NAME))"


def make_wheel(folder, name="pong"):
    """A package of one module."""
    path = folder / "tinygame-1.0-py3-none-any.whl"
    info = "tinygame-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tinygame.py", f"NAME = {name!r}\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinygame\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tag)
        files = ("tinygame.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        wheel.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in files))
    return path


@pytest.fixture(autouse=True)
def quiet_uv(tmp_path, monkeypatch):
    """uv fetches nothing, and shares nothing with the user's."""
    for name in [name for name in os.environ if name.startswith(("UV_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def wheel(tmp_path):
    return make_wheel(tmp_path)


@pytest.fixture
def asked(tmp_path, wheel):
    """A requirements file."""
    file = tmp_path / "requirements.txt"
    file.write_text(f"# the game\n./{wheel.name}\n")
    return file


@pytest.fixture
def script(tmp_path, wheel):
    """Writes a script that names its own requirements."""

    def write(code="", needs=None, python=f">={HERE}"):
        file = tmp_path / "env_main.py"
        needs = needs or f"tinygame @ {wheel.as_uri()}"
        block = f'requires-python = "{python}"\ndependencies = ["{needs}"]\n'
        lines = "".join(f"# {line}\n" for line in block.splitlines())
        file.write_text(f"# /// script\n{lines}# ///\n{code}\n")
        return file

    return write


@pytest.fixture
def no_uv(tmp_path, monkeypatch):
    """uv is gone."""

    def hide():
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setitem(sys.modules, "uv", None)

    return hide


def prefixes():
    return {str(entry.prefix) for entry in cache.entries() if entry.ready()}


# -- built ---------------------------------------------------------------------------------------


def test_a_requirements_file(asked):
    launcher = Uv(asked, python=HERE)
    assert run_in(launcher, NAME) == "pong"
    seen = run_in(launcher, SEEN)
    assert {seen["prefix"]} == {seen["environ"]["VIRTUAL_ENV"]} == prefixes()
    description = launcher.prepare(Needs()).description
    assert description.startswith(f"uv's environment of {asked} (Python {HERE}.")


def test_a_list_of_requirements(wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_in(Uv([f"tinygame @ {wheel.as_uri()}"], python=HERE), NAME) == "pong"
    assert run_in(Uv([f"./{wheel.name}"], python=HERE), NAME) == "pong"


def test_a_project_file(tmp_path, wheel):
    file = tmp_path / "pyproject.toml"
    needs = f'dependencies = ["tinygame @ {wheel.as_uri()}"]'
    file.write_text(f'[project]\nname = "mine"\nversion = "1"\n{needs}\n')
    assert run_in(Uv(file, python=HERE), NAME) == "pong"


def test_a_script(script):
    assert run_in(Uv(script()), NAME) == "pong"


def test_a_script_whose_code_changes_keeps_its_environment(script, no_uv):
    run_in(Uv(script()), NAME)
    no_uv()
    assert run_in(Uv(script(code="def make(): return 1")), NAME) == "pong"


def test_a_script_whose_metadata_changes_gets_another_one(script):
    run_in(Uv(script()), NAME)
    run_in(Uv(script(python=">=3.8")), NAME)
    assert len(prefixes()) == 2


def test_a_script_with_a_lockfile(script):
    file = script()
    Uv(file).prepare(Needs())
    subprocess.run([uv.find_uv(), "lock", "-q", "--script", str(file)], check=True, timeout=50)
    assert run_in(Uv(file), NAME) == "pong"
    assert len(prefixes()) == 2  # the lockfile is part of what is asked for


def test_a_lockfile_that_is_out_of_date_is_not_passed_over(script):
    file = script()
    subprocess.run([uv.find_uv(), "lock", "-q", "--script", str(file)], check=True, timeout=50)
    with pytest.raises(SolveError, match=r"(?s)let uv lock it again.*lockfile"):
        Uv(script(needs="another-game")).prepare(Needs())


def test_the_second_start_needs_no_uv(asked, no_uv):
    first = Uv(asked, python=HERE).prepare(Needs())
    no_uv()
    assert Uv(str(asked), python=HERE).prepare(Needs()).argv == first.argv


@pytest.mark.parametrize("change", ["line", "wheel", "python", "nested"])
def test_what_is_asked_for_decides(asked, wheel, tmp_path, change):
    (tmp_path / "more.txt").write_text("# nothing\n")
    asked.write_text(f"./{wheel.name}\n-r more.txt\n")
    Uv(asked, python=HERE).prepare(Needs())
    python = HERE
    if change == "line":
        asked.write_text(f"./{wheel.name} \n-r more.txt\n--no-index\n")
    elif change == "wheel":
        make_wheel(tmp_path, name="chess")
    elif change == "python":
        python = f">={HERE}"
    else:
        (tmp_path / "more.txt").write_text("--no-index\n")
    name = run_in(Uv(asked, python=python), NAME)
    assert name == ("chess" if change == "wheel" else "pong")
    assert len(prefixes()) == 2


BUILD = """
import sys
from envring.launchers.base import Needs
from envring.launchers.uv import Uv
sys.stdin.read()
print(Uv(sys.argv[1], python=sys.argv[2]).prepare(Needs()).argv[0])
"""


def test_of_many_who_ask_one_builds(asked):
    command = [sys.executable, "-c", BUILD, str(asked), HERE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in started:
        process.stdin.close()  # go
    told = []
    for process in started:
        with process:
            told.append((process.stdout.read(), process.stderr.read().decode()))
    assert {program for program, _ in told} == {f"{next(iter(prefixes()))}/bin/python\n".encode()}
    assert sum("building with uv" in errors for _, errors in told) == 1


def test_the_caller_s_environment_is_no_target(asked, tmp_path, monkeypatch):
    for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_TARGET", "CONDA_PREFIX"):
        monkeypatch.setenv(name, str(tmp_path / "other"))
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")
    assert run_in(Uv(asked, python=HERE), NAME) == "pong"
    assert not (tmp_path / "other").exists()


def test_a_working_directory_with_a_project_of_its_own(asked, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\nrequires-python = '<3'\n")
    (tmp_path / ".python-version").write_text("2.7\n")
    monkeypatch.chdir(tmp_path)
    assert run_in(Uv(asked, python=HERE), NAME) == "pong"


def test_an_interpreter_by_its_path(asked):
    launcher = Uv(asked, python=os.path.realpath(sys.executable))
    assert run_in(launcher, NAME) == "pong"


def test_launchers_are_values(tmp_path):
    assert Uv(["a", "b"]) == Uv(("a", "b"))
    assert len({Uv(["a"]), Uv(["a"]), Uv(["b"]), Uv(["a"], python="3.9")}) == 3
    assert Uv("~/r.txt").requirements == str(Path.home() / "r.txt")
    assert Uv(["a"], python="~/py/bin/python").python == str(Path.home() / "py/bin/python")


# -- interpreters --------------------------------------------------------------------------------


def test_uv_fetches_no_interpreter_on_its_own():
    assert uv._environ()["UV_PYTHON_DOWNLOADS"] == "never"


def test_uv_fetches_interpreters_if_the_user_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "automatic")
    assert uv._environ()["UV_PYTHON_DOWNLOADS"] == "automatic"
    monkeypatch.delenv("UV_PYTHON_DOWNLOADS")
    file = tmp_path / "config/uv/uv.toml"
    file.parent.mkdir(parents=True)
    file.write_text("offline = true\n")
    assert uv._environ()["UV_PYTHON_DOWNLOADS"] == "never"
    file.write_text('python-downloads = "automatic"\n')
    assert "UV_PYTHON_DOWNLOADS" not in uv._environ()


def test_interpreters_of_pyenv_are_found_the_newest_first(monkeypatch, tmp_path):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/shims:/usr/bin")
    for version in ("2.7.18", "3.5.10", "3.9.1", "3.13.0", "pypy3.9-7.3"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
    path = uv._environ()["PATH"].split(os.pathsep)
    assert path[0] == "/usr/bin"
    assert [Path(entry).parent.name for entry in path[2:]] == ["3.13.0", "3.9.1", "pypy3.9-7.3"]


OLD = ["2.7", "2", "3.5", "2.7.18", "python2.7", "cpython@2.7", "pypy2.7", "==2.7.*", "<3", "3.4"]


@pytest.mark.parametrize("python", OLD)
def test_interpreters_that_uv_does_not_know(python):
    with pytest.raises(LauncherError, match=r"virtualenv -p python2\.7 DIR\) and use Prefix"):
        Uv(["numpy"], python=python)


@pytest.mark.parametrize("python", [">=2.7", "3", "3.10", ">=3.5,<3.9", "3.6", "pypy3.9", "<3.9"])
def test_interpreters_that_uv_may_know(python):
    assert Uv(["numpy"], python=python).python == python


def test_a_script_for_an_interpreter_that_uv_does_not_know(script):
    file = script(python="==2.7.*")
    with pytest.raises(LauncherError, match=rf"requires-python of {file}: uv makes"):
        Uv(file).prepare(Needs())


def test_an_interpreter_that_is_not_there(asked):
    with pytest.raises(SolveError) as caught:
        Uv(asked, python="3.77").prepare(Needs())
    text = str(caught.value)
    assert f"The prefix of '{asked}' could not be built: uv venv" in text
    assert "\nerror: " in text and "build.log" in text  # uv's own words, which change


# -- the program ---------------------------------------------------------------------------------


def test_uv_on_path_comes_first(tmp_path, monkeypatch):
    (tmp_path / "uv").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uv.find_uv() == f"{tmp_path}/uv"


def test_the_package_uv_will_do(tmp_path, monkeypatch):
    package = pytest.importorskip("uv", reason="the package uv is not installed: not looked for")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uv.find_uv() == os.path.abspath(package.find_uv_bin())


def test_no_uv(asked, no_uv):
    no_uv()
    with pytest.raises(LauncherError, match=r"pip install 'envring\[uv\]'"):
        Uv(asked).prepare(Needs())


# -- refused -------------------------------------------------------------------------------------


def test_packages_that_are_not_there(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("game-of-nobody==99\n")
    with pytest.raises(SolveError) as caught:
        Uv(file, python=HERE).prepare(Needs())
    text = str(caught.value)
    assert "uv pip install" in text and "game-of-nobody" in caught.value.tail
    assert Path(caught.value.log_path).read_text().count("game-of-nobody")
    assert prefixes() == set()


@pytest.mark.parametrize("given", ["gymnasium", "numpy<2", "/opt/game", "game.whl", "uv.lock"])
def test_a_string_that_is_no_file_of_requirements(given):
    with pytest.raises(LauncherError, match=r"Pass requirements as a list: Uv\("):
        Uv(given)


@pytest.mark.parametrize("given", [[], (), None, 3, b"numpy", [3], ["a\nb"], [""], {"numpy"}])
def test_what_is_no_list_of_requirements(given):
    with pytest.raises(LauncherError, match=r"Uv\(requirements\)"):
        Uv(given)


@pytest.mark.parametrize("python", ["", 3.9, None.__class__, "--help"])
def test_what_is_no_interpreter(python):
    with pytest.raises(LauncherError, match=r"Uv\(python=\) must be a version"):
        Uv(["numpy"], python=python)


@pytest.mark.parametrize("name", ["requirements.txt", "env_main.py", "pyproject.toml"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(SpecError, match=rf"There is no file {tmp_path}/{name}"):
        Uv(tmp_path / name).prepare(Needs())


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "r.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"r\.txt cannot be read"):
        Uv(tmp_path / "r.txt").prepare(Needs())


def test_a_directory(tmp_path):
    (tmp_path / "r.txt").mkdir()
    with pytest.raises(SpecError, match=r"r\.txt cannot be read: .*directory"):
        Uv(tmp_path / "r.txt").prepare(Needs())


def test_a_requirement_of_a_file_that_is_not_there(tmp_path):
    (tmp_path / "r.txt").write_text("./gone-1.0-py3-none-any.whl\n")
    with pytest.raises(SpecError, match=r"gone-1\.0"):
        Uv(tmp_path / "r.txt").prepare(Needs())


BLOCK = "# /// script\n# dependencies = []\n# ///\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import gym\n", "has no metadata blocks"),
        ("# /// script\n# dependencies = []\n", "has no metadata blocks"),
        (BLOCK + "x = 1\n" + BLOCK, "has 2 metadata blocks"),
        (BLOCK.replace("[]", "[["), r"metadata of script .* cannot be read: Invalid"),
    ],
)
def test_scripts_without_metadata(tmp_path, text, words):
    (tmp_path / "env_main.py").write_text(text)
    with pytest.raises(SpecError, match=words):
        Uv(tmp_path / "env_main.py").prepare(Needs())


def test_metadata_as_pep_723_has_it():
    text = (
        "#!/usr/bin/env python\n# /// script\n# dependencies = [\n#   'a', # one\n#\n# ]\n# ///\n"
    )
    assert uv.script_metadata(Path("x.py"), text) == {"dependencies": ["a"]}
    assert json.dumps(uv.script_metadata(Path("x.py"), BLOCK)) == '{"dependencies": []}'
