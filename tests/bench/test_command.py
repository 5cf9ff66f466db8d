# SPDX-License-Identifier: MIT
"""The command lines `envring bench`, `envring bench compare` and `envring tune`."""

import importlib.util
import json
import signal
import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

import envring
from envring.bench import peers, run, start
from envring.bench.measuring import inventory, results
from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import Sample
from envring.bench.plan import matrix
from envring.bench.plan.cells import Cell
from envring.bench.run import Wish
from envring.bench.tuning import search
from envring.cli.commands import command

# rounds bound what is measured; where the machine is busy, imports take many of these seconds
GRACE = {"grace": 10.0}
SHORT = ["--quick", "--envs", "2", "--rounds", "1", "--seconds", "40"]


def call(*arguments):
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)


# -- what is refused before anything is measured ---------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--envs", "0"], "'0' is not an integer of at least 1"),
        (["--envs", "8,many"], "'many' is not an integer of at least 1"),
        (["--workers", "-1"], "'-1' is not an integer of at least 0"),
        (["--think", "300"], "'300' is not a duration; write 0, 300us"),
        (["cartpool"], "cartpole"),
        (["--workload", "cartpool"], "cartpole"),
        (["no_such_module:make"], "no_such_module"),
        (["--", "compare"], "compare"),
        (["--peers", "envring,rings"], "no peer 'rings'"),
        (["--baseline", "rings"], "no peer 'rings'"),
        (["--json", "/no/such/directory/found.json"], "no directory '/no/such/directory'"),
        (["--plot", "/proc"], "'/proc' cannot be written"),
        (["null", "--matrix", "full"], "targets or a matrix, not both"),
        (["--full", "--envs", "8"], "go with targets, not with a matrix"),
        (["--full", "--remotes", "tcp://h:1"], "go with targets, not with a matrix"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    result = call("bench", *arguments)
    assert result.exit_code == 2
    assert text in " ".join(result.stderr.split())


def test_missing_extras_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SystemExit, match=r"needs rich and matplotlib: pip install 'envring\[bench\]'"
    ):
        start.require_extra("rich", "matplotlib")


