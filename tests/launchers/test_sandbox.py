# SPDX-License-Identifier: MIT
"""A sandbox: what is seen, what can be written, what can be reached from inside."""

import json
import os
import signal
import socket
import subprocess
import sys
import venv

import pytest

from envring.errors import LauncherError
from envring.launchers import sandbox
from envring.launchers.base import Needs, Sandbox
from envring.launchers.prefix import Prefix, Python
from launchers.running import SEEN, link_python, run_in

TRY = """
import json, os
def outcome(path, mode):
    try:
        with open(path, mode) as file:
            return file.read() if mode == "r" else "written"
    except OSError as error:
        return type(error).__name__
print(json.dumps([outcome(path, mode) for path, mode in json.loads(%r)]))
"""


@pytest.fixture
def works():
    """Skips where this system has no sandboxes."""
    try:
        sandbox.bubblewrap()
    except LauncherError as error:
        pytest.skip(f"NOTHING OF THE SANDBOX IS CHECKED HERE: {error}")


@pytest.fixture
def boxed(works, venv_prefix):
    return Prefix(venv_prefix, sandbox=True)


def trying(*wanted):
    """Code that tries to read ("r") or to write ("w") files."""
    return TRY % json.dumps([(str(path), mode) for path, mode in wanted])


def opened(prefix, **openings):
    return Prefix(prefix, sandbox=Sandbox(**openings))


def test_it_is_the_same_interpreter(boxed, venv_prefix):
    inside, outside = run_in(boxed, SEEN), run_in(Prefix(venv_prefix), SEEN)
    assert inside["prefix"] == outside["prefix"]
    assert inside["path"] == outside["path"]
    assert boxed.prepare(Needs()).description.endswith(" in a sandbox")


def test_without_a_sandbox_nothing_changes(venv_prefix):
    assert Prefix(venv_prefix).prepare(Needs()).argv[0] == f"{venv_prefix}/bin/python"


