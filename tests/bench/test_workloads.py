# SPDX-License-Identifier: MIT
"""The workloads keep to their spaces and times, and names that are none are refused."""

import pickle
import statistics
import sys
import time

import gymnasium
import pytest

from envring.bench import workloads

PRESENT = [name for name, each in workloads.WORKLOADS.items() if each.absent is None]


@pytest.mark.parametrize("name", PRESENT)
def test_a_workload_keeps_to_its_space(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workload = workloads.find(name)
    env = workload.make()
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    assert "real" in workload.groups or info == {}
    env.action_space.seed(1)
    observation, _, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    assert not terminated
    assert not truncated
    assert "real" in workload.groups or len(info) == (5 if name == "info5" else 0)
    env.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PRESENT)
def test_a_workload_can_be_sent_to_a_process(name):
    pickle.loads(pickle.dumps(workloads.find(name).make))().close()


def test_images_have_the_sizes_that_their_names_say():
    shapes = {name: workloads.find(name).make().reset()[0].shape for name in ("image", "image210")}
    assert shapes == {"image": (84, 84, 4), "image210": (210, 160, 3)}


@pytest.mark.parametrize(("name", "seconds"), [("spin20", 20e-6), ("spin1000", 1e-3)])
def test_a_step_computes_for_its_time(name, seconds):
    env = workloads.find(name).make()
    start = time.thread_time()
    env.step(0)
    assert time.thread_time() - start >= seconds


def lengths(env, count):
    """The lengths of the next steps of a `TailEnv`, none of them spent."""
    told = []
    env._spend = told.append
    for _ in range(count):
        env.step(0)
    return told


def test_the_tail_is_heavy_and_has_the_mean_it_says():
    env = workloads.TailEnv(100e-6)
    env.reset(seed=3)
    drawn = lengths(env, env.DRAWN)
    assert statistics.fmean(drawn) == pytest.approx(100e-6)
    assert statistics.median(drawn) < 50e-6
    assert max(drawn) > 2e-3
    assert 0.005 < sum(each > 1e-3 for each in drawn) / len(drawn) < 0.02
    assert lengths(env, env.DRAWN) == drawn


def test_tails_are_those_of_the_seed():
    drawn = []
    for seed in (1, 1, 2):
        env = workloads.TailEnv(100e-6, sleeps=True)
        env.reset(seed=seed)
        env.reset()  # an unseeded reset goes on with the lengths drawn before
        drawn.append(lengths(env, 10))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("name", "spends"), [("tail", True), ("tailsleep", False)])
def test_a_tail_computes_or_sleeps(name, spends):
    env = workloads.find(name).make()
    env.reset(seed=1)
    total = sum(lengths(env, 100))
    env = workloads.find(name).make()
    env.reset(seed=1)
    wall, computed = time.perf_counter(), time.thread_time()
    for _ in range(100):
        env.step(0)
    wall, computed = time.perf_counter() - wall, time.thread_time() - computed
    assert wall >= total
    assert (computed >= total) == spends


def test_a_registered_id_is_a_workload():
    found = workloads.find("Acrobot-v1")
    assert (found.name, found.title, found.endless) == ("Acrobot-v1", "Acrobot-v1", False)
    env = found.make()
    assert env.spec.id == "Acrobot-v1"
    env.close()


def test_an_id_may_name_the_module_that_registers_it(tmp_path, monkeypatch):
    (tmp_path / "registers_bench_ids.py").write_text(
        "import gymnasium\n"
        "from envring.bench.workloads import NullEnv\n"
        "gymnasium.register('BenchTest/Null-v3', NullEnv)\n"
        "gymnasium.register('BenchTestUnversioned', NullEnv)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", {**gymnasium.registry})
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    try:
        found = workloads.find("registers_bench_ids:BenchTest/Null-v3")
        assert found.title == "BenchTest/Null-v3"
        env = found.make()
        assert isinstance(env.unwrapped, workloads.NullEnv)
    finally:
        sys.modules.pop("registers_bench_ids", None)


def test_a_callable_of_ones_own_is_a_workload(envs):
    found = workloads.find(f"{envs}:Counting")
    assert (found.name, found.endless) == ("bench_envs:Counting", False)
    assert type(found.make()).__name__ == "Counting"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cartpool", "no workload 'cartpool'; did you mean cartpole"),
        ("Cartpole-v1", "no workload 'Cartpole-v1'; did you mean CartPole-v1"),
        ("CartPole-v77", "did you mean CartPole-v1"),
        ("xyzzy", "no workload 'xyzzy'; use one of cartpole, .*, or module:callable"),
        ("no_such_module:env", "cannot be loaded"),
        ("no_such_module:Env-v0", "cannot be loaded"),
        ("math:no_such_name", "cannot be loaded"),
        ("math:pi", "is not callable"),
    ],
)
def test_a_workload_that_is_none_is_refused(name, text):
    with pytest.raises(ValueError, match=text):
        workloads.find(name)


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("pong", "ale_py", "pip install 'ale-py'"),
        ("ALE/Breakout-v5", "ale_py", "pip install 'ale-py'"),
        ("HalfCheetah-v5", "mujoco", r"pip install 'gymnasium\[mujoco\]'"),
        ("LunarLander-v3", "Box2D", r"pip install 'gymnasium\[box2d\]'"),
    ],
)
def test_what_a_workload_lacks_is_told(monkeypatch, name, package, line):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(ValueError, match=f"workload '{name}' needs {package}: {line}"):
        workloads.find(name)
