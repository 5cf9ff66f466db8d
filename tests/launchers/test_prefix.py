# SPDX-License-Identifier: MIT
"""Prefixes and executables: what is accepted, and what is said of the rest."""

import os
import pickle
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from envring.errors import InterpreterError, LauncherError, LaunchError
from envring.launchers.base import INTERPRETER_FLAGS, Needs
from envring.launchers.prefix import Prefix, Python, find_python
from launchers.running import SEEN, link_python, run_in

REAL = os.path.realpath(sys.executable)


def refusal(launcher):
    """What is said where an interpreter cannot be started."""
    with pytest.raises(InterpreterError) as caught:
        launcher.prepare(Needs())
    assert isinstance(caught.value, LaunchError)
    return str(caught.value)


@pytest.fixture
def program(tmp_path):
    """A prefix whose interpreter has the given bytes."""

    def make(content, mode=0o755):
        file = tmp_path / "odd/bin/python"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        file.chmod(mode)
        return Prefix(tmp_path / "odd"), file

    return make


# -- accepted ------------------------------------------------------------------------------------


def test_a_venv(venv_prefix):
    launch = Prefix(venv_prefix).prepare(Needs())
    assert launch.argv == (f"{venv_prefix}/bin/python", *INTERPRETER_FLAGS)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert launch.description == f"prefix {venv_prefix} (Python {version})"
    assert launch.shares_fds and launch.stop_argv is None and launch.cwd is None
    assert launch.map_path("/some/file") == "/some/file"
    assert run_in(Prefix(venv_prefix), SEEN)["prefix"] == str(venv_prefix)


def test_an_installed_interpreter_s_own_prefix():
    prefix = os.path.dirname(os.path.dirname(REAL))
    seen = run_in(Prefix(prefix), SEEN)
    assert os.path.realpath(seen["prefix"]) == os.path.realpath(sys.base_prefix)


@pytest.mark.parametrize("name", ["python3", "python2", "pypy3", "pypy"])
def test_a_prefix_whose_interpreter_has_another_name(tmp_path, name):
    link_python(tmp_path)
    (tmp_path / "bin/python").rename(tmp_path / "bin" / name)
    assert find_python(str(tmp_path)) == str(tmp_path / "bin" / name)


def test_python_comes_before_its_other_names(tmp_path):
    link_python(tmp_path)
    (tmp_path / "bin/python3").symlink_to("nowhere")
    assert find_python(str(tmp_path)) == str(tmp_path / "bin/python")


def test_a_path_with_spaces_quotes_and_letters(tmp_path):
    prefix = tmp_path / "an env 'of' \"mine\" $HOME \u00e9t\u00e9"
    link_python(prefix)
    assert run_in(Prefix(prefix), SEEN)["environ"]["PATH"].startswith(f"{prefix}/bin:")


def test_paths_are_made_absolute_and_home_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/player")
    assert Prefix("envs/../game").path == str(tmp_path / "game")
    assert Prefix("~/game/").path == "/home/player/game"
    assert Prefix(Path("game")).path == str(tmp_path / "game")
    assert Python("./bin/python").executable == str(tmp_path / "bin/python")


def test_links_are_kept_as_they_are(tmp_path, venv_prefix):
    (tmp_path / "link").symlink_to(venv_prefix)
    assert run_in(Prefix(tmp_path / "link"), SEEN)["prefix"] == str(tmp_path / "link")


def test_launchers_are_values(tmp_path):
    assert Prefix(tmp_path) == Prefix(str(tmp_path))
    assert len({Prefix("/a"), Prefix("/a"), Prefix("/b"), Prefix("/a", sandbox=True)}) == 3
    assert Prefix("/a") != Python("/a")
    assert pickle.loads(pickle.dumps(Prefix("/a", sandbox=True))) == Prefix("/a", sandbox=True)


def test_a_name_is_looked_up_on_path_when_workers_start(tmp_path, monkeypatch):
    link_python(tmp_path / "first")
    launcher = Python("python")
    monkeypatch.setenv("PATH", f"{tmp_path}/none:{tmp_path}/first/bin:/usr/bin")
    assert launcher.prepare(Needs()).argv[0] == f"{tmp_path}/first/bin/python"


def test_a_wrapper_script_is_an_interpreter(tmp_path):
    wrapper = tmp_path / "wrapped python"
    wrapper.write_text(f'#!/bin/sh\nexec "{REAL}" "$@"\n')
    wrapper.chmod(0o755)
    assert run_in(Python(wrapper), SEEN)["cwd"]