def test_files_outside_are_not_there(boxed, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("key")
    places = [secret, os.path.expanduser("~/.bashrc"), "/run", "/var/log", "/etc/shadow", "/boot"]
    code = (
        f"import json, os; print(json.dumps([os.path.exists(p) for p in {list(map(str, places))}]))"
    )
    assert run_in(boxed, code) == [False] * len(places)


def test_files_that_are_needed_are_there_and_read_only(boxed, tmp_path):
    source = tmp_path / "game"
    source.mkdir()
    (source / "env_main.py").write_text("make = 1")
    needs = Needs(files=(str(source),))
    wanted = [(source / "env_main.py", "r"), (source / "env_main.py", "a"), (source / "new", "w")]
    assert run_in(boxed, trying(*wanted), needs) == ["make = 1", "OSError", "OSError"]
    assert (source / "env_main.py").read_text() == "make = 1" and not (source / "new").exists()


def test_a_single_file_that_is_needed(boxed, tmp_path):
    (tmp_path / "setup.py").write_text("1")
    (tmp_path / "other.py").write_text("2")
    wanted = [(tmp_path / "setup.py", "r"), (tmp_path / "other.py", "r")]
    needs = Needs(files=(str(tmp_path / "setup.py"),))
    assert run_in(boxed, trying(*wanted), needs) == ["1", "FileNotFoundError"]


def test_a_needed_file_that_is_gone_is_the_worker_s_to_report(boxed, tmp_path):
    needs = Needs(files=(str(tmp_path / "gone.py"),))
    assert run_in(boxed, trying((tmp_path / "gone.py", "r")), needs) == ["FileNotFoundError"]


def test_prefix_interpreter_and_system_cannot_be_written(boxed, venv_prefix):
    base = os.path.dirname(os.path.dirname(os.path.realpath(sys.executable)))
    files = [f"{venv_prefix}/x", f"{base}/x", "/usr/x", "/etc/x", "/x", "/opt/x", "/dev/x"]
    outcomes = run_in(boxed, trying(*((file, "w") for file in files)))
    assert outcomes[:-1] == ["OSError"] * 5 + [outcomes[5]]
    assert outcomes[5] in ("OSError", "FileNotFoundError")
    assert not any(os.path.exists(file) for file in files)


def test_home_and_tmp_are_empty_writable_and_gone(boxed, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "private").touch()
    monkeypatch.setenv("HOME", str(home))
    code = (
        "import json, os, tempfile\n"
        "home = os.path.expanduser('~')\n"
        "seen = [os.listdir(home), tempfile.gettempdir()]\n"
        "for folder in (home, '/tmp', '/var/tmp', '/dev/shm'):\n"
        "    open(os.path.join(folder, 'mine'), 'w').write('x')\n"
        "print(json.dumps(seen))"
    )
    assert run_in(boxed, code) == [[], "/tmp"]
    assert [path.name for path in home.iterdir()] == ["private"]
    assert not any(os.path.exists(f"{folder}/mine") for folder in ("/tmp", "/var/tmp", "/dev/shm"))


@pytest.mark.parametrize("home", ["", "relative", "/", "/usr/share"])
def test_a_home_that_is_none_becomes_tmp(boxed, monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    assert run_in(boxed, SEEN)["environ"]["HOME"] == "/tmp"


CONNECT = """
import json, socket
def outcome(family, address):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.settimeout(5)
            s.connect(address)
            return "connected"
    except OSError as error:
        return type(error).__name__
print(json.dumps([
    outcome(socket.AF_INET, ("127.0.0.1", %d)),
    outcome(socket.AF_UNIX, %r),
    outcome(socket.AF_UNIX, "\\0" + %r),
]))
"""


@pytest.fixture
def servers(tmp_path):
    """Servers of this machine: TCP, a socket in the file system, one in the abstract namespace."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        path, name = str(tmp_path / "socket"), f"envring-test-{os.getpid()}"
        named.bind(path)
        abstract.bind("\0" + name)
        for server in (named, abstract):
            server.listen()
        yield CONNECT % (tcp.getsockname()[1], path, name)


def test_no_server_can_be_reached(boxed, servers):
    outcomes = run_in(boxed, servers)
    assert outcomes == ["ConnectionRefusedError", "FileNotFoundError", "ConnectionRefusedError"]


def test_the_network_can_be_opened(works, venv_prefix, servers):
    outcomes = run_in(opened(venv_prefix, network=True), servers)
    assert outcomes == ["connected", "FileNotFoundError", "connected"]


def test_the_servers_answer_outside(venv_prefix, servers):
    assert run_in(Prefix(venv_prefix), servers) == ["connected"] * 3


def test_other_processes_are_not_seen(boxed):
    code = "import json, os; print(json.dumps([p for p in os.listdir('/proc') if p.isdigit()]))"
    assert len(run_in(boxed, code)) <= 2


def test_no_capability_is_left(boxed):
    code = (
        "import json\n"
        "lines = [l.split() for l in open('/proc/self/status') if l.startswith('CapEff')]\n"
        "print(json.dumps(int(lines[0][1], 16)))"
    )
    assert run_in(boxed, code) == 0


def test_openings(works, venv_prefix, tmp_path):
    roms, saves = tmp_path / "roms", tmp_path / "roms/saves"
    saves.mkdir(parents=True)
    (roms / "pong").write_text("rom")
    wanted = [(roms / "pong", "r"), (roms / "new", "w"), (saves / "game", "w")]
    launcher = opened(venv_prefix, read=(roms,), write=(str(saves),))
    assert run_in(launcher, trying(*wanted)) == ["rom", "OSError", "written"]
    assert (saves / "game").exists() and not (roms / "new").exists()


def test_an_opening_in_the_home_directory(works, venv_prefix, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/rom").write_text("rom")
    launcher = opened(venv_prefix, read="~/.cache")
    wanted = [(tmp_path / ".cache/rom", "r"), (tmp_path / "mine", "w")]
    assert run_in(launcher, trying(*wanted)) == ["rom", "written"]
    assert not (tmp_path / "mine").exists()


def test_an_opening_through_a_link_is_there_by_both_names(works, venv_prefix, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/rom").write_text("rom")
    (tmp_path / "link").symlink_to("real")
    wanted = [(tmp_path / "link/rom", "r"), (tmp_path / "real/rom", "r")]
    assert run_in(opened(venv_prefix, read=(tmp_path / "link",)), trying(*wanted)) == ["rom"] * 2


@pytest.mark.parametrize("name", ["read", "write"])
def test_an_opening_that_is_not_there(works, venv_prefix, name):
    launcher = opened(venv_prefix, **{name: ("/nowhere/roms",)})
    with pytest.raises(LauncherError, match="sandbox opens /nowhere/roms, which does not exist"):
        launcher.prepare(Needs())


@pytest.mark.parametrize("paths", [3, [None], ["nul\0"], b"x"])
def test_openings_are_paths(paths):
    with pytest.raises(LauncherError, match=r"Sandbox\(read=\)"):
        Sandbox(read=paths)


def test_sandboxes_are_values(tmp_path):
    assert Sandbox(read=(tmp_path,)) == Sandbox(read=[str(tmp_path)])
    assert len({opened("/a", network=True), opened("/a"), Prefix("/a", sandbox=True)}) == 3


def test_descriptors_reach_the_worker(boxed, tmp_path):
    fd = os.memfd_create("envring-test")
    try:
        os.write(fd, b"shared")
        launch = boxed.prepare(Needs())
        assert launch.shares_fds
        code = f"import os; os.pwrite({fd}, os.pread({fd}, 6, 0).upper(), 0)"
        subprocess.run(
            [*launch.argv, "-c", code],
            env=launch.environ,
            cwd=launch.cwd,
            pass_fds=[fd],
            start_new_session=True,
            timeout=50,
            check=True,
        )
        assert os.pread(fd, 6, 0) == b"SHARED"
    finally:
        os.close(fd)


def test_a_segment_with_a_name_can_be_written(boxed, tmp_path):
    segment = tmp_path / "segment"
    segment.write_text("old")
    needs = Needs(segment=str(segment))
    assert run_in(boxed, trying((segment, "w")), needs) == ["written"]
    assert segment.read_text() == ""


def test_variables_that_name_what_is_outside_are_removed(boxed, monkeypatch):
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "/run/somewhere")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("GAME_LEVEL", "7")
    seen = run_in(boxed, SEEN, Needs(environ={"DISPLAY": ":9", "LD_BIND_NOW": "1"}))["environ"]
    assert (seen["DISPLAY"], seen["GAME_LEVEL"], seen["LD_BIND_NOW"]) == (":9", "7", "1")
    assert not [name for name in seen if name.startswith(("TMPDIR", "XDG", "DBUS", "SSH"))]


def test_a_library_path_is_the_worker_s_and_not_bubblewrap_s(boxed):
    launch = boxed.prepare(Needs(environ={"LD_LIBRARY_PATH": "/nowhere"}))
    assert "LD_LIBRARY_PATH" not in launch.environ
    at = launch.argv.index("LD_LIBRARY_PATH")
    assert launch.argv[at - 1 : at + 2] == ("--setenv", "LD_LIBRARY_PATH", "/nowhere")


def test_the_process_group_ends_all_of_it(boxed):
    launch = boxed.prepare(Needs())
    reader, writer = os.pipe()
    code = f"import os, signal\nif os.fork(): os.write({writer}, b'x')\nwhile True: signal.pause()"
    process = subprocess.Popen(
        [*launch.argv, "-c", code],
        env=launch.environ,
        cwd=launch.cwd,
        pass_fds=[writer],
        start_new_session=True,
    )
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"x"
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL
        assert os.read(reader, 1) == b""  # the last process that held it has ended
    finally:
        os.close(reader)


def test_exit_codes_come_through(boxed):
    launch = boxed.prepare(Needs())
    done = subprocess.run(
        [*launch.argv, "-c", "raise SystemExit(7)"],
        env=launch.environ,
        cwd=launch.cwd,
        start_new_session=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 7


def test_a_prefix_behind_a_link(works, tmp_path, venv_prefix):
    (tmp_path / "link").symlink_to(venv_prefix)
    seen = run_in(Prefix(tmp_path / "link", sandbox=True), SEEN)
    assert seen["prefix"] == str(tmp_path / "link")


def test_an_interpreter_of_links_to_links(works, tmp_path, venv_prefix):
    first = tmp_path / "bin/python"
    first.parent.mkdir()
    first.symlink_to("../hop")
    (tmp_path / "hop").symlink_to(venv_prefix / "bin/python")
    (tmp_path / "bin/private").touch()
    code = f"import json, os; print(json.dumps(os.listdir({str(first.parent)!r})))"
    assert run_in(Python(first, sandbox=True), code) == ["python"]


def test_a_copied_interpreter(works, tmp_path):
    venv.create(tmp_path / "copied", symlinks=False, with_pip=False)
    seen = run_in(Prefix(tmp_path / "copied", sandbox=True), SEEN)
    assert seen["prefix"] == str(tmp_path / "copied")


def test_directories_of_pth_files_are_there(works, tmp_path):
    venv.create(tmp_path / "env", symlinks=True, with_pip=False)
    project = tmp_path / "project"
    project.mkdir()
    (project / "game.py").write_text("NAME = 'pong'")
    (site,) = (tmp_path / "env/lib").glob("python*/site-packages")
    (site / "game.pth").write_text(f"# a project under development\n{project}\nimport os\n/gone\n")
    code = "import json, game; print(json.dumps(game.NAME))"
    assert run_in(Prefix(tmp_path / "env", sandbox=True), code) == "pong"


def test_a_conda_prefix(works, conda_prefix):
    data = conda_prefix / "share/level"
    data.parent.mkdir()
    data.write_text("1")
    launcher = Prefix(conda_prefix, sandbox=True)
    assert run_in(launcher, trying((data, "r"), (data, "w"))) == ["1", "OSError"]


def test_a_directory_of_programs_is_not_taken_for_a_prefix(works, tmp_path):
    """~/bin/python must not show the whole home directory."""
    link_python(tmp_path / "home")
    private = tmp_path / "home/private"
    private.touch()
    launcher = Python(tmp_path / "home/bin/python", sandbox=True)
    assert run_in(launcher, trying((private, "r"))) == ["FileNotFoundError"]
