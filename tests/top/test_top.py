# SPDX-License-Identifier: MIT
"""`envring top`: what is published, read from another process."""

import contextlib
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import envring
from envring.cli import top as view
from envring.testing import CountingEnv
from envring.top import reading, screen
from envring.transport import published
from support.hosts import running
from support.processes import wait_until

CALLER = """
import sys, time
import numpy as np
import envring
from envring.testing import CountingEnv
envs = envring.RingVectorEnv([CountingEnv] * 3, num_workers=2)
envs.reset()
print("ready", flush=True)
while True:
    envs.step(np.zeros(3, np.int64))
    time.sleep(0.001)
"""


def top(*arguments, **options):
    command = [sys.executable, "-m", "envring.cli", "top", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, **options
    )


@contextlib.contextmanager
def caller(**environ):
    process = subprocess.Popen(
        [sys.executable, "-c", CALLER],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        for path in published.stale():
            path.unlink()


@pytest.fixture
def envs():
    envs = envring.RingVectorEnv([CountingEnv] * 3, num_workers=2)
    envs.reset()
    yield envs
    envs.close()


def own():
    return reading.look(os.getpid())


def names():
    return [path.name for path in published.SHM.glob(f"envring-top-{os.getpid()}-*")]


def test_nothing_is_published_unasked(envs):
    assert names() == []
    assert own() == []


def test_what_is_published_goes_with_the_envs(envs):
    envs.publish("counting")
    (name,) = names()
    assert os.stat(published.SHM / name).st_mode & 0o777 == 0o600
    for _ in range(5):
        envs.step(np.zeros(3, np.int64))
    (look,) = own()
    expected = envs.stats()
    assert (look.pid, look.label, look.trouble, look.ended) == (os.getpid(), "counting", "", ())
    for found, worker in zip(look.stats.workers, expected.workers, strict=True):
        assert (found.env_ids, found.pid) == (worker.env_ids, worker.pid)
        assert (found.batches, found.env_steps) == (5, 5 * len(worker.env_ids))
        assert found.step_seconds == worker.step_seconds
        assert found.slowest_env == worker.slowest_env
        assert found.memory > 1 << 20
    assert 0 < look.stats.seconds <= expected.seconds
    envs.publish("renamed")
    assert [look.label for look in own()] == ["renamed"]
    assert names() == [name]
    envs.close()
    assert names() == [] and own() == []


def test_the_variable_publishes_everything(monkeypatch):
    monkeypatch.setenv("ENVRING_TOP", "1")
    source = envring.EnvSource("envring.testing:CountingEnv")
    other = envring.EnvSource(
        "envring.testing:CountingEnv", launcher=envring.Python(sys.executable)
    )
    with contextlib.closing(envring.RingVectorEnv([source, other, source], num_workers=3)) as envs:
        envs.reset()
        envs.step(np.zeros(3, np.int64))
        here, there = sorted(own(), key=lambda look: look.stats.workers[0].env_ids)
        assert [worker.env_ids for worker in here.stats.workers] == [(0,), (2,)]
        assert [worker.env_steps for worker in here.stats.workers] == [1, 1]
        assert [worker.env_ids for worker in there.stats.workers] == [(1,)]
        assert there.stats.workers[0].env_steps == 1
    assert names() == []
    monkeypatch.setenv("ENVRING_TOP", "0")
    with contextlib.closing(envring.RingVectorEnv([CountingEnv])):
        assert names() == []


def test_the_command_shows_another_process():
    with caller(ENVRING_TOP="1") as process:
        found = top("--once", "--interval", 0.5, "--pid", process.pid)
        assert found.returncode == 0, found.stderr
        title, header, *rows = found.stdout.splitlines()
        assert re.match(rf"{process.pid}  -c .*3 envs in 2 workers, [\d,]+ steps/s, \d+ MB", title)
        assert header.split()[:3] == ["envs", "pid", "steps/s"]
        assert len(rows) == 2

        data = json.loads(top("--once", "--json", "--interval", 0.5).stdout)
        (look,) = (look for look in data if look["pid"] == process.pid)
        stats = look["stats"]
        assert 0.4 < stats["seconds"] < 10  # of the interval, not since the beginning
        assert 0 < stats["steps_per_second"] < 3000
        assert 0 < stats["workers"][0]["wait_share"] <= 1.1


def test_a_caller_that_is_stopped_is_seen_and_a_dead_worker_is_named():
    with caller(ENVRING_TOP="1") as process:
        os.kill(process.pid, signal.SIGSTOP)
        (look,) = reading.look(process.pid)
        worker = look.stats.workers[1].pid
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not look.ended and time.monotonic() < deadline:
            time.sleep(0.01)
            (look,) = reading.look(process.pid)
        assert look.ended == (worker,)
        assert f"ended: {worker}" in screen.title(look)
        assert look.stats.workers[1].memory is None


def test_what_a_killed_process_leaves_is_removed():
    with caller(ENVRING_TOP="1") as process:
        left = list(published.SHM.glob(f"envring-top-{process.pid}-*"))
        assert len(left) == 1
        assert left[0] not in published.stale()
        process.kill()
        process.wait()
        assert reading.look(process.pid) == []
        assert left[0] in published.stale()
        top("--once", "--interval", 0.1)
        assert not left[0].exists()


def test_clean_removes_it_too():
    with caller(ENVRING_TOP="1") as process:
        (left,) = published.SHM.glob(f"envring-top-{process.pid}-*")
        process.kill()
        process.wait()
        command = [sys.executable, "-m", "envring.cli", "clean"]
        subprocess.run(command, check=True, timeout=30, capture_output=True)
        assert not left.exists()


@pytest.fixture
def restarted():
    """Two workers of counting envs, which are started again."""
    envs = envring.RingVectorEnv(
        [lambda: CountingEnv(lengths=(10**6,))] * 2, num_workers=2, on_worker_death="restart"
    )
    envs.publish("restarted")
    envs.reset()
    yield envs
    envs.close()


def test_after_a_restart_the_numbers_go_on(restarted):
    envs = restarted
    for _ in range(1000):
        envs.step([0, 0])
    (before,) = own()
    os.kill(envs.processes[1].pid, signal.SIGKILL)
    for _ in range(5):
        envs.step([0, 0])
    (after,) = own()
    for found, worker in zip(after.stats.workers, envs.stats().workers, strict=True):
        assert (found.pid, found.restarts) == (worker.pid, worker.restarts)
        assert found.env_steps == worker.env_steps
    assert after.ended == ()
    (since,) = screen.between([after], {before.name: before})
    assert 0 <= since.stats.seconds < after.stats.seconds
    assert [worker.restarts for worker in since.stats.workers] == [0, 1]
    assert [0 < worker.env_steps <= 5 for worker in since.stats.workers] == [True, True]
    cells = [screen.row(worker) for worker in since.stats.workers]
    assert [cell[screen.HEADER.index("restarts")] for cell in cells] == ["0", "1"]
    # an interval later it is a total still
    (later,) = screen.between(own(), {after.name: after})
    assert [worker.restarts for worker in later.stats.workers] == [0, 1]
    assert later.stats.env_steps == 0


def test_a_dead_worker_counts_as_in_stats_before_another_one_is_there(restarted):
    envs = restarted
    pid = envs.processes[0].pid
    os.kill(pid, signal.SIGKILL)
    envs.send([0, 0])
    envs.recv(1, timeout=20)  # of the other one
    deadline = time.monotonic() + 10
    while not envs.stats().workers[0].restarts and time.monotonic() < deadline:
        with contextlib.suppress(multiprocessing.TimeoutError):
            envs.recv(1, timeout=0.001)
    (look,) = own()
    assert [worker.restarts for worker in look.stats.workers] == [1, 0]
    assert [worker.restarts for worker in envs.stats().workers] == [1, 0]


def test_workers_that_were_replaced_as_planned():
    envs = envring.RingVectorEnv([CountingEnv], num_workers=1, restart_every={"episodes": 1})
    with contextlib.closing(envs):
        envs.publish()
        envs.reset()
        for _ in range(10):
            envs.step([0])
        (look,) = own()
        (expected,) = envs.stats().workers
        (worker,) = look.stats.workers
        assert (worker.pid, worker.restarts) == (expected.pid, 0)
        assert worker.planned_restarts == expected.planned_restarts >= 2
        cell = screen.row(worker)[screen.HEADER.index("restarts")]
        assert cell == f"0 + {worker.planned_restarts}"


@pytest.mark.parametrize("how", ["single", "vector"])
def test_a_server_is_seen_and_shown(how):
    """What its sessions hold, whoever their callers are; nothing of a session that is over."""
    with running("CartPole-v1", "--grace", "0", env={"ENVRING_TOP": "1"}) as host:
        if how == "single":
            envs, action = envring.make("CartPole-v1", remotes=host.url), 0
        else:
            envs = envring.make_vec("CartPole-v1", num_envs=3, num_workers=2, remotes=host.url)
            action = [0, 1, 0]
        count = 3 if how == "vector" else 1
        with contextlib.closing(envs):
            envs.reset(seed=0)
            for _ in range(5):
                envs.step(action)
            (look,) = reading.look(host.process.pid)
            assert (look.pid, look.label) == (host.process.pid, "serve CartPole-v1")
            assert look.stats.env_steps == 5 * count
            sizes = [len(each.env_ids) for each in look.stats.workers]
            assert sizes == ([1, 2] if how == "vector" else [1])
            found = top("--once", "--interval", 0.2, "--pid", host.process.pid)
            assert found.returncode == 0, found.stderr
            assert f"{host.process.pid}  serve CartPole-v1  {count} env" in found.stdout
            assert str(look.stats.workers[0].pid) in found.stdout
        wait_until(lambda: not reading.look(host.process.pid), 10, "its envs are gone")
    assert not list(published.SHM.glob(f"envring-top-{host.process.pid}-*"))


def test_a_server_publishes_nothing_unasked():
    with (
        running("CartPole-v1") as host,
        contextlib.closing(envring.make("CartPole-v1", remotes=host.url)) as env,
    ):
        env.reset()
        assert reading.look(host.process.pid) == []


def test_nobody_has_published():
    found = top("--once", "--interval", 0.1, "--pid", os.getpid())
    assert found.returncode == 1
    assert "ENVRING_TOP=1" in found.stderr


def test_ctrl_c_ends_it_quietly():
    with caller(ENVRING_TOP="1"):
        command = [sys.executable, "-m", "envring.cli", "top", "--interval", "0.1", "--json"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")


def test_a_forked_copy_leaves_the_name(envs):
    envs.publish()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            envs._batcher.pool.belongings.published.remove()
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(names()) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"abi": 1}, "another version"),
        ({"fd": 10**6}, "cannot be read"),
        ({"inode": 1}, "another one"),
        ({"workers": [{"pid": 1, "env_ids": [0, 1 << 40], "at": 0}]}, "envs"),
        ({"workers": [{"pid": 1, "env_ids": [0, 1], "at": 1 << 40}]}, "bytes"),
        ({"workers": [{"pid": 1, "env_ids": [0, 1], "at": -1}]}, "cannot be read"),
        ({"workers": 7}, "not what"),
        ({"since": "yesterday"}, "not what"),
    ],
)
def test_strange_contents_are_told(envs, change, says):
    envs.publish()
    publication = envs._batcher.pool.belongings.published
    data = json.loads((published.SHM / publication.name[1:]).read_bytes())
    publication.rewrite({**data, **change})
    (look,) = own()
    assert look.stats is None
    assert says in screen.title(look)


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff" * 100, b"[" * 100_000])
def test_what_is_not_json_is_not_shown(envs, data):
    envs.publish()
    (published.SHM / names()[0]).write_bytes(data)
    assert own() == []


def test_the_live_view_holds_the_same(envs):
    console = pytest.importorskip("rich.console")
    envs.publish("shown live")
    for _ in range(5):
        envs.step(np.zeros(3, np.int64))
    (look,) = own()
    text = io.StringIO()
    console.Console(file=text, width=120).print(view.tables([look]))
    title, header, *rows = text.getvalue().splitlines()
    assert title.strip() == screen.title(look)
    assert header.split() == " ".join(screen.HEADER).split()
    assert all(str(each.pid) in row for row, each in zip(rows, look.stats.workers, strict=True))
    text.truncate(0)
    console.Console(file=text, width=120).print(view.tables([]))
    assert "ENVRING_TOP=1" in text.getvalue()


def test_the_slowest_env_and_unknown_numbers_have_their_cells():
    worker = reading.WorkerStats((4, 5), 77, slowest_env=5, slowest_seconds=0.00251)
    assert screen.row(worker) == ("4, 5", "77", "-", "-", "-", "-", "5: 2.51 ms", "0", "-")
