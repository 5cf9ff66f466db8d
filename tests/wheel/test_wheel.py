# SPDX-License-Identifier: MIT
"""What users install: built from the source archive, in an environment that has nothing else."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".c", ".h", ".py", ".pyi", ".pyx", ".pxi", ".pxd", ".sh", ".pml", ".toml", ".yml"}
SUFFIXES |= {".cpp", ".hpp"}
LIBRARY = "envring/_foreign/libenvring.so"

# which files of requirements/ say what is fetched: for building, and beside the wheel
BUILD, BESIDE = {
    "lock": ("lock.txt", "lock.txt"),
    "oldest": ("oldest-build.txt", "oldest.txt"),
    "newest": (None, None),
}[os.environ.get("ENVRING_TEST_RELEASES", "lock")]

# neither build products nor anything a clone does not have
NOT_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv*", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache"),
    *(".hypothesis", ".benchmarks", "shared"),
)

SCRIPT = """
import ctypes, json, pathlib
import gymnasium, numpy as np
import envring

def play(envs):
    seen = [envs.reset(seed=7)]
    for t in range(200):
        seen.append(envs.step(np.array([t % 2, (t // 3) % 2, 1])))
    envs.close()
    return seen

def same(a, b):
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape
        return bool(np.all(a == b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return len(a) == len(b) and all(map(same, a, b))

def make():
    return gymnasium.make("CartPole-v1")

if __name__ == "__main__":
    ring = play(envring.RingVectorEnv([make] * 3, num_workers=2))
    sync = play(gymnasium.vector.SyncVectorEnv([make] * 3))
    home = pathlib.Path(envring.__file__).parent
    library = home / "_foreign" / "libenvring.so"
    ctypes.CDLL(str(library))
    print(json.dumps({
        "file": envring.__file__,
        "version": envring.__version__,
        "equal": same(ring, sync),
        "ended": int(sum(step[2].sum() for step in ring[1:])),
    }))
"""


def run(*command, cwd, timeout=240, **environment):
    """Runs a command outside the tree with nothing of ours in its environment."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ENVRING"))}
    variables["PIP_NO_COMPILE"] = "1"  # of what is installed here little is imported, once
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fetching(name):
    """The variables that make pip fetch the releases that a file of requirements/ names."""
    file = str(ROOT / "requirements" / name) if name else ""
    # the second one is for what pip builds in isolation, the first one for all else
    return {"PIP_CONSTRAINT": file, "PIP_BUILD_CONSTRAINT": file}


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    # a copy: file lists of earlier builds in the tree would hide what the manifest forgets
    tree = shutil.copytree(ROOT, folder / "tree", ignore=NOT_SOURCE)
    command = (sys.executable, "-m", "build", "--sdist", "--outdir", folder, tree)
    run(*command, cwd=folder, **fetching(BUILD))
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", folder, sdist)
    run(*command, cwd=folder, **fetching(BUILD))
    (archive,) = folder.glob("*.whl")
    return archive


@pytest.fixture(scope="session")
def bystander(wheel, tmp_path_factory):
    """Python of a fresh environment with the wheel and its dependencies, nothing of the tree."""
    folder = tmp_path_factory.mktemp("bystander")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder, **fetching(BESIDE))
    return python


def test_source_archive_has_what_building_and_testing_need(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    packed = {
        str(path.relative_to(ROOT))
        for folder in ("csrc", "src", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES
    }
    packed |= {
        "requirements/lock.txt",
        "setup.py",
        "pyproject.toml",
        "Makefile",
        "LICENSE",
        "README.md",
        ".ci/run",
    }
    assert packed - names == set()
    assert not {name for name in names if name.endswith((".so", ".pyc", "_core.c"))}


def test_wheel_has_every_module_and_no_source_of_the_build(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    expected = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/envring").rglob("*")
        if path.suffix in (".py", ".pyi", ".toml", ".yml", ".hpp") or path.name == "py.typed"
    }
    recipe = "envring/prefixes/recipes/ale/spec.yml"
    assert {"envring/core/_core.pyi", "envring/py.typed", recipe} <= expected
    assert names == expected | {f"envring/core/_core{suffix}", LIBRARY}


def test_worker_library_exports_our_functions_and_needs_an_old_libc(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        path = archive.extract(LIBRARY, tmp_path)
    ctypes.CDLL(path)
    table = run("nm", "--dynamic", "--with-symbol-versions", path, cwd=tmp_path).split("\n")
    symbols = [line.split()[-2:] for line in table if line]
    defined = {name for kind, name in symbols if kind in "TDBR"}
    needed = {name for kind, name in symbols if kind == "U"}
    assert defined
    assert all(name.startswith("er_") for name in defined)
    versions = {name.partition("@GLIBC_")[2] for name in needed if "@GLIBC_" in name}
    newest = max(tuple(map(int, version.split("."))) for version in versions)
    assert newest <= (2, 17)
    assert not any(name.startswith(("Py", "_Py")) for name in needed)


def test_installed_package_works_without_the_tree(wheel, bystander, tmp_path):
    script = tmp_path / "play.py"
    script.write_text(SCRIPT)
    said = json.loads(run(bystander, script, cwd=tmp_path, timeout=50))
    home = Path(said["file"])
    assert bystander.parent.parent in home.parents
    assert said["equal"]
    assert said["ended"] > 3, "the episodes were meant to end and start again"
    assert said["version"] == wheel.name.split("-")[1]


def test_quickstart_from_nothing(wheel, tmp_path):
    """The time counts on a quiet machine only: `make quickstart`."""
    script = ROOT / "scripts/quickstart.py"
    said = run(sys.executable, script, wheel, "--limit", "240", cwd=tmp_path, **fetching(BESIDE))
    assert said.startswith(wheel.name) and "quickstart" in said and "together" in said


def test_command_without_its_extra_says_what_to_install(bystander, tmp_path):
    """And the package is imported without any extra."""
    done = subprocess.run(
        [bystander.with_name("envring"), "env", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 1
    assert done.stderr == "The command envring needs click: pip install 'envring[cli]'\n"
