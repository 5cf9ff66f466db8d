# SPDX-License-Identifier: MIT
"""Hosts that dial out, and callers that wait for them."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import gymnasium as gym
import numpy as np
import pytest

import envring
from envring import AddressError, HostLost, LaunchError
from envring.pool.dialling import dial
from envring.testing import assert_same_batch
from envring.transport import codec, frames
from envring.transport.addresses import parse
from envring.transport.frames import Link, LinkClosed
from support.processes import wait_until
from support.same_steps import assert_same_steps


@pytest.fixture
def port():
    """One on which whoever names it can listen, and that is given to nobody else meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def dialling(port, count=1, **options):
    """Hosts that dial the port until the end."""
    url = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:
        yield [
            stack.enter_context(envring.serve("CartPole-v1", listen=(), connect=url, **options))
            for _ in range(count)
        ]


def cart_poles(port, count=4, options="n=2", **kwargs):
    kwargs.setdefault("start_timeout", 20)
    return envring.make_vec(
        "CartPole-v1", count, remotes=f"listen://127.0.0.1:{port}?{options}", **kwargs
    )


def test_restarts_are_refused_with_advice(port):
    with dialling(port), pytest.raises(envring.LauncherError, match=r"remotes='tcp://\.\.\.'"):
        cart_poles(port, 1, "n=1", on_worker_death="restart")


class TestEnvs:
    def test_values_are_those_of_local_envs(self, port):
        with dialling(port, 2) as hosts:
            envs = cart_poles(port, 4)
            assert [len(host.sessions) for host in hosts] == [1, 1]
            local = gym.make_vec("CartPole-v1", 4, vectorization_mode="sync")
            assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
            assert_same_steps(envs, local)

    def test_a_host_serves_one_caller_after_the_other(self, port):
        with dialling(port) as (host,):
            for _ in range(2):
                envs = cart_poles(port, 2, "n=1")
                envs.reset()
                envs.close()
                wait_until(lambda: not len(host.sessions), 10, "the session has ended")

    def test_a_caller_is_waited_for_as_it_waits_for_hosts(self, port):
        found = []
        thread = threading.Thread(target=lambda: found.append(cart_poles(port, 2, "n=1")))
        thread.start()
        wait_until(lambda: _listens(port), 10, "the caller listens")
        with dialling(port):
            thread.join(20)
            found[0].reset()
            found[0].close()

    def test_a_host_is_lost(self, port):
        with dialling(port, 2) as hosts:
            envs = cart_poles(port)
            envs.reset()
            hosts[0].close()
            with pytest.raises(HostLost) as caught:
                envs.step(np.ones(4, int))
            assert caught.value.env_ids in ((0, 1), (2, 3))
            envs.close()


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


class TestKeys:
    @pytest.fixture(autouse=True)
    def _keys(self, monkeypatch):
        monkeypatch.setenv("RIGHT", "right")
        monkeypatch.setenv("WRONG", "wrong")

    def test_both_ends_show_it(self, port):
        with dialling(port, keys=["right"]):
            envs = cart_poles(port, 2, "key=env:RIGHT")
            envs.reset()
            envs.close()

    @pytest.mark.parametrize("keys", [["wrong"], []])
    def test_a_host_that_does_not_is_refused(self, port, keys, caplog):
        with (
            dialling(port, keys=keys),
            pytest.raises(LaunchError, match=r"(?s)^0 of the 1.*key is missing or wrong") as caught,
        ):
            cart_poles(port, 2, "key=env:RIGHT", start_timeout=2)
        assert "right" not in str(caught.value)
        told = [record.getMessage() for record in caplog.records]
        why = f"tcp://127.0.0.1:{port}: it: The key is missing or wrong. Trying again until"
        assert sum(each.startswith(why) for each in told) == 1

    def test_a_caller_that_does_not_is_refused_by_the_host(self, port):
        with dialling(port, keys=["right"]), pytest.raises(LaunchError, match="^0 of the 1"):
            cart_poles(port, 2, "n=1", start_timeout=1)


class TestTls:
    def test_the_host_trusts_the_callers_certificate(self, port, tmp_path):
        cert = _certificate(tmp_path)
        with envring.serve("CartPole-v1", listen=(), connect=f"tls://localhost:{port}?ca={cert}"):
            envs = cart_poles(port, 2, f"cert={cert}&certkey={tmp_path}/key")
            envs.reset()
            envs.close()


def _certificate(folder):
    import subprocess

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", folder / "key", "-out", folder / "cert", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert"


