# SPDX-License-Identifier: MIT
"""A sandbox around any command: bubblewrap, without network, on a read-only file system.

Only named paths are visible: a socket in a home directory or in /run would lead out of the sandbox
just as the network does, and a read-only mount does not close it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from glob import escape, glob

from envring.errors import LauncherError
from envring.launchers.base import Launch, Needs, Sandbox

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/opt", "/nix/store", "/gnu/store", "/sys/devices/system"),
)
_ETC = (
    *("alternatives", "ca-certificates", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "locale.alias", "localtime", "machine-id", "mime.types", "nsswitch.conf"),
    *("os-release", "passwd", "pki", "resolv.conf", "ssl/certs", "ssl/openssl.cnf", "timezone"),
)
# prefixes of variables that name things outside the sandbox
_OUTSIDE = (
    *("TMPDIR", "TEMP", "TMP", "XDG_", "DBUS_", "SSH_", "GPG_", "DISPLAY", "WAYLAND_", "XAUTH"),
    *("OLDPWD", "PWD"),
)
_LANDMARKS = (
    *("lib*/python*/os.py", "lib*/pypy*/os.py", "lib-python/*/os.py"),
    *("conda-meta", "pyvenv.cfg"),
)


def confine(launch: Launch, sandbox: bool | Sandbox, executable: str, needs: Needs) -> Launch:
    """Puts a command into a sandbox, if the launcher has one.

    Args:
        launch: the command.
        sandbox: the launcher's; False leaves the command as it is.
        executable: absolute path of its interpreter.
        needs: what must be readable; variables it sets stay as they are.

    Returns:
        The command in the sandbox, or `launch` itself.

    Raises:
        LauncherError: bubblewrap is missing or not permitted, or an opening does not exist.
    """
    check(sandbox)
    if not sandbox:
        return launch
    openings = sandbox if isinstance(sandbox, Sandbox) else Sandbox()
    for path in (*openings.read, *openings.write):
        if not os.path.exists(path):
            raise LauncherError(f"The sandbox opens {path}, which does not exist.")
    program = bubblewrap()
    home = launch.environ.get("HOME", "")
    if not os.path.isabs(home) or _is_system(home):
        home = "/tmp"
    argv = [program, "--unshare-all", "--cap-drop", "ALL"]
    if openings.network:
        argv.append("--share-net")
    argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]
    if home != "/tmp":
        argv += ["--tmpfs", home]
    argv += _system()
    argv += _openings(executable, needs, openings)
    argv += ["--remount-ro", "/", "--chdir", "/tmp"]
    environ = {
        name: value
        for name, value in launch.environ.items()
        if not name.startswith(_OUTSIDE) or name in needs.environ
    }
    environ["HOME"] = home
    for name in [name for name in environ if name.startswith("LD_")]:
        argv += ["--setenv", name, environ.pop(name)]  # for the worker, not for bubblewrap
    return replace(
        launch,
        argv=(*argv, "--", *launch.argv),
        environ=environ,
        description=f"{launch.description} in a sandbox",
        cwd="/",
        own_session=True,
    )


def check(sandbox: object) -> None:
    """Checks a launcher's argument `sandbox`.

    Raises:
        LauncherError: it is neither a bool nor a Sandbox.
    """
    if not isinstance(sandbox, (bool, Sandbox)):
        raise LauncherError(f"sandbox= must be True, False or a Sandbox, not {sandbox!r}.")


@functools.cache
def bubblewrap() -> str:
    """Returns the program's path; tries it once.

    Raises:
        LauncherError: it is missing, or cannot make a sandbox here.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise LauncherError(
            "sandbox=True needs bubblewrap, but there is no bwrap on PATH "
            "(Debian: apt-get install bubblewrap)."
        )
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    try:
        tried = subprocess.run(
            [*command, "--", "/bin/sh", "-c", ":"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=30,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LauncherError(
            f"sandbox=True needs bubblewrap, but {program} fails: {error}"
        ) from error
    if tried.returncode:
        complaint = tried.stderr.decode("utf-8", "replace").strip()
        raise LauncherError(
            "sandbox=True: bubblewrap cannot make a sandbox on this system: "
            f"{complaint or f'exit code {tried.returncode}'}. "
            "It needs user namespaces (sysctl kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), which containers often deny."
        )
    return program


def _system() -> list[str]:
    argv: list[str] = []
    for path in _SYSTEM:
        if os.path.islink(path):
            argv += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            argv += ["--ro-bind", path, path]
    for name in _ETC:
        path = f"/etc/{name}"
        if os.path.exists(path):
            argv += ["--ro-bind", path, path]  # follows a link, which may point into /run
    return argv


def _openings(executable: str, needs: Needs, openings: Sandbox) -> list[str]:
    links, roots = interpreter_paths(executable)
    options: dict[str, str] = {}
    wanted = [(path, "--ro-bind") for path in (*roots, *needs.files, *openings.read)]
    wanted += [(path, "--bind") for path in openings.write]
    if needs.segment is not None:
        wanted.append((needs.segment, "--bind"))
    for path, option in wanted:
        # as written and resolved: a prefix refers to itself by both
        for name in (path, os.path.realpath(path)):
            if os.path.exists(name) and not (option == "--ro-bind" and _is_system(name)):
                options[name] = option
    argv: list[str] = []
    for path in sorted(options):  # a directory before the paths inside it
        argv += [options[path], os.path.realpath(path), path]
    for link, target in links.items():
        if not _is_system(link) and not any(_is_below(link, path) for path in options):
            argv += ["--symlink", target, link]
    return argv


def interpreter_paths(executable: str) -> tuple[dict[str, str], list[str]]:
    """Finds what an interpreter needs of the file system, without running it.

    Args:
        executable: absolute path.

    Returns:
        Symbolic links on the way to the program (path to target), and files and directories: its
        prefix, the interpreter that a venv was made from, directories that `.pth` files name.
    """
    links: dict[str, str] = {}
    roots: list[str] = []
    path = executable
    while path not in links:
        root = os.path.dirname(os.path.dirname(path))
        if any(glob(os.path.join(escape(root), mark)) for mark in _LANDMARKS):
            _add_root(root, roots)
        if not os.path.islink(path):
            roots.append(path)
            break
        links[path] = os.readlink(path)
        path = os.path.normpath(os.path.join(os.path.dirname(path), links[path]))
    return links, roots


def _add_root(root: str, roots: list[str]) -> None:
    if root in roots:
        return
    roots.append(root)
    try:
        with open(os.path.join(root, "pyvenv.cfg"), encoding="utf-8") as file:
            settings = dict(line.strip().partition(" = ")[::2] for line in file)
    except (OSError, ValueError):
        settings = {}
    base = os.path.dirname(settings.get("home", ""))
    if os.path.isabs(base):
        _add_root(base, roots)
    for folder in glob(os.path.join(escape(root), "lib*", "py*", "site-packages")):
        roots.extend(_named_by_pth_files(folder))


def _named_by_pth_files(folder: str) -> Iterable[str]:
    for file in glob(os.path.join(escape(folder), "*.pth")):
        try:
            with open(file, encoding="utf-8") as stream:
                lines = [line.strip() for line in stream]
        except (OSError, ValueError):
            continue
        for line in lines:
            if os.path.isabs(line) and os.path.isdir(line):
                yield os.path.normpath(line)


def _is_system(path: str) -> bool:
    return path == "/" or any(_is_below(path, root) for root in _SYSTEM)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root + os.sep)
