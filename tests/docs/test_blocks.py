# SPDX-License-Identifier: MIT
"""The Python blocks of the documentation run as they stand, page by page, and so do sh blocks that
say what they need."""

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from docs import pages
from envring.cli.certificates import cert
from envring.cli.commands import command
from envring.cli.serve import serve
from envring.gateways.runtimes import load
from envring.prefixes import spec
from support import local_channel
from support.hosts import running

OLD = "gym-0.21"
# what a block may need, and the test puts there
PREFIX = f"~/venvs/{OLD}"
CHANNEL = "the tests' conda channel"
HOST = "a host"
COMPILED = "a compiled worker"
# what other tests have: here such a block is only compiled
ELSEWHERE = {
    "OpenEnv": "gateways/test_openenv.py",
    "PettingZoo": "ecosystem/test_pettingzoo_docs.py",
    "PettingZoo and a host": "ecosystem/test_pettingzoo_docs.py",
    "RLlib": "ecosystem/test_rllib_docs.py",
    "Stable-Baselines3": "ecosystem/test_sb3_docs.py",
    "Tianshou": "ecosystem/test_tianshou_docs.py",
    "TorchRL": "ecosystem/test_torchrl_docs.py",
}
# what no test can put there: such a block is only compiled
UNREACHABLE = {
    *ELSEWHERE,
    "conda-forge",
    "a Portal-Env directory",
    "a Ray cluster",
    "an ssh host",
    "hosts that dial in",
    "a remote-gym server",
    "remote-gym and a host",
}
SECONDS = 50
# not `python PAGE.py`: processes that do not fork would run the page once more
RUN = "import sys; exec(compile(open(sys.argv[1]).read(), sys.argv[1], 'exec'))"
WITH_PYTHON = [page for page in pages.PAGES if pages.blocks(page, "python")]


def params(language):
    return [
        pytest.param(block, id=f"{pages.name(page)}:{block.line}")
        for page in pages.PAGES
        for block in pages.blocks(page, language)
        if language != "sh" or block.needs
    ]


def run(*command, cwd, home):
    """Runs a command that finds this interpreter first, in a home directory of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    keep = {
        "ENVRING_TEST_CACHE": str(local_channel.foreign_prefixes.cache()),
        "ENVRING_CACHE": str(home / "cache"),
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | keep | {"HOME": str(home), "PATH": path, "TMPDIR": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def script(page):
    """The blocks of a page as one script, each line at its number in the page."""
    lines = [""] * (page.read_text(encoding="utf-8").count("\n") + 1)
    for block in pages.blocks(page, "python"):
        compile(block.text, f"{pages.name(page)}:{block.line}", "exec")
        if UNREACHABLE.isdisjoint(block.needs):
            for number, line in enumerate(block.text.splitlines(), block.line - 1):
                lines[number] = line
    return "\n".join(lines)


def compile_worker(page, folder):
    """Runs the page's block that compiles ./cartpole, in a folder with the examples."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++: workers without Python, and this page, stay untried")
    (block,) = (block for block in pages.blocks(page, "sh") if "g++" in block.text)
    (folder / "examples").symlink_to(pages.ROOT / "examples")
    quick = block.text.replace("-O2", "-O0")  # to compile
    run("bash", "-eu", "-c", quick, cwd=folder, home=folder)
    assert (folder / "cartpole").exists()


def test_every_need_is_known():
    needs = {
        need
        for page in pages.PAGES
        for block in pages.blocks(page, "python", "sh")
        for need in block.needs
    }
    assert needs == {PREFIX, CHANNEL, HOST, COMPILED, *UNREACHABLE}
    for need, path in ELSEWHERE.items():
        assert f'"{need}"' in (pages.ROOT / "tests" / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("old", [OLD])
@pytest.mark.parametrize("page", WITH_PYTHON, ids=pages.name)
def test_python_blocks_run(page, old, matrix_prefix, tmp_path):
    needed = {need for block in pages.blocks(page, "python") for need in block.needs}
    if PREFIX in needed:
        (tmp_path / "venvs").mkdir()
        (tmp_path / "venvs" / OLD).symlink_to(matrix_prefix(old))
    if COMPILED in needed:
        compile_worker(page, tmp_path)
    path = tmp_path / f"{page.stem}.py"
    text = script(page)
    with running("CartPole-v1") if HOST in needed else nullcontext() as host:
        if host is not None:
            assert "tcp://127.0.0.1:7777" in text
            text = text.replace("tcp://127.0.0.1:7777", host.url)
        path.write_text(text, encoding="utf-8")
        run(sys.executable, "-W", "error", "-c", RUN, path, cwd=tmp_path, home=tmp_path)


@pytest.mark.parametrize("block", params("yaml"))
def test_specs_can_be_read(block, tmp_path):
    path = tmp_path / "spec.yml"
    path.write_text(block.text, encoding="utf-8")
    found = spec.load(path)
    assert found.dependencies
    assert found.pip


def test_configs_of_hosts_can_be_read(tmp_path):
    (block,) = pages.blocks(pages.ROOT / "docs" / "remote.md", "toml")
    path = tmp_path / "serve.toml"
    path.write_text(block.text, encoding="utf-8")
    found = {runtime.name: runtime for runtime in load(path)}
    assert list(found) == ["classic", "old", "mine"]
    assert found["mine"].kwargs == {"difficulty": 3}


def test_options_of_hosts_exist():
    text = (pages.ROOT / "docs" / "remote.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"envring serve |\| `--", line)]
    options = {option for line in lines for option in re.findall(r"--[a-z][a-z-]+", line)}
    known = {option for each in (*serve.params, *cert.params) for option in each.opts}
    assert {"--listen", "--grace"} <= options <= known


def commands():
    """The words of each command of ours: in sh blocks, and in indented lines."""
    for page in pages.PAGES:
        lines = [
            (block.line + number, line)
            for block in pages.blocks(page, "sh")
            for number, line in enumerate(block.text.splitlines())
        ]
        text = page.read_text(encoding="utf-8")
        lines += [
            (number, line)
            for number, line in enumerate(text.splitlines(), 1)
            if line.startswith("    envring ")
        ]
        for number, line in lines:
            found = re.search(r"(?:^|[ \"$(])envring +(?=[a-z-])", line.partition(" #")[0])
            if found is not None and not line.lstrip().startswith(("#", "pip ", "import ")):
                words = shlex.split(line[found.end() :], comments=True)
                yield pytest.param(words, id=f"{pages.name(page)}:{number}")


@functools.cache
def help_of(*names):
    result = CliRunner().invoke(command, [*names, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", list(commands()))
def test_commands_exist(words):
    """With their options, whatever their arguments are."""
    nested = words[0] in ("env", "cluster", "portal")
    nested = nested or words[:2] in (["serve", "cert"], ["bench", "compare"])
    said = help_of(*words[: 1 + nested])
    given = {word.partition("=")[0].strip("[]") for word in words if re.match(r"\[?--?[a-z]", word)}
    assert given <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", said)) | {"--help"}


@pytest.mark.parametrize("block", params("sh"))
def test_sh_blocks_run(block, tmp_path):
    assert block.needs == (CHANNEL,)
    if local_channel.OWN not in local_channel.versions():
        pytest.skip(f"there is no Python {local_channel.OWN} to copy: the block stays untried")
    assert run("bash", "-eu", "-c", block.text, cwd=pages.ROOT, home=tmp_path)