class TestWhatIsWrong:
    def test_too_few_come(self, port, caplog):
        caplog.set_level(logging.INFO, "envring")
        with dialling(port), pytest.raises(LaunchError, match="^1 of the 2 env hosts"):
            cart_poles(port, start_timeout=2)
        assert f"envring serve ENV --connect tcp://127.0.0.1:{port}" in caplog.text

    @pytest.mark.parametrize(
        ("address", "why"),
        [
            ("0.0.0.0:{port}", "can be reached by others.*insecure=1"),
            ("127.0.0.1:{port}?n=0", "not a number of hosts"),
            ("127.0.0.1:{port}?n=x", "not a number of hosts"),
            ("127.0.0.1:{port}?session=x", "'session'"),
            ("127.0.0.1", "needs a host and a port"),
            ("127.0.0.1:{port}?cert=/no/file", "cannot be read"),
            ("127.0.0.1:{port}?key=env:NO_SUCH_KEY", "no such variable"),
        ],
    )
    def test_addresses(self, port, address, why):
        with pytest.raises(AddressError, match=why):
            envring.make_vec("CartPole-v1", 2, remotes="listen://" + address.format(port=port))

    def test_a_port_in_use(self):
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            pytest.raises(AddressError, match="in use"),
        ):
            cart_poles(taken.getsockname()[1])

    @pytest.mark.parametrize("url", ["ssh://host", "unix:///x", "listen://127.0.0.1:1"])
    def test_what_a_host_cannot_dial(self, url):
        with pytest.raises(AddressError, match="not an address to dial"):
            envring.serve("CartPole-v1", listen=(), connect=url)

    @pytest.mark.parametrize("url", ["ssh://host", "listen://127.0.0.1:1"])
    def test_where_a_host_cannot_listen(self, url):
        with pytest.raises(AddressError, match="not an address to listen on"):
            envring.serve("CartPole-v1", listen=url)

    def test_a_host_that_listens_does_not_take_hosts(self, caplog):
        with (
            envring.serve("CartPole-v1") as other,
            envring.serve("CartPole-v1", listen=(), connect=other.url),
        ):
            wait_until(lambda: "does not wait for hosts" in caplog.text, 10, "it was told")

    @pytest.mark.parametrize("role", [None, "host", np.zeros(2)])
    def test_a_host_tries_again_after_nonsense(self, role, caplog):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(10)
            url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            with envring.serve("CartPole-v1", listen=(), connect=url):
                for _ in range(2):
                    link, until = Link(server.accept()[0], "host"), time.monotonic() + 10
                    link.send_greeting(until)
                    link.receive_greeting(until)
                    assert link.receive(until).head.kind == frames.HELLO
                    link.send(frames.WELCOME, [codec.dumps({"role": role})], deadline=until)
                    with pytest.raises((LinkClosed, TimeoutError)):
                        link.receive(until)
                    link.close()
        assert "does not wait for hosts" in caplog.text

    def test_strangers_keep_nobody_out(self, port):
        """They say nothing, speak HTTP, are callers or nothing at all, or of another version."""
        with ExitStack() as stack:
            strangers = []

            def knock():
                wait_until(lambda: _listens(port), 10, "the caller listens")
                for data in (
                    b"",
                    b"GET / HTTP/1.1\r\n\r\n",
                    b"ENVR\1\0\1\0" + _hello({"client_id": "me"}),
                    b"ENVR\1\0\1\0" + _hello({"client_id": "me", "role": np.zeros(2)}),
                    b"ENVR\7\0\x09\0" + _hello({"client_id": "me", "role": "host"}),
                ):
                    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    sock.sendall(data)
                    strangers.append(sock)
                stack.enter_context(dialling(port, 2))

            thread = threading.Thread(target=knock)
            thread.start()
            envs = cart_poles(port)
            thread.join(10)
            envs.reset()
            envs.close()
            told = [_last(sock) for sock in strangers[2:]]
            assert re.search("waits for hosts", told[0])
            assert re.search("waits for hosts", told[1])
            assert re.search("versions 7 to 9", told[2])

    def test_they_know_each_other_by_their_names(self, port):
        """However they come, envs go to the same hosts."""
        address = parse(f"listen://127.0.0.1:{port}?n=2")
        links = []

        def come(name):
            wait_until(lambda: _listens(port), 10, "the caller listens")
            link = Link(socket.create_connection(("127.0.0.1", port)), name)
            links.append(link)
            until = time.monotonic() + 10
            link.send_greeting(until)
            hello = {"role": "host", "client_id": name}
            link.send(frames.HELLO, [codec.dumps(hello)], deadline=until)
            link.receive_greeting(until)
            assert link.receive(until).head.kind == frames.WELCOME
            assert link.receive(until).head.kind == frames.HELLO
            welcome = {"max_frame": 1 << 20, "workers": 1, "free": None, "server": name}
            link.send(frames.WELCOME, [codec.dumps(welcome)], deadline=until)

        def both():
            come("b")
            come("a")

        thread = threading.Thread(target=both)
        thread.start()
        found = dial([address], 20)
        thread.join(10)
        assert [each.welcome["server"] for each in found] == ["a", "b"]
        for each in (*links, *(each.link for each in found)):
            each.close()


def _hello(hello):
    body = codec.dumps(hello)
    return frames._HEAD.pack(len(body), frames.HELLO, 0, 0, 0, 0) + body


def _last(sock):
    sock.settimeout(10)
    found = b""
    while data := sock.recv(1 << 16):
        found += data
    return found.decode("latin-1")