def test_other_commands_do_not_pay_for_the_benchmark():
    code = (
        "import sys; from click.testing import CliRunner; from envring.cli.commands import command;"
        "CliRunner().invoke(command, ['env', 'recipes'], catch_exceptions=False);"
        "print([name for name in sys.modules if name.startswith(('envring.bench', 'rich'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# -- what is planned -------------------------------------------------------------------------------


def cells(**wish):
    return [each.cell for each in run.plan(Wish(**wish)).cells]


def test_without_arguments_the_default_matrix_is_measured():
    assert run.plan(Wish()).cells == matrix.named("default").cells


def test_quick_without_a_target_is_a_matrix():
    assert run.plan(Wish(quick=True)).cells == matrix.named("quick").cells


def test_every_combination_becomes_a_cell():
    axes = {"envs": (2, 8), "workers": (1, 2), "think": (0.0, 1e-3), "busy": (0, 2)}
    found = cells(targets=("null", "image"), **axes)
    assert len({cell.key for cell in found}) == 32
    assert {cell.peers for cell in found} == {matrix.PEERS}


def test_numbers_of_envs_alone_go_to_the_default_workloads():
    assert [cell.key[:2] for cell in cells(envs=(8,))] == [("cartpole", 8), ("image", 8)]


def test_the_baseline_and_the_bare_loop_come_along():
    (cell,) = cells(targets=("null",), peers=("envring-1",), baseline="sync")
    assert cell.peers == ("envring-1", "sync", "bare")


def test_all_peers_are_those_that_are_installed(monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda adapter: adapter.name != "async" or None)
    (cell,) = cells(targets=("null",), peers=("all",))
    assert set(cell.peers) == set(peers.adapters()) - {"async"}


def test_named_peers_are_picked_from_a_matrix():
    found = cells(matrix="full", peers=("envring", "async"))
    assert {peer for cell in found for peer in cell.peers} == {"envring", "async", "bare"}


def test_a_server_is_a_peer_with_each_workload():
    found = cells(targets=("null", "image"), remotes="tcp://h:1")
    assert {cell.peers for cell in found} == {(*matrix.PEERS, "remote")}


def test_a_budget_leaves_time_for_tables_and_pictures():
    assert run.plan(Wish(targets=("null",), seconds=30.0)).seconds == 30 - run.MARGIN_SECONDS


def test_the_budget_grows_with_what_is_asked_for():
    few, many = (
        run.plan(Wish(targets=("null",), envs=envs)).seconds for envs in ((8,), range(1, 50))
    )
    assert many > 2 * few


def test_a_look_at_every_peer_has_time_for_their_imports():
    every = tuple(peers.adapters())
    planned = matrix.grid(["null"], [8], every)
    slow = [name for name in every if name.startswith(("sb3", "tianshou", "torchrl"))]
    assert run.needed(planned, 3, 0.1) > 1.6 * len(slow) + 3 * 0.1 * len(every)
    assert run.needed(planned, 9, 0.3) > run.needed(planned, 3, 0.1) + 2 * len(every)


def test_a_small_run_gets_the_usual_time():
    few = run.plan(Wish(targets=("null",), envs=(8,))).seconds
    assert few >= matrix.named("default").seconds


# -- what is measured ------------------------------------------------------------------------------


def test_the_command_measures_every_peer_and_writes_all_files(tmp_path):
    found, picture, tables, trace = (tmp_path / name for name in ("a.json", "a.png", "a.md", "t"))
    files = ["--json", found, "--plot", picture, "--markdown", tables, "--trace", trace]
    result = call("bench", "null", *SHORT, "--breakdown", *files)
    assert result.exit_code == 0, result.output
    document = results.read(found)
    (cell,) = document.cells
    assert cell.failures == {}
    assert {each.peer for each in cell.samples} == set(matrix.PEERS)
    assert list(cell.breakdowns) == ["envring"]
    assert document.absent == inventory.absent()
    assert document.machine["load_before"] and document.machine["load_after"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "RingVectorEnv" in tables.read_text()
    assert json.loads(trace.read_text())["traceEvents"]
    assert "RingVectorEnv" in result.stdout


def test_a_server_is_measured():
    served = ["CartPole-v1", "envring.bench.workloads.synthetic:ImageEnv"]
    with envring.serve(served) as host:
        targets = ["cartpole", "image", "--peers", "bare", "--breakdown"]
        result = call("bench", *targets, *SHORT, "--remotes", host.url)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("remote ") >= 2


def test_a_trace_needs_one_of_our_own(tmp_path):
    path = tmp_path / "trace.json"
    result = call("bench", "null", *SHORT, "--peers", "bare", "--trace", path)
    assert result.exit_code == 1
    assert "trace: none of the peers is RingVectorEnv" in result.stdout
    assert not path.exists()


def test_a_peer_that_fails_makes_the_exit_status_1(envs):
    result = call("bench", f"{envs}:Raises", *SHORT, "--peers", "async")
    assert result.exit_code == 1
    assert "RuntimeError: [red]boom" in " ".join(result.stdout.split())


def test_a_module_is_found_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(tmp_path))])
    (tmp_path / "own_env_here.py").write_text("from envring.testing import CountingEnv as make\n")
    result = call("bench", "own_env_here:make", *SHORT, "--peers", "bare")
    assert result.exit_code == 0
    assert "own_env_here:make x 2 envs" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(number):
    process = subprocess.Popen(
        [sys.executable, "-m", "envring.bench", "null", "--envs", "2", "--seconds", "60"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 40
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        while True:  # until the peers are there: the watcher alone is one
            with open(children) as file:
                if len(file.read().split()) > 3:
                    break
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (128 + number, b"")


def test_peers_and_workloads_are_listed(monkeypatch):
    monkeypatch.setattr(
        peers, "installed", lambda adapter: None if adapter.package == "torchrl" else "1.2.3"
    )
    lines = [" ".join(line.split()) for line in call("bench", "--list").stdout.splitlines()]
    assert "async AsyncVectorEnv 1.2.3" in lines
    assert "torchrl TorchRL ParallelEnv absent: pip install torchrl" in lines
    assert any(line.startswith("cartpole CartPole-v1") for line in lines)


# -- compare ---------------------------------------------------------------------------------------


def test_two_runs_are_compared(result, sample, hardware, tmp_path):
    old, new, tables = (tmp_path / name for name in ("old.json", "new.json", "new.md"))
    results.write(old, Document(hardware, [result]))
    result.samples = [
        Sample(**{**vars(each), "steps": each.steps * (2 if each.peer == "sync" else 1)})
        for each in result.samples
    ]
    results.write(new, Document(hardware, [result]))
    done = call("bench", "compare", old, new, "--markdown", tables)
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if "VectorEnv" in line}
    assert "faster" in lines["SyncVectorEnv"]
    assert "no difference seen" in lines["AsyncVectorEnv"]
    assert "faster" in tables.read_text()


def test_what_is_no_run_is_not_compared(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"format": 99}))
    done = call("bench", "compare", path, path)
    assert done.exit_code == 1
    assert f"{path} cannot be compared" in done.stderr


