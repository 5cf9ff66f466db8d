# SPDX-License-Identifier: MIT
"""Hosts behind TLS: who trusts whom, and what the others are told."""

from __future__ import annotations

import contextlib
import datetime
import os
import select
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import envring
from envring import AddressError, LaunchError
from envring.gateways.certificates import Authority, make
from envring.testing import assert_same_batch
from envring.transport import frames
from envring.transport.frames import Link, LinkClosed
from support.callers import until
from support.processes import wait_until

LOCAL = ("localhost", "127.0.0.1")
BIG = 2_000_000


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """Certificates of two authorities: `ours` and `theirs`."""
    folder = tmp_path_factory.mktemp("certs")
    make(folder / "ours", LOCAL)
    make(folder / "theirs", LOCAL)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3)
    ours = Authority.load(folder / "ours")
    ours.issue(folder / "ours", "expired", LOCAL, days=1, begin=past)
    ours.issue(folder / "ours", "elsewhere", ["elsewhere.example"])
    return folder / "ours"


def host_of(certs, server="server", env="CartPole-v1", **options):
    files = {"cert": certs / f"{server}.pem", "certkey": certs / f"{server}.key"}
    return envring.serve(env, listen="tls://127.0.0.1:0", **{**files, **options})


@pytest.fixture(scope="module")
def host(certs):
    with host_of(certs, grace=0.3) as host:
        yield host


@pytest.fixture(scope="module")
def strict(certs):
    """A host that asks for certificates."""
    with host_of(certs, client_ca=certs / "ca.pem") as host:
        yield host


def refused(remotes, error=AddressError, **kwargs):
    with pytest.raises(error) as caught:
        envring.make_vec("CartPole-v1", 2, remotes=remotes, **kwargs)
    return str(caught.value)


def with_own(certs, which="client"):
    return f"ca={certs}/ca.pem&cert={certs}/{which}.pem&certkey={certs}/{which}.key"


class TestWhoIsTrusted:
    def test_values_are_those_of_local_envs(self, host, certs):
        envs = envring.make_vec("CartPole-v1", 4, remotes=f"{host.url}?ca={certs}/ca.pem")
        local = envring.make_vec("CartPole-v1", 4)
        assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
        local.action_space.seed(3)
        for _ in range(100):
            actions = local.action_space.sample()
            assert_same_batch(envs.step(actions), local.step(actions))
        assert envs.get_attr("gravity") == (9.8,) * 4
        envs.close()
        local.close()

    def test_another_authority(self, host, certs):
        text = refused(f"{host.url}?ca={certs.parent}/theirs/ca.pem")
        assert "is not trusted" in text and "issuer" in text

    def test_no_authority(self, host):
        assert "is not trusted" in refused(host.url)

    def test_a_certificate_for_another_name(self, certs):
        with host_of(certs, "elsewhere") as host:
            text = refused(f"{host.url}?ca={certs}/ca.pem")
            assert "mismatch" in text and "name=NAME" in text
            named = f"{host.url}?ca={certs}/ca.pem&name=elsewhere.example"
            envring.make_vec("CartPole-v1", 1, remotes=named).close()

    def test_a_certificate_that_has_expired(self, certs):
        with host_of(certs, "expired") as host:
            assert "expired" in refused(f"{host.url}?ca={certs}/ca.pem")

    def test_a_callers_certificate_is_not_a_hosts(self, certs):
        with host_of(certs, "client") as host:
            assert "is not trusted" in refused(f"{host.url}?ca={certs}/ca.pem&name=client")

    def test_files_that_are_not_there(self, host, certs):
        assert "cannot be read" in refused(f"{host.url}?ca={certs}/other.pem")
        with pytest.raises(AddressError, match="cannot be read"):
            host_of(certs, "other")


