# SPDX-License-Identifier: MIT
"""Hosts as processes that others watch and end: metrics, readiness, signals."""

from __future__ import annotations

import ctypes
import http.client
import logging
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

import envring
from envring import AddressError, EnvSource, HostLost, WorkerDied
from envring.cli.commands import command
from envring.testing.conformance_base import quiet
from support.hosts import running
from support.launcher_conformance import FILE
from support.processes import wait_until

GAME = f"{FILE}:make"
LINE = re.compile(r'(envring_\w+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (\S+)')


def ask(url, path, method="GET"):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def values_of(url):
    status, text = ask(url, "/metrics")
    assert status == 200
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = LINE.fullmatch(line).groups()
            values[name + (labels or "")] = float(value)
            family = re.sub("_(bucket|sum|count)$", "", name)
            assert f"# TYPE {family} " in text and f"# HELP {family} " in text
    return values


@pytest.fixture(scope="module")
def host():
    with envring.serve(GAME, metrics=0, num_envs=5) as host:
        yield host


class TestMetrics:
    def test_what_they_count(self, host):
        url = host.metrics.url
        assert ask(url, "/healthz") == (200, "ok\n")
        before = values_of(url)
        sources = [EnvSource.elsewhere(GAME)] * 3
        envs = envring.RingVectorEnv(sources, remotes=host.url)
        envs.reset()
        for _ in range(4):
            envs.step(np.zeros(3, int))
        with pytest.raises(envring.HostRefused):
            envring.RingVectorEnv(sources[:1], remotes=f"{host.url}?runtime=other")
        steps = before["envring_env_steps_total"] + 12

        def booked():
            now = values_of(url)
            ended = now["envring_connections"] == 1  # that of who was refused
            return now if ended and now["envring_env_steps_total"] == steps else None

        now = wait_until(booked, 10, "all are booked")
        assert now["envring_sessions"] == now["envring_connections"] == 1
        assert now["envring_slots_used"] == 3 and now["envring_slots"] == 5
        assert now['envring_runtime_slots_used{runtime="default"}'] == 3
        assert now["envring_sessions_opened_total"] - before["envring_sessions_opened_total"] == 1
        assert now["envring_refused_total"] - before["envring_refused_total"] == 1
        assert now["envring_draining"] == 0
        buckets = [value for name, value in now.items() if "_bucket" in name]
        assert buckets == sorted(buckets)
        assert buckets[-1] == now['envring_batch_seconds_count{wire="envring"}'] == 5
        assert 0 < now['envring_batch_seconds_sum{wire="envring"}'] < 50
        envs.call("get_into", "kill")
        with quiet(), pytest.raises(WorkerDied):
            envs.step(np.zeros(3, int))
        envs.close()
        wait_until(lambda: values_of(url)["envring_sessions"] == 0, 10, "the session has ended")
        after = values_of(url)
        assert after["envring_worker_deaths_total"] == 1
        assert after["envring_slots_used"] == 0
        assert after["envring_env_steps_total"] >= now["envring_env_steps_total"]

    def test_other_requests(self, host):
        assert ask(host.metrics.url, "/")[0] == 404
        assert ask(host.metrics.url, "/metrics?x=1")[0] == 200
        assert ask(host.metrics.url, "/metrics", "POST")[0] == 501

    def test_peers_that_stall_leave_room_for_nobody_else_only_for_a_while(self, host, monkeypatch):
        monkeypatch.setattr("envring.gateways.metrics._Handler.timeout", 0.3)
        where = tuple(host.metrics.url.removeprefix("http://").split(":"))
        stalled = [socket.create_connection(where, 10) for _ in range(12)]
        for sock in stalled:
            sock.sendall(b"GET /metrics HTTP/1.0\r\nX")
        for sock in stalled:
            while sock.recv(100):
                pass
            sock.close()
        assert ask(host.metrics.url, "/healthz")[0] == 200

    @pytest.mark.parametrize(
        "where", ["x", "http://", "99999", "http://h:1/x", -1, "http://0.0.0.0:0"]
    )
    def test_addresses_that_are_refused(self, where):
        with pytest.raises(AddressError, match="--metrics"):
            envring.serve("CartPole-v1", metrics=where)

    def test_a_port_in_use(self, host):
        with pytest.raises(AddressError, match="in use"):
            envring.serve("CartPole-v1", metrics=host.metrics.url)

    def test_addresses_of_others_if_one_insists(self):
        with envring.serve("CartPole-v1", metrics="http://0.0.0.0:0", insecure=True) as host:
            port = host.metrics.url.rpartition(":")[2]
            assert ask(f"http://127.0.0.1:{port}", "/healthz")[0] == 200