# -- tune ------------------------------------------------------------------------------------------


@pytest.fixture
def patience(monkeypatch):
    """A slice may take its time: this machine may be busy."""
    run_cell = search.run_cell
    monkeypatch.setattr(search, "run_cell", lambda *args, **kw: run_cell(*args, **kw | GRACE))


@pytest.mark.usefixtures("patience")
def test_tune_prints_a_line_to_paste(tmp_path):
    path = tmp_path / "found.json"
    result = call("tune", "null", "--envs", "1", "--seconds", "5", "--json", path)
    assert result.exit_code == 0, result.output
    found = json.loads(path.read_text())
    assert found["code"].startswith("envring.RingVectorEnv([make_env] * 1")
    assert found["code"] in result.stdout
    assert {"waiting", "final"} == {each["part"] for each in found["tried"]}
    assert found["machine"]["cores_usable"] >= 1


@pytest.mark.usefixtures("patience")
def test_tune_says_why_an_env_cannot_be_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dark_env.py").write_text("def make():\n    raise RuntimeError('no display')\n")
    result = call("tune", "dark_env:make", "--envs", "2", "--seconds", "5")
    assert result.exit_code == 1
    assert "could not be measured: failed in construct: RuntimeError: no display" in result.stderr


@pytest.mark.usefixtures("patience")
def test_tune_waits_for_an_env_that_starts_slowly(tmp_path, monkeypatch):
    """An env may import torch, when its module is imported or in its constructor."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    (tmp_path / "slow_env.py").write_text(
        "import time\n"
        "from envring.testing import CountingEnv\n"
        "time.sleep(2.3)\n"
        "def make(slept=[]):\n"
        "    time.sleep(0.0 if slept else 2.3)\n"
        "    slept.append(1)\n"
        "    return CountingEnv()\n"
    )
    cell = Cell.of("slow_env:make", search.PROBE_ENVS, ("bare",))
    found = search.measure_for(cell, 2.0, cores=2)
    assert found.failures == {}
    assert found.rate("bare").count >= 1


def test_a_duration_has_a_unit():
    from envring.bench.arguments import duration

    assert [duration(text) for text in ("0", "300us", "1.5ms", ".1s", "20 us")] == [
        0.0,
        pytest.approx(300e-6),
        0.0015,
        0.1,
        pytest.approx(20e-6),
    ]
    with pytest.raises(click.BadParameter):
        duration("-1s")
