# SPDX-License-Identifier: MIT
"""Every peer that is installed counts its steps and not its resets, and gets the same actions."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from bench.telling_envs import Ends, Telling, telling
from envring.bench import peers, workloads
from envring.bench.peers import base, pufferlib
from envring.cpus import usable_cpus

NEXT_STEP = {"envring", "async", "sync", "pufferlib"}  # by the first part of their names


def installed():
    """A parameter for each peer that is here; what other packages leave or warn of is theirs."""
    theirs = [pytest.mark.filterwarnings("ignore"), pytest.mark.leaves("its package does")]
    return [
        pytest.param(name, marks=theirs if adapter.package else [])
        for name, adapter in peers.adapters().items()
        if peers.installed(adapter) is not None and adapter.where != "native"
    ]


@pytest.fixture
def told(tmp_path):
    """A workload whose envs tell of their steps, and what they have told."""
    steps = tmp_path / "steps"
    steps.touch()
    return workloads.Workload("told", "told", telling(tmp_path), endless=False), steps


@pytest.mark.parametrize("name", installed())
def test_counted_steps_are_the_steps_that_the_envs_saw(told, name):
    workload, steps = told
    peer = peers.build(name, workload, 4, {})
    try:
        assert peer.construct_seconds > 0
        seen = 0
        for batches in (1, 10, 23):
            peer.advance(batches)
            resets = peer.take_resets()
            seen += batches * peer.num_envs - resets
            assert seen == steps.stat().st_size
            assert (resets > 0) == (name.split("-")[0] in NEXT_STEP and batches > 1)
    finally:
        peer.close()


@pytest.mark.parametrize("name", installed())
def test_every_peer_gives_the_same_actions(tmp_path, name):
    steps = tmp_path / "steps"
    steps.touch()
    workload = workloads.Workload("told", "told", telling(tmp_path, shortest=9), endless=False)
    peer = peers.build(name, workload, 1, {})
    try:
        while steps.stat().st_size < 8:
            peer.advance(1)
        drawn = [int(batch[0]) for batch in base.draw_actions(Telling.action_space, 1)[:8]]
        taken = [int(each) for each in steps.read_text()]
        if name == "bare-all":  # its loops share the batches: each has a sequence of its own
            assert taken[0] == drawn[0]
        else:
            assert taken == drawn
    finally:
        peer.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.leaves("its package does")
def test_native_envs_count_their_own_steps():
    if peers.installed(peers.find("envpool")) is None:
        pytest.skip("EnvPool is not installed: whether its steps are counted stays unchecked")
    peer = peers.build("envpool", workloads.find("cartpole"), 5, {"num_workers": 1})
    step, took = peer.envs.step, []

    def stepped(action):
        result = step(action)
        took.append(int(np.count_nonzero(result[4]["elapsed_step"])))
        return result

    peer.envs.step = stepped
    try:
        peer.advance(150)
        resets = peer.take_resets()
        assert resets > 0
        assert 150 * 5 - resets == sum(took)
    finally:
        peer.close()


def test_a_dead_loop_is_told(told):
    workload = dataclasses.replace(told[0], make=Ends)
    peer = peers.build("bare-all", workload, 2, {})
    try:
        with pytest.raises(RuntimeError, match="a loop's process ended"):
            peer.advance(1)
    finally:
        peer.close()


def test_a_batch_is_counted_across_calls():
    ends = [(b"\1\0\0", b"\0\0\1"), (b"\0\0\0", b"\0\0\0"), (b"\1\1\0", b"\0\1\0")]
    assert base.count_resets(ends) == (2, 2)
    assert base.count_resets([(b"\0\0", b"\0\0")], pending=2) == (2, 0)
    assert base.count_resets([], pending=2) == (0, 2)


def test_drawn_actions_are_the_same_each_time():
    first, second = (base.draw_actions(gymnasium.spaces.Discrete(5), 3) for _ in range(2))
    assert [list(each) for each in first] == [list(each) for each in second]
    assert len({tuple(each) for each in first}) > 1
    assert [list(row) for row in base.draw_rows(gymnasium.spaces.Discrete(5), 3)] == [
        list(each) for each in first
    ]


def test_naming_a_peer_imports_no_package_of_its_own():
    packages = {each.package for each in peers.adapters().values()} - {None}
    assert {"stable_baselines3", "tianshou", "pufferlib", "torchrl", "envpool"} == packages
    code = """if True:
        import sys
        from envring.bench import peers, workloads
        for adapter in peers.adapters().values():
            peers.installed(adapter)
            for workload in workloads.WORKLOADS.values():
                adapter.refuses(workload, 8)
        print(*sys.modules)
    """
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert not (packages | {"torch", "rich", "matplotlib", "click"}) & set(ran.stdout.split())


def test_adapters_are_complete():
    found = peers.adapters()
    titles = {each.title for each in found.values()}
    assert len(titles) == len(found) >= 22  # a name given twice would hide one of them
    assert all(each.requirement for each in found.values() if each.package)
    assert not any("num_workers" in each.preset for each in found.values() if each.takes_workers)


def test_a_peer_without_its_package_is_absent(monkeypatch):
    adapter = peers.find("envpool")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert peers.installed(adapter) is None
    assert adapter.requirement == "envpool"
    assert peers.installed(peers.find("sync")) == gymnasium.__version__


def test_loading_leaves_nothing_in_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "litters.py").write_text("open('litter', 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    dataclasses.replace(peers.find("async"), package="litters").load()
    assert "litters" in sys.modules
    assert not (tmp_path / "litter").exists()
    assert Path.cwd() == tmp_path


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no peer 'asynk'; did you mean async"):
        peers.find("asynk")
    with pytest.raises(ValueError, match="no peer 'zzz'; use one of envring, "):
        peers.build("zzz", workloads.find("null"), 1, {})


def test_options_go_before_the_preset():
    peer = peers.build("envring-1", workloads.find("null"), 4, {"num_workers": 0})
    try:
        assert peer.envs.num_workers == 0
    finally:
        peer.close()


def test_refusals_say_why():
    null, info, tail = (workloads.find(name) for name in ("null", "info5", "null"))
    assert peers.find("envpool").refuses(null, 8) == "it does not have this env in C++"
    assert "no infos" in peers.find("torchrl").refuses(info, 8)
    assert peers.find("envring-wide").refuses(tail, usable_cpus()) is not None
    assert peers.find("envring-wide").refuses(tail, usable_cpus() + 1) is None


def test_pufferlib_gets_workers_that_divide_the_envs():
    assert pufferlib.largest_divisor(64, 2) == 2
    assert pufferlib.largest_divisor(9, 4) == 3
    assert pufferlib.largest_divisor(7, 4) == 1
    assert pufferlib.largest_divisor(1, 8) == 1