class TestCertificatesOfCallers:
    def test_a_right_one(self, strict, certs):
        envs = envring.make_vec("CartPole-v1", 2, remotes=f"{strict.url}?{with_own(certs)}")
        envs.reset()
        envs.close()

    def test_none(self, strict, certs):
        text = refused(f"{strict.url}?ca={certs}/ca.pem")
        assert "A certificate of ours is missing" in text
        assert "CERTIFICATE_REQUIRED" in text

    def test_none_with_an_older_tls(self, strict, certs, monkeypatch):
        contexts = envring.transport.tls.client_context

        def old(address):
            context = contexts(address)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context

        monkeypatch.setattr(envring.transport.tls, "client_context", old)
        assert "A certificate of ours is missing" in refused(f"{strict.url}?ca={certs}/ca.pem")

    def test_one_of_another_authority(self, strict, certs):
        options = with_own(certs.parent / "theirs").replace("theirs/ca.pem", "ours/ca.pem")
        text = refused(f"{strict.url}?{options}")
        assert "A certificate of ours was refused" in text

    def test_a_hosts_certificate(self, strict, certs):
        assert "was refused" in refused(f"{strict.url}?{with_own(certs, 'server')}")

    def test_what_was_refused_is_counted_and_others_go_on(self, strict, certs):
        envs = envring.make_vec("CartPole-v1", 2, remotes=f"{strict.url}?{with_own(certs)}")
        envs.reset()
        before = strict.sessions.counts["refused"]
        refused(f"{strict.url}?ca={certs}/ca.pem")
        wait_until(lambda: strict.sessions.counts["refused"] > before, 10, "it was counted")
        envs.step(np.ones(2, int))
        envs.close()


class TestMismatches:
    def test_a_caller_with_tls_on_a_port_without(self, certs):
        with envring.serve("CartPole-v1") as host:
            text = refused(f"{host.url.replace('tcp', 'tls')}?ca={certs}/ca.pem")
            assert "does not speak TLS" in text

    def test_the_reverse(self, host):
        text = refused(host.url.replace("tls", "tcp"), LaunchError)
        assert "it speaks TLS" in text

    def test_a_host_that_hangs_up_is_tried_again(self, certs):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def hang_up():
                while True:
                    try:
                        server.accept()[0].close()
                    except OSError:
                        return

            thread = threading.Thread(target=hang_up)
            thread.start()
            url = f"tls://127.0.0.1:{server.getsockname()[1]}?ca={certs}/ca.pem"
            text = refused(url, LaunchError, start_timeout=0.3)
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
        assert "cannot be reached" in text

    @pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x00\x02\x01"])
    def test_slow_peers_are_cut_off(self, certs, data):
        with host_of(certs, handshake_timeout=0.3) as host:
            port = int(host.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 10) as sock:
                sock.sendall(data)
                while sock.recv(1 << 16):
                    pass

    def test_the_end_of_a_host_waits_for_no_handshake(self, certs):
        with host_of(certs, handshake_timeout=60) as host:
            port = int(host.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 10) as sock:
                wait_until(lambda: host._shaking, 10, "it was accepted")
                host.close()
                assert sock.recv(1) == b""


class Ends:
    """Two links over TLS in this process."""

    def __init__(self, certs):
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certs / "server.pem", certs / "server.key")
        client = ssl.create_default_context(cafile=certs / "ca.pem")
        shaken = []
        thread = threading.Thread(
            target=lambda: shaken.append(server.wrap_socket(theirs, server_side=True))
        )
        thread.start()
        self.caller = Link(client.wrap_socket(ours, server_hostname="localhost"), "host")
        thread.join(10)
        self.host = Link(shaken[0], "caller")
        self.caller.max_frame = self.host.max_frame = 1 << 30

    def close(self):
        self.caller.close()
        self.host.close()


@pytest.fixture
def ends(certs):
    ends = Ends(certs)
    yield ends
    ends.close()


