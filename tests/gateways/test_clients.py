# SPDX-License-Identifier: MIT
"""The clients in `examples/clients` play what local envs play, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envring

CLIENTS = Path(__file__).parents[2] / "examples" / "clients"
STEPS = 30
FIELDS = ("observations", "rewards", "terminations", "truncations")


@pytest.fixture(scope="module")
def host():
    with envring.serve("CartPole-v1", keys=["right"]) as host:
        yield host


@pytest.fixture(scope="module")
def javascript():
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node: the client in JavaScript stays untried")
    return [node, CLIENTS / "cartpole.mjs"]


@pytest.fixture(scope="module")
def cpp(tmp_path_factory):
    compiler = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    if compiler is None:
        pytest.skip("there is no compiler of C++: the client in C++ stays untried")
    program = tmp_path_factory.mktemp("client") / "cartpole"
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, "-o", program, CLIENTS / "cartpole.cpp"], check=True)
    return [program]


@pytest.fixture(params=["javascript", "cpp"])
def client(request):
    return request.getfixturevalue(request.param)


def run(client, url, key):
    where = url.removeprefix("tcp://").split(":")
    return subprocess.run(
        [*client, *where],
        env={**os.environ, "ENVRING_KEY": key},
        capture_output=True,
        text=True,
        timeout=30,
    )


def expected():
    envs = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    zeros = np.zeros(2)
    yield envs.reset(seed=7)[0], zeros, zeros, zeros
    for step in range(STEPS):
        yield envs.step(np.full(2, step % 5 > 0, np.int64))[:4]
    envs.close()


def test_it_plays_what_local_envs_play(client, host):
    done = run(client, host.url, "right")
    assert done.returncode == 0, done.stderr
    batches = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(batches) == STEPS + 1
    assert any(any(batch["terminations"]) for batch in batches[:-1])
    for batch, values in zip(batches, expected(), strict=True):
        for name, value in zip(FIELDS, values, strict=True):
            assert np.array(batch[name], value.dtype).tobytes() == value.tobytes(), name
    assert not len(host.sessions)


def test_it_says_why_it_was_refused(client, host):
    done = run(client, host.url, "wrong")
    assert done.returncode == 1
    assert "The key is missing or wrong." in done.stderr
