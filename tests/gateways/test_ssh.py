# SPDX-License-Identifier: MIT
"""Hosts that the caller starts over ssh, with a server of the tests' own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import envring
from envring import AddressError, EnvSource, HostLost, HostRefused, LaunchError
from envring.errors import InterpreterError
from envring.pool import ssh
from envring.testing import assert_same_batch
from envring.transport.addresses import parse
from support.launcher_conformance import FILE
from support.processes import Caller, wait_until
from support.same_steps import assert_same_steps
from support.sshd import NAME, PROGRAM, Sshd

no_sshd = pytest.mark.skipif(
    PROGRAM is None, reason="there is no sshd here: remotes='ssh://...' stays untried"
)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.end()


@pytest.fixture
def none_left(sshd):
    """Nothing runs on the other side at the end."""
    yield
    wait_until(lambda: not sshd.children(), 10, "the host over ssh has ended")


def cart_poles(sshd, count=2, **options):
    return envring.make_vec("CartPole-v1", count, remotes=sshd.url(**options))


@no_sshd
@pytest.mark.usefixtures("none_left")
class TestEnvs:
    def test_values_are_those_of_local_envs(self, sshd):
        envs = cart_poles(sshd, 3)
        local = envring.make_vec("CartPole-v1", 3, vectorization_mode="sync")
        assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
        assert_same_steps(envs, local)

    def test_what_an_env_prints_does_not_get_between(self, sshd, capfd):
        source = EnvSource.elsewhere(f"{FILE}:make", kwargs={"noisy": True})
        envs = envring.RingVectorEnv([source], remotes=sshd.url())
        envs.reset()
        envs.step(np.ones(1, int))
        envs.close()
        assert "written to 1" in capfd.readouterr().err

    def test_two_connections_and_a_chosen_env(self, sshd):
        url = sshd.url(env="CartPole-v1")
        envs = envring.make_vec("CartPole-v1", 4, remotes=f"{url},{url}")
        assert envs.reset(seed=1)[0].shape == (4, 4)
        envs.close()
        with pytest.raises(HostRefused, match="is not served"):
            envring.make_vec("MountainCar-v0", 2, remotes=url)


@no_sshd
@pytest.mark.usefixtures("none_left")
class TestEnds:
    def test_ssh_is_killed(self, sshd):
        envs = cart_poles(sshd)
        envs.reset()
        os.kill(envs._batcher.pool._link._process.pid, signal.SIGKILL)
        with pytest.raises(HostLost, match="ssh ended with exit code -9") as caught:
            envs.step(np.ones(2, int))
        assert caught.value.env_ids == (0, 1)
        envs.close()

    def test_nobody_closes_it(self, sshd):
        envs = cart_poles(sshd)
        envs.reset()
        del envs

    def test_ctrl_c_is_the_callers_and_its_death_the_end(self, sshd):
        script = """
            import sys, numpy, envring
            envs = envring.make_vec("CartPole-v1", 2, remotes=sys.argv[1])
            envs.reset()
            try:
                print("up", flush=True)
                sys.stdin.readline()
            except KeyboardInterrupt:
                envs.step(numpy.ones(2, int))
                print("stepped", flush=True)
            sys.stdin.readline()
        """
        with Caller(script, sshd.url()) as caller:
            assert caller.line() == "up"
            os.killpg(caller.process.pid, signal.SIGINT)
            assert caller.line() == "stepped"
            assert sshd.children()
            caller.process.kill()


@no_sshd
@pytest.mark.usefixtures("none_left")
class TestWhatIsWrong:
    def test_the_hosts_key_is_unknown(self, sshd):
        port = sshd.config.read_text().split("Port ")[1].split()[0]
        with pytest.raises(AddressError, match="does not know this host's key"):
            cart_poles(sshd, name=f"127.0.0.1:{port}")

    def test_the_users_key_is_not_accepted(self, sshd, tmp_path):
        config = tmp_path / "config"
        config.write_text(sshd.config.read_text().replace("/user\n", "/stranger\n"))
        with pytest.raises(AddressError, match="No key of yours is accepted there"):
            cart_poles(sshd, ssh_config=config)

    def test_nobody_listens(self, sshd):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            url = sshd.url(f"127.0.0.1:{sock.getsockname()[1]}")
            with pytest.raises(LaunchError, match=r"(?s)cannot be reached by ssh.*refused"):
                envring.make_vec("CartPole-v1", 2, remotes=url, start_timeout=0.5)

    def test_nobody_listens_yet(self, sshd, monkeypatch):
        """It connects once more, as to any other host."""
        start, ports = ssh.start, [1, 1, 0]
        monkeypatch.setattr(
            ssh, "start", lambda address: start(replace(address, port=ports.pop(0)))
        )
        cart_poles(sshd).close()
        assert not ports

    def test_there_is_no_such_host(self, sshd):
        with pytest.raises(AddressError, match="no host of that name"):
            cart_poles(sshd, name="envring.invalid")

    def test_there_is_no_python(self, sshd):
        with pytest.raises(InterpreterError, match="has no /no/python that can be run"):
            cart_poles(sshd, python="/no/python")

    def test_it_has_no_envring(self, sshd):
        python = sshd.script("bare", f'exec {sys.executable} -I -S "$@"')
        with pytest.raises(InterpreterError, match="has no envring"):
            cart_poles(sshd, python=python)

    def test_the_shell_prints_something(self, sshd):
        python = sshd.script("chatty", f'echo Welcome to this host; exec {sys.executable} "$@"')
        with pytest.raises(LaunchError, match="start-up file of the shell"):
            cart_poles(sshd, python=python)

    def test_there_is_no_such_launcher(self, sshd):
        with pytest.raises(LaunchError, match=r"(?s)ended with exit code 1.*nonsense"):
            cart_poles(sshd, launcher="nonsense:1")

    def test_it_takes_too_long(self, sshd):
        python = sshd.script("slow", "exec sleep 60")
        with pytest.raises(LaunchError, match="did not start a host within"):
            envring.make_vec("CartPole-v1", 2, remotes=sshd.url(python=python), start_timeout=0.5)


class TestAddresses:
    def test_parts(self):
        address = parse("ssh://me@Lab-1:2222?python=~/venv/bin/python&launcher=prefix:/x")
        assert (address.user, address.host, address.port) == ("me", "Lab-1", 2222)
        assert str(address) == "ssh://me@Lab-1:2222"
        assert str(parse("ssh://[::1]")) == "ssh://[::1]"
        assert str(parse("ssh://lab")) == "ssh://lab"

    @pytest.mark.parametrize(
        "text",
        ["ssh://", "ssh://a/b", "ssh://a:x", "ssh://me:word@a", "ssh://a?key=env:K", "ssh://a?x=1"],
    )
    def test_what_is_none(self, text):
        with pytest.raises(AddressError):
            parse(text)

    @pytest.mark.parametrize("text", ["ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://[-x]"])
    def test_an_option_of_ssh_is_not_a_host(self, text):
        with pytest.raises(AddressError):
            parse(text)

    def test_without_the_program(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(AddressError, match="needs the program ssh"):
            envring.make_vec("CartPole-v1", 2, remotes=f"ssh://{NAME}")


class TestStdio:
    ARGV = (sys.executable, "-m", "envring.cli", "serve", "--stdio", "--quiet")
    GREETING = b"ENVR\1\0\1\0"

    def test_pipes_will_do(self):
        with subprocess.Popen(self.ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
            host.stdin.write(self.GREETING)
            host.stdin.flush()
            assert host.stdout.read(len(self.GREETING)) == self.GREETING
            host.stdin.close()
            assert host.wait(20) == 0

    def test_so_will_a_socket(self):
        ours, theirs = socket.socketpair()
        with ours, theirs, subprocess.Popen(self.ARGV, stdin=theirs, stdout=theirs) as host:
            theirs.close()
            ours.sendall(self.GREETING)
            assert ours.recv(len(self.GREETING)) == self.GREETING
            ours.shutdown(socket.SHUT_WR)
            assert host.wait(20) == 0

    def test_it_does_not_listen_besides(self):
        argv = [*self.ARGV, "--listen", "unix:///x"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        assert done.returncode == 2
        assert b"--stdio listens nowhere" in done.stderr