class TestFrames:
    def test_big_ones_both_ways(self, ends):
        """Each end sends what the other one cannot take at once, while signs of life go out."""
        parts = [np.random.default_rng(i).bytes(BIG + i) for i in range(3)] + [b"x"] * 700
        done = threading.Event()
        failures = []

        def beat():
            while not done.is_set():
                ends.host.send_if_free(frames.ALIVE, 5)

        def answer():
            try:
                for _ in range(3):
                    frame = ends.host.receive(until())
                    ends.host.send(frames.RESULT, [frame.body], number=1, deadline=until())
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=run) for run in (beat, answer)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            ends.caller.send(frames.STEP, parts, deadline=until())
            frame = ends.caller.receive(until())
            while frame.head.kind == frames.ALIVE:
                frame = ends.caller.receive(until())
            assert frame.body == b"".join(parts)
        done.set()
        while threads[0].is_alive() or select.select([ends.caller], [], [], 0)[0]:
            try:
                ends.caller.receive(until(0.1))
            except TimeoutError:
                break
        for thread in threads:
            thread.join(10)
        assert not failures

    def test_signs_of_life_that_nobody_reads_tear_no_frame(self, ends):
        """What the socket did not take is sent before the next frame, once."""
        sent = 0
        while ends.host.send_if_free(frames.ALIVE, 5):
            sent += 1
        for _ in range(3):
            assert not ends.host.send_if_free(frames.ALIVE, 5)
        thread = threading.Thread(
            target=ends.host.send, args=(frames.RESULT, [b"a" * 100]), kwargs={"deadline": until()}
        )
        thread.start()
        for _ in range(sent + 1):
            assert ends.caller.receive(until()).head == (frames.ALIVE, 0, 5, 0)
        assert ends.caller.receive(until()) == ((frames.RESULT, 0, 0, 100), b"a" * 100)
        thread.join(10)

    def test_a_frame_that_was_torn_is_the_last_one(self, ends):
        with pytest.raises(LinkClosed, match="does not read"):
            ends.host.send(frames.RESULT, [bytes(BIG)], deadline=until(0.05))
        with pytest.raises(LinkClosed, match="to its end"):
            ends.host.send(frames.ALIVE, deadline=until())

    def test_who_reads_slowly_gets_all(self, ends):
        """The time to give up begins anew whenever something went out."""
        thread = threading.Thread(
            target=ends.host.send, args=(frames.RESULT, [bytes(BIG)]), kwargs={"deadline": until(1)}
        )
        thread.start()
        ends.caller._sock.setblocking(True)
        got, began = 0, time.monotonic()
        while got < BIG + 24:
            got += len(ends.caller._sock.recv(1 << 16))
            time.sleep(0.012)
        thread.join(10)
        assert time.monotonic() - began > 1.2
        assert not ends.host._torn

    def test_after_shut_down_nothing_is_taken_for_plain_bytes(self, ends):
        ends.caller.send(frames.STEP, [bytes(1000)], deadline=until())
        ends.caller.send(frames.STEP, [bytes(1000)], deadline=until())
        ends.host.shut_down()
        kinds = []
        with contextlib.suppress(LinkClosed):
            while len(kinds) < 3:
                kinds.append(ends.host.receive(until()).head.kind)
        assert kinds in ([], [frames.STEP], [frames.STEP] * 2)


class TestCommand:
    def test_it_makes_what_a_host_and_its_callers_need(self, tmp_path):
        argv = [sys.executable, "-m", "envring.cli", "serve", "cert", *LOCAL, "-d", "a b"]
        argv += ["--client", "alice"]
        shown = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=40)
        assert shown.returncode == 0, shown.stderr
        assert "--client-ca" in shown.stdout and "alice.key" in shown.stdout
        folder = tmp_path / "a b"
        names = {"ca.pem", "ca.key", "server.pem", "server.key", "alice.pem", "alice.key"}
        assert set(os.listdir(folder)) == names
        for path in folder.glob("*.key"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with host_of(folder, client_ca=folder / "ca.pem") as host:
            remotes = f"{host.url}?{with_own(folder, 'alice')}"
            envring.make_vec("CartPole-v1", 1, remotes=remotes).close()

    def test_it_overwrites_nothing(self, certs):
        before = {path: path.read_bytes() for path in certs.iterdir()}
        with pytest.raises(AddressError, match="is there already"):
            make(certs)
        with pytest.raises(AddressError, match="is there already"):
            make(certs, server=None)
        assert before == {path: path.read_bytes() for path in certs.iterdir()}

    def test_an_authority_signs_more(self, certs, tmp_path, strict):
        for name in ("ca.pem", "ca.key"):
            (tmp_path / name).write_bytes((certs / name).read_bytes())
        made = make(tmp_path, server=None, clients=["bob"])
        assert [path.name for path in made] == ["bob.pem", "bob.key"]
        remotes = f"{strict.url}?{with_own(tmp_path, 'bob')}"
        envring.make_vec("CartPole-v1", 1, remotes=remotes).close()

    @pytest.mark.parametrize("stem", ["", "ca", "../x", ".."])
    def test_names_that_are_not_files(self, tmp_path, stem):
        with pytest.raises(AddressError, match="cannot be the name"):
            make(tmp_path / "new", clients=[stem])
        assert not (tmp_path / "new").exists()

    def test_names_of_this_machine(self, tmp_path):
        make(tmp_path)
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        with host_of(tmp_path) as host:
            port = int(host.url.rpartition(":")[2])
            for name in (socket.gethostname(), "127.0.0.1", "::1"):
                sock = socket.create_connection(("127.0.0.1", port), 10)
                context.wrap_socket(sock, server_hostname=name).close()

    def test_without_the_package(self, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(AddressError, match="envring\\[remote\\]"):
            make(tmp_path / "new")