class TestEnding:
    def test_a_signal_that_another_thread_receives(self):
        """The system may give it to any thread; the main one has to act."""
        with running("CartPole-v1", "--metrics", "0") as host:
            threads = os.listdir(f"/proc/{host.process.pid}/task")
            other = next(int(each) for each in threads if int(each) != host.process.pid)
            number = {"x86_64": 234, "aarch64": 131}[platform.machine()]  # tgkill
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.syscall(number, host.process.pid, other, signal.SIGTERM) == 0
            assert host.process.wait(20) == 0

    def test_sigterm_drains(self, tmp_path):
        """No new sessions; running ones end in their own time; the exit code is 0."""
        ready = tmp_path / "ready"
        with running("CartPole-v1", "--metrics", "0", "--ready-file", str(ready)) as host:
            assert ready.read_text().split() == host.urls
            url, metrics = host.urls
            envs = envring.make_vec("CartPole-v1", 2, remotes=url)
            envs.reset()
            waiting = envring.pool.dialling.dial([envring.transport.addresses.parse(url)], 5)[0]
            host.process.send_signal(signal.SIGTERM)
            wait_until(lambda: ask(metrics, "/healthz")[0] == 503, 10, "it drains")
            assert values_of(metrics)["envring_draining"] == 1
            for _ in range(10):
                envs.step(np.ones(2, int))
            with pytest.raises(envring.LaunchError, match="cannot be reached"):
                envring.make_vec("CartPole-v1", 1, remotes=url, start_timeout=0.2)
            pool = envring.pool.remote.RemotePool(
                [EnvSource("CartPole-v1")], range(1), waiting, envs._batcher.pool.options
            )
            with pytest.raises(envring.HostRefused) as caught:
                pool.greet()
            assert caught.value.reason == "closing"
            assert host.process.poll() is None
            envs.close()
            assert host.process.wait(20) == 0

    @pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM] * 2])
    def test_at_once(self, signals):
        with running("CartPole-v1", "--drain", "300", "--metrics", "0") as host:
            envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
            envs.reset()
            *first, last = signals
            for number in first:
                host.process.send_signal(number)
                wait_until(lambda: ask(host.urls[-1], "/healthz")[0] == 503, 10, "it drains")
            host.process.send_signal(last)
            assert host.process.wait(20) == 0
            with pytest.raises(HostLost):
                envs.step(np.ones(2, int))
            envs.close()

    def test_the_time_to_drain_is_bounded(self):
        with running("CartPole-v1", "--drain", "0.3") as host:
            envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
            envs.reset()
            host.process.send_signal(signal.SIGTERM)
            assert host.process.wait(20) == 0
            envs.close()

    def test_close_ends_a_close_that_drains(self):
        host = envring.serve("CartPole-v1")
        envs = envring.make_vec("CartPole-v1", 2, remotes=host.url)
        thread = threading.Thread(target=host.close, args=(300.0,))
        thread.start()
        wait_until(lambda: host.sessions.closing, 10, "it drains")
        host.close()
        assert host.wait(0)
        thread.join(10)
        assert not thread.is_alive()
        envs.close()

    @pytest.mark.parametrize("asked", [True, False])  # whether the caller closes them first
    def test_envs_that_do_not_close_are_killed(self, asked, tmp_path):
        announced = tmp_path / "hangs"
        kwargs = {"where": "close", "announce": str(announced)}
        with envring.serve("envring.testing.faulty:HangingEnv", kwargs=kwargs) as host:
            envs = envring.make_vec("envring.testing.faulty:HangingEnv", 2, remotes=host.url)
            envs.reset()
            closing = threading.Thread(target=envs.close)
            if asked:
                closing.start()
                wait_until(announced.exists, 20, "an env hangs in close")
            began = time.monotonic()
            with quiet():
                host.close()
            assert time.monotonic() - began < 20  # of the 30 that a close may take
            if not asked:
                closing.start()
            closing.join(10)
            assert not closing.is_alive()


class TestReports:
    def test_what_is_printed_can_be_pasted(self, tmp_path):
        """A line for each listener, a call, and the command that reaches it from elsewhere."""
        ready = tmp_path / "ready"
        argv = [sys.executable, "-m", "envring.cli", "serve", "CartPole-v1", "--ready-file"]
        argv += [str(ready), "--listen", "tcp://127.0.0.1:0", "--listen", f"unix://{tmp_path}/s"]
        quiet_end = subprocess.DEVNULL
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=quiet_end, text=True) as process:
            try:
                wait_until(ready.exists, 30, "it listens")
                first, second = ready.read_text().split()
                lines = [process.stdout.readline().rstrip() for _ in range(4)]
                port = first.rpartition(":")[2]
                assert lines == [
                    f'remotes="{first}"',
                    f'remotes="{second}"',
                    f'envring.make_vec("CartPole-v1", num_envs=8, remotes="{first}")',
                    f"From elsewhere: ssh -L {port}:127.0.0.1:{port} {os.uname().nodename}",
                ]
                for line in lines[:2]:
                    remotes = line.partition("=")[2].strip('"')
                    envring.make_vec("CartPole-v1", 1, remotes=remotes).close()
            finally:
                process.terminate()

    def test_what_is_logged(self, caplog):
        with (
            caplog.at_level(logging.INFO, "envring.serve"),
            envring.serve("CartPole-v1", keys=["right"]) as host,
        ):
            with pytest.raises(envring.HostRefused):
                envring.make_vec("CartPole-v1", 2, remotes=host.url)
            wait_until(lambda: "key is missing" in caplog.text, 10, "it was logged")
        records = [each for each in caplog.records if each.name == "envring.serve"]
        assert [each.levelname for each in records] == ["WARNING"]
        assert not any(isinstance(arg, BaseException) for each in records for arg in each.args)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["CartPole-v1", "--listen", "tcp://0.0.0.0:0"], "can be reached by others"),
            (["CartPole-v1", "--listen", "tls://127.0.0.1:0"], "needs a certificate"),
            (["CartPole-v1", "--metrics", "x"], "is neither a port"),
            (["CartPole-v1", "--ready-fd", "77"], "--ready"),
            (["CartPole-v1", "--key", "SECRET"], "never written out"),
            ([], "Name an ENV"),
        ],
    )
    def test_mistakes(self, arguments, words):
        if "--listen" not in arguments:
            arguments = [*arguments, "--listen", "tcp://127.0.0.1:0"]
        shown = CliRunner().invoke(command, ["serve", *arguments])
        assert shown.exit_code in (1, 2)
        assert words in shown.output
        assert "Traceback" not in shown.output
        assert "SECRET" not in shown.output
