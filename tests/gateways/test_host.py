# SPDX-License-Identifier: MIT
"""What a host lets its callers have, and what it does when they or their envs are gone."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import gymnasium as gym
import numpy as np
import pytest

import envring
from envring import EnvSource, HostLost, HostRefused, WorkerDied, WorkerTimeout
from envring.pool.remote import RemotePool
from envring.testing import assert_same_batch
from envring.testing.conformance_base import quiet
from envring.transport import codec, frames
from envring.transport.frames import Link
from support.hosts import running
from support.launcher_conformance import FILE
from support.processes import wait_until

GAME = f"{FILE}:make"
SLOW = "envring.bench.workloads.synthetic:SpinEnv"


@pytest.fixture(scope="module")
def host():
    with envring.serve(["CartPole-v1", GAME], grace=0.3) as host:
        yield host


def game(**kwargs):
    return EnvSource.elsewhere(GAME, kwargs=kwargs)


class TestValues:
    @pytest.mark.parametrize("scheme", ["tcp", "unix"])
    def test_they_are_those_of_local_envs(self, scheme, tmp_path):
        listen = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path}/socket"
        with envring.serve("CartPole-v1", listen=listen) as host:
            envs = envring.make_vec("CartPole-v1", 5, remotes=host.url)
            local = envring.make_vec("CartPole-v1", 5)
            assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
            local.action_space.seed(3)
            for _ in range(200):
                actions = local.action_space.sample()
                assert_same_batch(envs.step(actions), local.step(actions))
            envs.close()
            local.close()

    def test_two_hosts_and_local_workers_in_one_vector_env(self):
        with running("CartPole-v1") as host, running("CartPole-v1") as other:
            remotes = f"1,{host.url},{other.url}"
            envs = envring.make_vec("CartPole-v1", 7, remotes=remotes, autoreset_mode="SameStep")
            local = envring.make_vec("CartPole-v1", 7, autoreset_mode="SameStep")
            assert len(envs.processes) == 1
            assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
            local.action_space.seed(3)
            for _ in range(100):
                actions = local.action_space.sample()
                assert_same_batch(envs.step(actions), local.step(actions))
            assert envs.get_attr("gravity") == (9.8,) * 7
            envs.close()
            local.close()

    def test_each_of_several_hosts_takes_the_short_way(self, monkeypatch):
        def long_way(*_):
            raise AssertionError("the long way")

        def receive(*args):
            late.append(args)
            return received(*args)

        received, late = RemotePool.receive, []
        with running(SLOW) as host, running(SLOW) as other:
            sources = [EnvSource.elsewhere(SLOW, args=(0.005,))] * 2
            envs = envring.RingVectorEnv(sources, remotes=f"{host.url},{other.url}")
            envs.reset(seed=0)
            monkeypatch.setattr(RemotePool, "_begin", long_way)
            monkeypatch.setattr(RemotePool, "receive", receive)
            actions = np.zeros(2, int)
            for _ in range(20):  # answers come after 50 ms where the machine is busy just then
                late.clear()
                for _ in range(10):
                    envs.step(actions)
                if len(late) < 11:
                    break
            else:
                pytest.fail("no ten steps took the short way")
            envs.reset()
            envs.step_async(actions)
            with pytest.raises(multiprocessing.TimeoutError):
                envs.step_wait(timeout=0.001)
            envs.step(actions)
            monkeypatch.undo()
            envs.close()

    def test_a_number_means_local_workers(self, caplog):
        caplog.set_level(logging.INFO, "envring")
        envs = envring.make_vec("CartPole-v1", 4, remotes=2)
        assert envs.num_workers == 2
        envs.close()
        told = [record.getMessage() for record in caplog.records]
        assert told == ["remotes=2: as envring serve CartPole-v1 --num-envs 4"]

    def test_one_env(self, host):
        env, local = envring.make("CartPole-v1", remotes=host.url), gym.make("CartPole-v1")
        ours, theirs = env.reset(seed=1), local.reset(seed=1)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert env.unwrapped.action_space == local.action_space
        for action in (0, 1, 1):
            ours, theirs = env.step(action), local.step(action)
            np.testing.assert_array_equal(ours[0], theirs[0])
            assert ours[1:] == theirs[1:]
        env.close()


class TestDeaths:
    def test_a_worker_there(self, host, no_sessions_left):
        with envring.serve("CartPole-v1") as other:
            sources = [game() for _ in range(2)]
            envs = envring.RingVectorEnv(sources, remotes=host.url, num_workers=2)
            others = envring.make_vec("CartPole-v1", 2, remotes=other.url)
            envs.reset()
            others.reset()
            envs.call("get_into", "kill", indices=[1])
            with quiet(), pytest.raises(WorkerDied) as caught:
                envs.step(np.zeros(2, int))
            assert caught.value.env_ids == (1,)
            assert caught.value.signal == signal.SIGKILL
            with quiet(), pytest.raises(WorkerDied):
                envs.reset()
            envs.close()
            others.step(np.zeros(2, int))
            others.close()

    def test_the_host(self):
        host = envring.serve("CartPole-v1")
        with envring.serve("CartPole-v1") as other:
            envs = envring.make_vec("CartPole-v1", 4, remotes=f"{other.url},{host.url}")
            envs.reset()
            host.close()
            with pytest.raises(HostLost) as caught:
                envs.step(np.zeros(4, int))
            assert caught.value.env_ids == (2, 3)
            assert host.url in str(caught.value)
            envs.close()

    def test_a_caller_that_is_killed_while_its_envs_step(self, host, no_sessions_left):
        script = f"""
            import os, numpy, envring
            source = envring.EnvSource.elsewhere({GAME!r})
            envs = envring.RingVectorEnv([source], remotes={host.url!r})
            envs.reset()
            envs.call("get_into", "hang")
            envs.step_async(numpy.zeros(1, int))
            os.kill(os.getpid(), 9)
        """
        opened = host.sessions.counts["opened"]
        ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=40)
        assert ended.returncode == -9
        assert host.sessions.counts["opened"] == opened + 1  # which ends, says the fixture

    def test_a_silent_host(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

            def answer():
                sock, _ = server.accept()
                link = Link(sock, "caller")
                link.receive_greeting(time.monotonic() + 5)
                link.send_greeting(time.monotonic() + 5)
                link.receive(time.monotonic() + 5)
                welcome = {"max_frame": 1 << 20, "workers": 1, "free": None}
                link.send(frames.WELCOME, [codec.dumps(welcome)])
                done.wait(20)
                link.close()

            done = threading.Event()
            thread = threading.Thread(target=answer)
            thread.start()
            try:
                with pytest.raises(HostLost, match="silent for 0.3 seconds"):
                    envring.make_vec(
                        "CartPole-v1", 2, remotes=f"tcp://127.0.0.1:{port}?heartbeat=0.3"
                    )
            finally:
                done.set()
                thread.join(10)

    def test_a_slow_env_is_not_a_silent_host(self, host, no_sessions_left):
        envs = envring.RingVectorEnv([game()], remotes=f"{host.url}?heartbeat=0.8")
        envs.reset()
        began = time.monotonic()
        envs.call("rest", 1.6)
        assert time.monotonic() - began > 1.5
        envs.close()

    def test_an_env_that_hangs(self, host, no_sessions_left):
        envs = envring.RingVectorEnv([game()], remotes=host.url, call_timeout=0.5)
        envs.reset()
        with quiet(), pytest.raises(WorkerTimeout) as caught:
            envs.call("rest", 60.0)
        assert caught.value.env_ids == (0,)
        envs.close()


class TestSessions:
    def test_one_that_was_cut_off_is_kept_for_a_while(self):
        with envring.serve("CartPole-v1", grace=20.0) as host:
            url = f"{host.url}?session=mine"
            envs = envring.make_vec("CartPole-v1", 2, remotes=url)
            envs.reset(seed=1)
            envs.step(np.ones(2, int))
            envs._batcher.pool._link.shut_down()
            with pytest.raises(HostLost):
                envs.step(np.ones(2, int))
            envs.close()
            again = envring.make_vec("CartPole-v1", 2, remotes=url)
            assert again._batcher.pool.is_new is False
            local = envring.make_vec("CartPole-v1", 2)
            local.reset(seed=1)
            local.step(np.ones(2, int))
            assert_same_batch(again.step(np.ones(2, int)), local.step(np.ones(2, int)))
            again.close()
            local.close()
            assert not len(host.sessions)

    def test_one_in_use(self, host, no_sessions_left):
        url = f"{host.url}?session=mine"
        envs = envring.make_vec("CartPole-v1", 2, remotes=url)
        with pytest.raises(HostRefused, match="in use"):
            envring.make_vec("CartPole-v1", 2, remotes=url)
        envs.reset()
        envs.close()

    def test_one_that_is_never_stepped(self):
        with envring.serve("CartPole-v1", first_step_timeout=1.0) as host:
            envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
            wait_until(lambda: not len(host.sessions), 10, "the session has ended")
            with pytest.raises(HostLost):
                envs.reset()
            envs.close()

    def test_one_that_is_idle(self):
        with envring.serve("CartPole-v1", idle_timeout=1.0) as host:
            envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
            envs.reset()
            envs.step(np.ones(2, int))
            wait_until(lambda: not len(host.sessions), 10, "the session has ended")
            with pytest.raises(HostLost, match="idle"):
                envs.step(np.ones(2, int))
            envs.close()

    def test_none_waits_for_another(self, host, no_sessions_left):
        """Not for an env that hangs, and not for one whose process dies."""
        hanging, dying = (envring.RingVectorEnv([game()], remotes=host.url) for _ in range(2))
        envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
        for each in (hanging, dying, envs):
            each.reset()
        hanging.call_async("rest", 3600.0)
        dying.call_async("get_into", "kill")
        slowest = 0.0
        for _ in range(200):
            began = time.monotonic()
            envs.step(np.ones(2, int))
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 10
        with quiet():
            dying.call_wait()  # it dies in its next step
            with pytest.raises(WorkerDied):
                dying.step(np.zeros(1, int))
            began = time.monotonic()
            hanging.close(terminate=True)
        assert time.monotonic() - began < 20
        for each in (dying, envs):
            each.close()

    def test_small_requests_do_not_wait_in_the_kernel(self, host, no_sessions_left):
        envs = envring.make_vec("CartPole-v1", 1, remotes=host.url)
        (there,) = host._connections
        for link in (envs._batcher.pool._host.link, there.link):
            assert link._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        envs.close()

    def test_many_at_once(self, host, no_sessions_left):
        failures = []

        def play(seed):
            try:
                envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
                envs.reset(seed=seed)
                for _ in range(50):
                    envs.step(np.ones(2, int))
                envs.close()
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=play, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
        assert not failures
