# SPDX-License-Identifier: MIT
"""The scripts of `examples/` run, and print what they are there to show."""

import ast
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

import envring
from docs import pages

EXAMPLES = pages.ROOT / "examples"


LIMIT = 250 if "ENVRING_ECOSYSTEM" in os.environ else 50  # torch takes its time where CPUs are busy


def run(name, *arguments, cwd, warnings="error", seconds=LIMIT):
    done = subprocess.run(
        [sys.executable, "-W", warnings, EXAMPLES / name, *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_docstring_says_how_to_run_it(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert f"    python examples/{path.name}" in docstring
    assert f"test_{path.stem}" in globals(), "an example without a test"


def test_replace_async(tmp_path):
    said = run("replace_async.py", cwd=tmp_path)
    assert "AsyncVectorEnv: " in said
    assert "RingVectorEnv: " in said
    assert "equal observations: True" in said


def test_vector_envs(tmp_path):
    said = run("vector_envs.py", cwd=tmp_path)
    assert "CartPoleVectorEnv: 16 envs, observations (16, 4) float32" in said


def test_prometheus(tmp_path):
    said = run("prometheus.py", cwd=tmp_path)
    for worker in "01":
        assert f'envring_worker_env_steps{{worker="{worker}"}} 200\n' in said
        assert f'envring_worker_memory{{worker="{worker}"}} ' in said
        assert f'envring_worker_restarts{{worker="{worker}"}} 0\n' in said


# a line of Prometheus's text format, version 0.0.4
_SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)\{worker="(\d+)"\} ([-+.0-9e]+)')


def test_prometheus_reads_restarts(monkeypatch):
    """Prometheus 3 takes no answer without the type, and each metric has one kind."""
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module("prometheus")
    monkeypatch.delitem(sys.modules, "prometheus")
    envs = envring.make_vec("CartPole-v1", num_envs=2, num_workers=2, on_worker_death="restart")
    server = example.exporter(envs, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        envs.reset(seed=0)
        os.kill(envs.processes[1].pid, signal.SIGKILL)
        envs.step(envs.action_space.sample())
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            kind, text = answer.headers["Content-Type"], answer.read().decode()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        envs.close()
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert text.endswith("\n")
    kinds, samples = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            *_, name, kinds[name] = line.split(" ")
            assert not any(name == known for known, _ in samples)
        else:
            name, worker, value = _SAMPLE.fullmatch(line).groups()
            assert name == list(kinds)[-1]  # those of one metric stand together
            samples[name, int(worker)] = float(value)
    assert set(kinds.values()) == {"counter", "gauge"}
    assert [samples["envring_worker_restarts", worker] for worker in (0, 1)] == [0, 1]


def test_tensorboard_curves(tmp_path):
    """The curves are in the file, under the names of TensorBoard's pages."""
    if not any(importlib.util.find_spec(name) for name in ("tensorboardX", "tensorboard")):
        pytest.skip(
            "no tensorboardX, no tensorboard: examples/tensorboard_curves.py stays unchecked"
        )
    run("tensorboard_curves.py", "curves", cwd=tmp_path)
    (file,) = (tmp_path / "curves").iterdir()
    written = file.read_bytes()
    assert written.count(b"workers/steps_per_second") >= 5
    for worker in "01":
        for name in ("step_share", "restarts"):
            assert written.count(f"workers/{worker}/{name}".encode()) >= 5


@pytest.mark.parametrize("prefix", [None, "gym-0.21"])
def test_other_interpreter(prefix, request, tmp_path):
    chosen = [request.getfixturevalue("matrix_prefix")(prefix)] if prefix else []
    said = run("other_interpreter.py", *chosen, cwd=tmp_path)
    assert "observations: (4, 4) float32" in said
    assert "rewards: [1. 1. 1. 1.]" in said
    assert "one env: (4,) 1.0" in said


def test_measure(tmp_path):
    run("measure.py", "--seconds", "40", "--rounds", "1", "--json", "run.json", cwd=tmp_path)
    (cell,) = json.loads((tmp_path / "run.json").read_text())["cells"]
    assert {"envring", "async"} <= {each["peer"] for each in cell["samples"]}
    assert not cell["failures"]


def learnt(name, steps, cwd):
    """(env steps, mean return) after each update of both ways."""
    pytest.importorskip("torch", reason="no torch: make test-ecosystem runs it")
    said = [run(name, "--steps", steps, *way, cwd=cwd) for way in ([], ["--plain"])]
    pattern = re.compile(r" s +([\d,]+) steps +([\d.]+) mean return")
    return [[pattern.search(line).groups() for line in each.splitlines()] for each in said]


@pytest.mark.pytorch
def test_ppo(tmp_path):
    ours, plain = learnt("ppo.py", 3072, tmp_path)
    assert ours == plain
    assert [steps for steps, _ in ours] == ["1,024", "2,048", "3,072"]


@pytest.mark.pytorch
def test_ppo_with_kills(tmp_path):
    pytest.importorskip("torch", reason="no torch: make test-ecosystem runs it")
    said = run("ppo_with_kills.py", "--steps", 6144, "--every", "0.05", "--most", 2, cwd=tmp_path)
    *_, update, last = said.splitlines()
    assert update.partition("steps")[0].endswith(" 6,144 ")
    kills, restarts = map(int, re.fullmatch(r"(\d+) kills, (\d+) restarts", last).groups())
    assert 1 <= restarts <= kills <= 2


@pytest.mark.pytorch
def test_dqn(tmp_path):
    for found in learnt("dqn.py", 1200, tmp_path):
        assert 1200 <= int(found[-1][0].replace(",", "")) < 1200 + 16


def test_sb3_ppo(tmp_path):
    pytest.importorskip("stable_baselines3", reason="no SB3: make test-ecosystem runs it")
    said = run("sb3_ppo.py", "--steps", 1024, "--envs", 4, "--seconds", "0.2", cwd=tmp_path)
    assert len(re.findall(r" s +[\d,]+ steps +[\d.]+ mean return", said)) == 8
    assert re.findall(r"^(\w+) +[\d,]+ env steps/s", said, re.MULTILINE) == [
        "RingVecEnv",
        "SubprocVecEnv",
        "DummyVecEnv",
    ]


def test_sb3_pong(tmp_path):
    """The same curve whatever steps the envs."""
    pytest.importorskip("stable_baselines3", reason="no SB3: make test-ecosystem runs it")
    pytest.importorskip("ale_py", reason="no ale-py: make test-ecosystem runs it")
    curves = []
    for kind in ("ring", "dummy"):
        file = tmp_path / f"{kind}.csv"
        short = ("--steps", 4096, "--envs", 2, "--vec", kind, "--csv", file)
        run("sb3_pong.py", *short, cwd=tmp_path, warnings="default")
        header, *rows = file.read_text().splitlines()
        assert header == "seconds,steps,mean_return"
        curves.append([row.partition(",")[2] for row in rows])
    assert curves[0] == curves[1] and len(curves[0]) == 16
    assert -21 <= float(curves[0][-1].split(",")[1]) < -10


def test_tianshou_dqn(tmp_path):
    pytest.importorskip("tianshou", reason="no Tianshou: make test-ecosystem runs it")
    said = run("tianshou_dqn.py", "--epochs", 2, "--envs", 4, "--seconds", "0.2", cwd=tmp_path)
    assert len(re.findall(r" s +[\d,]+ steps +[\d.]+ mean return", said)) == 2
    assert re.findall(r"^(\w+) +[\d,]+ env steps/s", said, re.MULTILINE) == [
        "TianshouVectorEnv",
        "SubprocVectorEnv",
        "ShmemVectorEnv",
        "DummyVectorEnv",
    ]


def test_torchrl_ppo(tmp_path):
    pytest.importorskip("torchrl", reason="no TorchRL: make test-ecosystem runs it")
    short = ("--steps", 512, "--envs", 4, "--seconds", "0.2")
    said = run("torchrl_ppo.py", *short, cwd=tmp_path, warnings="default")  # TorchRL has many
    assert len(re.findall(r" s +[\d,]+ steps +[\d.]+ steps per end", said)) == 4
    assert re.findall(r"^(\w+) +[\d,]+ env steps/s", said, re.MULTILINE) == [
        "RingVectorEnv",
        "AsyncVectorEnv",
        "SyncVectorEnv",
        "ParallelEnv",
        "SerialEnv",
    ]


def test_cleanrl_ppo(tmp_path):
    pytest.importorskip("torch", reason="no torch: make test-ecosystem runs it")
    curves = []
    for vector in ("ring", "sync"):
        said = run("cleanrl_ppo.py", "--total-timesteps", 6144, "--vector", vector, cwd=tmp_path)
        curves.append(re.findall(r" s +([\d,]+) steps +([\d.]+) mean return", said))
    assert curves[0] == curves[1]
    assert [steps for steps, _ in curves[0]][-1] == "6,144"


def test_pettingzoo_ppo(tmp_path):
    """The same curve whatever steps the envs."""
    for name in ("torch", "pettingzoo"):
        pytest.importorskip(name, reason=f"no {name}: make test-ecosystem runs it")
    curves = []
    for way in ([], ["--plain"]):
        short = ("--steps", 6000, "--seconds", "0.2", *way)
        said = run("pettingzoo_ppo.py", *short, cwd=tmp_path, warnings="default")
        curves.append(re.findall(r" s +([\d,]+) steps +([-\d.]+) mean return", said))
        rates = re.findall(r"^(\w[\w ]+\w) +[\d,]+ agent steps/s", said, re.MULTILINE)
        assert rates == ["agents_vec", "in this process"]
    assert curves[0] == curves[1]
    assert float(curves[0][-1][1]) > 0.5 > float(curves[0][0][1])


def test_skrl_ppo(tmp_path):
    pytest.importorskip("skrl", reason="no skrl: make test-ecosystem runs it")
    curves = []
    for vector in ("ring", "sync"):
        short = ("--steps", 4096, "--vector", vector)
        said = run("skrl_ppo.py", *short, cwd=tmp_path, warnings="default")
        curves.append(re.findall(r" s +([\d,]+) steps +([\d.]+) mean return", said))
    assert curves[0] == curves[1] and len(curves[0]) == 4
    assert float(curves[0][-1][1]) > float(curves[0][0][1]) + 5
    assert not list(tmp_path.iterdir())


def test_minari_record(tmp_path, monkeypatch):
    pytest.importorskip("minari", reason="no Minari: make test-ecosystem runs it")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    few = ("--episodes", 20, "--envs", 4)
    found = [
        run("minari_record.py", *few, *way, cwd=tmp_path, warnings="default")
        for way in ([], ["--plain"])
    ]
    count, steps, mean = zip(
        *re.findall(r"(\d+) episodes, (\d+) steps .*\nmean return: (.*)", "".join(found)),
        strict=True,
    )
    assert count[0] == count[1] and steps[0] == steps[1] and mean[0] == mean[1]
    assert int(count[0]) >= 20


def test_agilerl_ppo(tmp_path):
    pytest.importorskip("agilerl", reason="no AgileRL: make test-ecosystem runs it")
    few = ("--steps", 4096, "--envs", 4)
    found = [
        run("agilerl_ppo.py", *few, *way, cwd=tmp_path, warnings="default", seconds=300)
        for way in ([], ["--plain"])
    ]
    fitness = [re.findall(r"^generation \d: .* fitness$", said, re.MULTILINE) for said in found]
    assert len(fitness[0]) == 2
    assert fitness[0] == fitness[1]


@pytest.mark.long
def test_wires(tmp_path):
    pytest.importorskip("grpc")
    pytest.importorskip("starlette")
    said = run("wires.py", "0.2", cwd=tmp_path)
    header, *lines = (re.split(r" {2,}", line.rstrip()) for line in said.splitlines())
    wires = set(header)
    assert {"envring", "dm_env_rpc", "OpenEnv", "Gymie", "gym-http-api"} <= wires
    table = {name: cells for name, *cells in lines}
    assert set(table["terminated and truncated"]) == set(table["float64"]) == {"yes"}
    assert all(float(each) > 0 for each in table["steps/s"])
