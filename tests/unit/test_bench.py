# SPDX-License-Identifier: MIT
"""The benchmark's arithmetic, its counting of steps, its tables, and its way with failing peers."""

import importlib.util
import io
import json
import re
import time
from pathlib import Path

import gymnasium
import pytest
from rich.console import Console

from envring.bench import __main__, machine, peers, plot, report, runner, stats, workloads

HARDWARE = {
    "cpu": "Test CPU",
    "cores_usable": 2,
    "cores_total": 4,
    "kernel": "Linux 0",
    "versions": {"python": "3"},
    "load_before": [0.0],
    "load_after": [0.5],
}


@pytest.fixture
def envs(monkeypatch):
    """The name of `bench_envs`, importable here and in the peers' processes."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    return "bench_envs"


def sample(peer, number, rate, **more):
    return runner.Sample(peer, number, steps=rate, resets=0, batches=1, seconds=1.0, **more)


@pytest.fixture
def result():
    """Three rounds, ever faster: envring 30 times Async, twice Sync and 0.75 of the ceiling."""
    cell = runner.Cell("cartpole", 64, ("envring", "async", "sync", "bare"))
    found = runner.CellResult(cell, cores=2)
    for number, speed in enumerate((1, 2, 3)):
        for peer, rate in (("envring", 300), ("async", 10), ("sync", 150), ("bare", 200)):
            found.samples.append(sample(peer, number, 1000 * rate * speed))
    return found


# -- statistics ------------------------------------------------------------------------------------


def test_spread_is_median_and_quartiles():
    assert stats.spread([5, 1, 4, 2, 3]) == stats.Spread(3, 2, 4, 5)
    assert stats.spread([7.0]) == stats.Spread(7.0, 7.0, 7.0, 1)
    assert stats.spread([]) is None


def test_ratios_pair_the_rounds_that_both_have():
    assert stats.paired_ratios({0: 8.0, 1: 6.0, 2: 5.0}, {0: 4.0, 2: 1.0, 3: 1.0}) == [2.0, 5.0]


def test_ratios_leave_out_a_round_without_a_step():
    assert stats.paired_ratios({0: 8.0, 1: 6.0}, {0: 0.0, 1: 2.0}) == [3.0]


def test_ratios_do_not_see_the_drift(result):
    assert result.ratio("envring", "async") == stats.Spread(30, 30, 30, 3)
    assert result.of_ceiling("envring").median == pytest.approx(0.75)
    assert result.rate("envring").median == 600_000


def test_a_replaced_slice_does_not_count(result):
    result.samples.append(sample("envring", 0, 1.0, kept=False))
    assert result.rate("envring").count == 3
    assert len(result.as_json()["samples"]) == 13


def test_the_quietest_attempt_is_kept():
    attempts = [sample("sync", 0, 1, outside=outside) for outside in (0.6, 0.2, 0.4)]
    assert runner.quietest(attempts) == 1


# -- counting --------------------------------------------------------------------------------------


def test_a_reset_follows_each_end():
    ends = [(b"\1\0\0", b"\0\0\1"), (b"\0\0\0", b"\0\0\0"), (b"\1\1\0", b"\0\1\0")]
    assert stats.count_resets(ends) == (2, 2)
    assert stats.count_resets([(b"\0\0", b"\0\0")], pending=2) == (2, 0)
    assert stats.count_resets([], pending=2) == (0, 2)


@pytest.mark.parametrize("name", ["sync", "bare"])
def test_counted_steps_are_the_steps_the_envs_saw(envs, name):
    workload = workloads.find(f"{envs}:Counting")
    peer = peers.build(name, workload, 7, {})
    try:
        for batches in (1, 10, 57):
            before = workload.make.steps_taken
            peer.advance(batches)
            resets = peer.take_resets()
            assert batches * 7 - resets == workload.make.steps_taken - before
            assert (resets > 0) == (name == "sync" and batches > 1)
    finally:
        peer.close()


def test_a_slice_leaves_out_its_warm_up(envs):
    workload = workloads.find(f"{envs}:Counting")
    peer = peers.build("bare", workload, 3, {})
    before = workload.make.steps_taken
    measured = peers.measure_slice(peer, 0.02)
    assert 0 < measured["steps"] < workload.make.steps_taken - before
    assert measured["steps"] == measured["batches"] * 3
    assert measured["seconds"] >= 0.02


def test_every_peer_gets_the_same_actions():
    first, second = (peers.draw_actions(gymnasium.spaces.Discrete(5), 3) for _ in range(2))
    assert [list(each) for each in first] == [list(each) for each in second]
    assert len({tuple(each) for each in first}) > 1


# -- workloads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_a_workload_keeps_to_its_space(name):
    workload = workloads.find(name)
    env = workload.make()
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert info == {}
    observation, _, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    assert not terminated
    assert not truncated
    assert len(info) == (5 if name == "info5" else 0)
    env.close()


def test_spin100_works_for_100_us():
    env = workloads.find("spin100").make()
    start = time.perf_counter()
    env.step(0)
    assert time.perf_counter() - start >= 100e-6


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cartpool", "no workload 'cartpool'; use one of cartpole, "),
        ("no_such_module:env", "cannot be loaded"),
        ("math:no_such_name", "cannot be loaded"),
        ("math:pi", "is not callable"),
    ],
)
def test_a_workload_that_is_none_is_refused(name, text):
    with pytest.raises(ValueError, match=text):
        workloads.find(name)


# -- reports ---------------------------------------------------------------------------------------


def shown(results):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    report.show(console, results, HARDWARE)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (999, "999"),
        (999.9, "1 k"),
        (12345, "12.3 k"),
        (999_900, "1 M"),
        (2.5e9, "2.5 G"),
    ],
)
def test_short_has_three_figures(value, text):
    assert report.short(value) == text


def test_a_range_names_a_shared_unit_once():
    assert report.between(1200, 1300) == "1.2 to 1.3 k"
    assert report.between(900, 1300) == "900 to 1.3 k"
    assert report.between(1200, 1201) == "1.2 k"


def test_the_table_shows_every_figure_at_80_columns(result):
    line = next(line for line in shown([result]).splitlines() if "RingVectorEnv" in line)
    assert " ".join(line.split()) == "RingVectorEnv 600 k 450 to 750 k 30x 2x 0.75"


def test_the_table_names_a_failure_beside_the_other_figures(result):
    result.samples = [each for each in result.samples if each.peer != "async"]
    result.failures["async"] = "hung [red]somewhere"
    text = shown([result])
    assert "AsyncVectorEnv: hung [red]somewhere" in text
    line = next(line for line in text.splitlines() if "RingVectorEnv" in line)
    assert " ".join(line.split()) == "RingVectorEnv 600 k 450 to 750 k - 2x 0.75"


def test_the_table_says_when_the_machine_was_busy(result):
    assert "DISTURBED" not in shown([result])
    result.samples.append(sample("sync", 3, 1000, outside=0.8))
    assert "DISTURBED: other programs held 0.80 cores" in shown([result])


def test_json_holds_every_sample_and_the_machine(result, tmp_path):
    path = tmp_path / "found.json"
    report.write_json(path, [result], HARDWARE, goals=[])
    document = json.loads(path.read_text())
    assert document["machine"] == HARDWARE
    assert document["goals"] == []
    assert len(document["cells"][0]["samples"]) == 12
    assert document["cells"][0]["samples"][0]["rate"] == 300_000


@pytest.mark.parametrize("lost", [(), ("async",), ("envring", "async", "sync", "bare")])
def test_the_picture_is_drawn_whoever_failed(result, tmp_path, lost):
    result.samples = [each for each in result.samples if each.peer not in lost]
    path = tmp_path / "found.png"
    plot.draw(path, [result, result], HARDWARE)
    assert path.read_bytes().startswith(b"\x89PNG")


# -- the machine and the command -------------------------------------------------------------------


def test_the_machine_is_described():
    found = machine.describe()
    assert 1 <= found["cores_usable"] <= found["cores_total"]
    assert {"python", "gymnasium", "numpy"} <= found["versions"].keys()
    assert found["versions"]["numpy"] in report.machine_line(found)


def test_missing_extras_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SystemExit, match=r"needs rich and matplotlib: pip install 'envring\[bench\]'"
    ):
        __main__.require_extra()


@pytest.mark.parametrize("arguments", [["--envs", "0"], ["--workload", "cartpool"]])
def test_bad_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.parse(arguments)
    assert caught.value.code == 2
    assert arguments[0].strip("-") in capsys.readouterr().err


# -- peers in their processes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "failure"),
    [
        ("Raises", r"failed in slice: RuntimeError: \[red\]boom"),
        ("KillsTheCaller", r"crashed in slice \(SIGKILL\)"),
        ("Hangs", "hung in slice: no answer within"),
    ],
)
def test_the_rest_goes_on_without_a_failing_peer(envs, env, failure):
    cell = runner.Cell(f"{envs}:{env}", 2, ("async", "sync", "bare"))
    turns = []
    found = runner.run_cell(
        cell,
        cores=2,
        rounds=2,
        slice_seconds=0.05,
        deadline=time.monotonic() + 30,
        grace=2.0,
        advanced=lambda: turns.append(1),
    )
    assert list(found.failures) == ["async"]
    assert re.match(failure, found.failures["async"])
    assert found.rate("async") is None
    assert found.rate("sync").count == found.rate("bare").count == 2
    assert len(turns) == 5


def test_a_peer_that_cannot_be_constructed_is_reported():
    cell = runner.Cell("null", 2, ("async", "bare"), {"async": {"no_such_option": 1}})
    found = runner.run_cell(
        cell, cores=2, rounds=1, slice_seconds=0.05, deadline=time.monotonic() + 30
    )
    assert "failed in construct: TypeError" in found.failures["async"]
    assert found.rate("bare").count == 1


def test_the_deadline_ends_the_rounds():
    cell = runner.Cell("null", 2, ("bare",))
    found = runner.run_cell(
        cell, cores=2, rounds=1000, slice_seconds=0.05, deadline=time.monotonic() + 0.1
    )
    assert found.failures == {}
    assert 1 <= found.rate("bare").count < 10


def test_the_command_measures_every_peer(tmp_path, monkeypatch, capsys):
    # the test runner keeps its own handling of Ctrl-C
    monkeypatch.setattr(__main__, "exit_on_signals", lambda: None)
    found, picture = tmp_path / "found.json", tmp_path / "found.png"
    arguments = ["--quick", "--workload", "null", "--envs", "2", "--workers", "1"]
    assert __main__.main([*arguments, "--json", str(found), "--plot", str(picture)]) == 0
    (cell,) = json.loads(found.read_text())["cells"]
    assert cell["failures"] == {}
    assert {each["peer"] for each in cell["samples"]} == set(__main__.PEERS)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "RingVectorEnv" in capsys.readouterr().out
