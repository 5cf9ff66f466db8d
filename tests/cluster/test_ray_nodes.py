# SPDX-License-Identifier: MIT
"""Hosts on two Ray nodes of this machine; run by make test-cluster."""

import os
import re
import signal
import subprocess
import sys

import pytest

import envring
from envring.cluster import groups
from envring.gateways.runtimes import Runtime
from envring.testing import deadline
from support.processes import wait_until

if "ENVRING_CLUSTER" not in os.environ:
    pytest.skip("NO CLUSTER IS TRIED: that is make test-cluster", allow_module_level=True)
ray = pytest.importorskip("ray", reason="HOSTS ON RAY ARE NOT TRIED: there is no package ray")

from envring.cluster.ray_engine import RayEngine  # noqa: E402

pytestmark = [
    pytest.mark.leaves("Ray's driver keeps threads, sockets and memory"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
CARTPOLE = [Runtime("default", ("CartPole-v1",))]


@pytest.fixture(scope="module")
def cluster(nodes):
    """The nodes, with this process as a driver."""
    try:
        ray.init(nodes.address, log_to_driver=False, namespace="a user's")
        wait_until(lambda: ray.cluster_resources().get("CPU") == 4, 30, "both nodes are there")
        yield nodes
    finally:
        ray.shutdown()


@pytest.fixture
def engine(cluster):
    found = RayEngine("auto")
    wait_until(lambda: free(found) == [2, 2], 20, "nothing is taken")
    with deadline(50):
        yield found
    for name in found.names():
        found.stop(name)
    found.close()


def free(engine):
    return sorted(node.free for node in engine.nodes())


def trajectory(envs, steps=40):
    rows = [envs.reset(seed=5)]
    for number in range(steps):
        rows.append(envs.step([(number + i) % 2 for i in range(envs.num_envs)]))
    return rows


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        for left, right in zip(one[:-1], other[:-1], strict=True):
            assert left.tobytes() == right.tobytes()
        assert one[-1].keys() == other[-1].keys()


def first_error(envs):
    try:
        while True:
            envs.step([0] * envs.num_envs)
    except envring.HostLost as error:
        return error


def status(engine, name, seconds=20.0):
    return engine.ask(name, "status", seconds) or {}


def test_envs_are_spread_over_nodes_equal_local_ones_and_leave_nothing(cluster, engine):
    local = envring.make_vec("CartPole-v1", 6, num_workers=0)
    expected = trajectory(local)
    local.close()
    envs = envring.make_vec("CartPole-v1", 6, remotes="ray://auto?n=2&cpus=1")
    wait_until(lambda: free(engine) == [1, 1], 10, "a server on each node")
    servers = [status(engine, name) for name in engine.names()]
    assert [each["used"] for each in servers] == [3, 3]
    assert_equal(trajectory(envs), expected)
    envs.close()
    assert engine.names() == []
    assert ray.is_initialized()  # it was the user's
    wait_until(lambda: free(engine) == [2, 2], 10, "the CPUs are free again")
    wait_until(lambda: not cluster.env_workers(), 10, "no worker is left")


def test_local_workers_and_a_cluster(engine):
    local = envring.make_vec("CartPole-v1", 4, num_workers=0)
    expected = trajectory(local)
    local.close()
    # Ray's driver has threads: this process does not fork workers
    envs = envring.make_vec(
        "CartPole-v1", 4, remotes="1,ray://auto?n=1&cpus=1", context="forkserver"
    )
    assert envs.num_workers == 1
    assert_equal(trajectory(envs), expected)
    envs.close()
    assert engine.names() == []


def test_a_full_cluster_is_free_again_when_envs_are_closed(engine):
    for _ in range(2):
        envs = envring.make_vec("CartPole-v1", 2, remotes="ray://auto?n=2&cpus=2")
        envs.close()


def test_one_env_on_a_cluster(engine):
    env = envring.make("CartPole-v1", remotes="ray://auto?n=1")
    observation, _ = env.reset(seed=1)
    assert observation.shape == (4,)
    env.close()
    assert engine.names() == []


def test_a_killed_host_is_lost_with_its_envs_and_started_again(engine):
    groups.start(engine, groups.Plan("g", CARTPOLE, 2))
    envs = envring.make_vec("CartPole-v1", 4, remotes="ray://auto?name=g")
    envs.reset(seed=1)
    before = [status(engine, f"g/{number}") for number in range(2)]
    os.kill(before[1]["pid"], signal.SIGKILL)
    error = first_error(envs)
    assert error.host == before[1]["url"]
    assert error.env_ids == (2, 3)
    envs.close()

    def is_back():
        return status(engine, "g/1", 1.0).get("pid") not in (None, before[1]["pid"])

    wait_until(is_back, 30, "the killed host is started again")
    assert status(engine, "g/1")["url"] == before[1]["url"]
    assert status(engine, "g/0")["pid"] == before[0]["pid"]
    envs = envring.make_vec("CartPole-v1", 4, remotes="ray://auto?name=g")
    envs.reset(seed=1)
    envs.close()


def test_no_room(engine):
    with pytest.raises(envring.HostRefused, match="0 of 4 CPUs of 2 nodes are used"):
        envring.make_vec("CartPole-v1", 4, remotes="ray://auto?n=3&cpus=2")
    assert engine.names() == []


def test_an_unknown_env_is_the_callers_error(engine):
    with pytest.raises(envring.EnvringError, match="NoSuch"):
        envring.make_vec("NoSuch-v0", 2, remotes="ray://auto?n=1")
    assert engine.names() == []


def run(cluster, tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "envring.cli", "cluster", *arguments, "--address", cluster.address],
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_the_command_starts_shows_and_stops(cluster, engine, tmp_path):
    done = run(cluster, tmp_path, "start", "-n", "2", "--runtime", "CartPole-v1", "--slots", "8")
    assert done.returncode == 0, done.stderr
    by_address, by_name = re.findall('remotes="(.*)"', done.stdout)
    assert by_name == f"ray://{cluster.address}?name=envring"

    envs = envring.make_vec("CartPole-v1", 6, remotes=by_address)
    envs.reset(seed=1)
    shown = run(cluster, tmp_path, "status")
    assert shown.returncode == 0, shown.stderr
    assert len(re.findall(r"envring/\d +t\w+://[\d.]+:\d+ +1 +3 of 8 +0\n", shown.stdout)) == 2
    assert len(re.findall(r"node [\d.]+: 1 of 2 CPUs used", shown.stdout)) == 2
    key = (tmp_path / "envring/cluster/envring.key").read_text().strip()
    assert key not in done.stdout + done.stderr + shown.stdout
    envs.close()

    done = run(cluster, tmp_path, "stop")
    assert done.returncode == 0, done.stderr
    assert engine.names() == []
    assert not list(tmp_path.rglob("envring.key"))
    wait_until(lambda: not cluster.env_workers(), 10, "no worker is left")


def test_the_command_restarts_what_runs_and_says_what_is_full(cluster, engine, tmp_path):
    groups.start(engine, groups.Plan("envring", CARTPOLE, 2, lasting=True))
    pids = [status(engine, f"envring/{number}")["pid"] for number in range(2)]
    asked = ("start", "-n", "2", "--runtime", "CartPole-v1")
    again = run(cluster, tmp_path, *asked)
    assert again.returncode == 0, again.stderr
    assert {status(engine, f"envring/{number}")["pid"] for number in range(2)}.isdisjoint(pids)

    full = run(cluster, tmp_path, "start", "-n", "9", "--runtime", "CartPole-v1", "--name", "b")
    assert full.returncode == 1
    assert "No resources: 9 servers need 1 CPUs each, and 2 of 4 CPUs" in full.stderr
    assert run(cluster, tmp_path, "stop", "--name", "b").returncode == 1


def test_a_process_has_one_cluster(engine):
    with pytest.raises(envring.LauncherError, match="ray://auto means that one"):
        RayEngine("127.0.0.1:1")


def test_where_no_cluster_runs(cluster, tmp_path):
    done = subprocess.run(
        [*(sys.executable, "-m", "envring.cli"), "cluster", "status", "--address", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 1
    assert "No Ray cluster answers at '127.0.0.1:1'" in done.stderr


def test_servers_end_with_a_caller_that_is_killed(cluster, engine):
    code = f"""
import os, signal, envring
envs = envring.make_vec("CartPole-v1", 2, remotes="ray://{cluster.address}?n=1")
envs.reset(seed=1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: engine.names() == [], 20, "the server has ended")
    wait_until(lambda: not cluster.env_workers(), 10, "no worker is left")


def test_a_killed_node_is_lost_with_its_envs_and_its_host_moves(cluster, engine):
    """The last test: one node is left."""
    groups.start(engine, groups.Plan("g", CARTPOLE, 2))
    envs = envring.make_vec("CartPole-v1", 4, remotes="ray://auto?name=g")
    envs.reset(seed=1)
    pids = [status(engine, f"g/{number}")["pid"] for number in range(2)]
    lost = next(number for number in range(2) if pids[number] in cluster.pids(1))
    for _ in range(3):
        envs.step([0] * 4)  # in the middle of an episode
    cluster.kill(1)
    assert first_error(envs).env_ids == ((0, 1), (2, 3))[lost]
    envs.close()

    def is_back():
        return status(engine, f"g/{lost}", 1.0).get("pid") in cluster.pids(0)

    wait_until(is_back, 40, "the host runs on the other node")
    envs = envring.make_vec("CartPole-v1", 4, remotes="ray://auto?name=g")
    envs.reset(seed=1)
    envs.close()