def test_the_version_is_read_off_the_library(tmp_path):
    link_python(tmp_path)
    (tmp_path / "lib/pypy3.9").mkdir(parents=True)
    assert Prefix(tmp_path).prepare(Needs()).description == f"prefix {tmp_path} (PyPy 3.9)"
    (tmp_path / "lib/python3.8").mkdir()
    assert Prefix(tmp_path).prepare(Needs()).description == f"prefix {tmp_path}"


# -- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Prefix, Python])
@pytest.mark.parametrize("path", ["", "  ", "nul\0", None, 3, b"bytes", ["list"]])
def test_what_is_no_path(kind, path):
    with pytest.raises(LauncherError, match=r"takes a path, not"):
        kind(path)


def test_a_prefix_that_is_not_there(tmp_path):
    link_python(tmp_path / "game38")
    text = refusal(Prefix(tmp_path / "game39"))
    assert text.startswith(f"There is no prefix {tmp_path}/game39.")
    assert f"there are {tmp_path}/game38" in text


def test_a_prefix_in_a_directory_that_is_not_there():
    assert refusal(Prefix("/nowhere/at/all")) == (
        "There is no prefix /nowhere/at/all, and no directory /nowhere/at. Check the path."
    )


def test_a_directory_that_is_no_prefix(tmp_path):
    assert refusal(Prefix(tmp_path)) == (
        f"The directory {tmp_path} holds no bin/python, so it is not a prefix."
    )


def test_a_project_with_a_prefix_in_it(tmp_path):
    link_python(tmp_path / ".venv")
    assert f"Did you mean one of these: {tmp_path}/.venv?" in refusal(Prefix(tmp_path))


def test_the_bin_directory(venv_prefix):
    text = refusal(Prefix(venv_prefix / "bin"))
    assert f"It looks like the bin directory of {venv_prefix}: use that." in text


def test_an_interpreter_where_a_prefix_should_be(venv_prefix):
    text = refusal(Prefix(venv_prefix / "bin/python"))
    assert "is a file, but a prefix is the directory that holds bin/python" in text
    assert f'"python:{venv_prefix}/bin/python"' in text


def test_a_conda_prefix_without_python(tmp_path):
    (tmp_path / "conda-meta").mkdir()
    assert refusal(Prefix(tmp_path)) == (
        f"The conda prefix {tmp_path} has no Python. Install one in it: conda install python"
    )


@pytest.mark.parametrize("file", ["Scripts/python.exe", "python.exe"])
def test_a_prefix_of_windows(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert f"{tmp_path} is a prefix for Windows." in refusal(Prefix(tmp_path))


def test_a_venv_whose_interpreter_is_gone(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to("/nowhere/bin/python3.8")
    text = refusal(Prefix(tmp_path))
    assert "is a symbolic link to /nowhere/bin/python3.8, which does not exist" in text
    assert "create the environment again" in text


def test_an_interpreter_that_links_to_itself(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to("python")
    assert "does not exist" in refusal(Prefix(tmp_path))


def test_an_interpreter_that_is_a_directory(tmp_path):
    (tmp_path / "bin/python").mkdir(parents=True)
    assert "is a directory, not an interpreter" in refusal(Prefix(tmp_path))
    assert "is a directory, not an interpreter" in refusal(Python(tmp_path))


def test_an_interpreter_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "python")
    assert "is not a regular file" in refusal(Python(tmp_path / "python"))


def test_an_interpreter_that_is_missing():
    text = refusal(Python("/nowhere/python3.9"))
    assert text == "The interpreter /nowhere/python3.9 does not exist. Check the path."


def test_a_file_that_may_not_be_executed(program):
    launcher, file = program(Path("/bin/sh").read_bytes(), mode=0o644)
    text = refusal(launcher)
    assert "is not executable for this user (mode 0644)" in text and f"chmod +x {file}" in text


def elf(machine, wide=True, big=False, loader=None):
    """The beginning of a program for a machine."""
    order = ">" if big else "<"
    head = b"\x7fELF" + bytes([2 if wide else 1, 2 if big else 1, 1]) + bytes(9)
    if loader is None:
        sizes = (64, 0, 0) if wide else (52, 0, 0)
        rest = struct.pack(order + ("QQQIHHH" if wide else "IIIIHHH"), 0, 0, 0, 0, *sizes)
        return head + struct.pack(order + "HHI", 2, machine, 1) + rest + bytes(64)
    text = loader.encode() + b"\0"
    if wide:
        top = struct.pack(order + "HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        entry = struct.pack(order + "IIQQQQQQ", 3, 4, 120, 0, 0, len(text), len(text), 1)
    else:
        top = struct.pack(order + "HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        entry = struct.pack(order + "IIIIIIII", 3, 84, 0, 0, len(text), len(text), 4, 1)
    return head + top + entry + text


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (elf(22, big=True), "s390x"),
        (elf(21), "ppc64"),
        (elf(8, wide=False, big=True), "mips"),
        (elf(999), "machine type 999"),
        (b"\x7fELF", "machine type 0"),
    ],
)
def test_an_interpreter_for_another_machine(program, content, name):
    launcher, file = program(content)
    text = refusal(launcher)
    assert f"The interpreter {file} is built for {name}, but this machine is" in text


def own_machine():
    return struct.unpack_from("<H", Path(REAL).read_bytes()[:20], 18)[0]


@pytest.mark.skipif(sys.byteorder == "big", reason="the header made here is little-endian")
def test_an_interpreter_for_another_c_library(program):
    launcher, _ = program(elf(own_machine(), loader="/lib/ld-musl-nowhere.so.1"))
    text = refusal(launcher)
    assert "needs the loader /lib/ld-musl-nowhere.so.1, which does not exist" in text


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="32-bit x86 runs beside x86_64")
def test_a_32_bit_interpreter_needs_its_loader_only(program, tmp_path):
    launcher, file = program(elf(3, wide=False, loader="/lib/ld-linux-nowhere.so.2"))
    assert "needs the loader /lib/ld-linux-nowhere.so.2" in refusal(launcher)
    loader = tmp_path / "ld"
    loader.touch()
    file.write_bytes(elf(3, wide=False, loader=str(loader)))
    assert launcher.prepare(Needs()).argv[0] == str(file)


def test_a_header_that_lies_about_its_own_size_is_left_to_the_kernel(program):
    head = bytearray(elf(own_machine(), loader="/x"))
    struct.pack_into("<Q", head, 32, 2**60)
    launcher, file = program(bytes(head))
    assert launcher.prepare(Needs()).argv[0] == str(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is an empty file"),
        (b"MZ\x90", "is a program for Windows"),
        (b"\xcf\xfa\xed\xfe\x07", "is a program for macOS"),
        (b"#!/nowhere/bin/python\n", "is a script for /nowhere/bin/python, which does not exist"),
        (b"#!\n", "is a script for no program, which does not exist"),
        (b"import sys\n", "is neither a program nor a script: it begins with b'import sys"),
    ],
)
def test_a_file_of_another_kind(program, content, words):
    assert words in refusal(program(content)[0])


def test_a_name_that_is_not_on_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert refusal(Python("python3.99")) == 'There is no interpreter "python3.99" on PATH.'


@pytest.fixture
def pyenv(tmp_path, monkeypatch):
    root = tmp_path / "pyenv"
    link_python(root / "versions/3.8.18")
    (root / "shims").mkdir()
    (root / "shims/python").write_text("#!/bin/sh\nexec pyenv exec python\n")
    (root / "shims/python").chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(root))
    return root


def test_shims_of_pyenv_are_passed_over(tmp_path, monkeypatch, pyenv):
    link_python(tmp_path / "real")
    monkeypatch.setenv("PATH", f"{pyenv}/shims:{tmp_path}/real/bin")
    assert Python("python").prepare(Needs()).argv[0] == f"{tmp_path}/real/bin/python"


def test_a_name_that_only_pyenv_knows(monkeypatch, pyenv):
    monkeypatch.setenv("PATH", f"{pyenv}/shims")
    text = refusal(Python("python"))
    assert f"pyenv has {pyenv}/versions/3.8.18/bin/python: use one of them" in text


def test_a_shim_by_its_path(pyenv):
    text = refusal(Python(pyenv / "shims/python"))
    assert "is a shim that chooses among interpreters" in text and "pyenv which python" in text


def test_a_prefix_that_this_user_may_not_enter():
    code = (
        "import os, sys\n"
        "from envring.launchers.prefix import find_python\n"
        "if os.getuid() == 0: os.setgroups([]); os.setuid(65534)  # nothing is closed to root\n"
        "try: find_python(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        closed = link_python(Path(folder, "closed"))
        closed.chmod(0)
        try:
            command = [sys.executable, "-c", code, str(closed)]
            done = subprocess.run(command, capture_output=True, timeout=50, check=False)
        finally:
            closed.chmod(0o700)
    assert done.stdout.decode() == (
        f"InterpreterError This user has no permission to enter the directory {closed}.\n"
    )
