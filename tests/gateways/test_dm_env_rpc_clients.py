# SPDX-License-Identifier: MIT
"""Unmodified clients of dm_env_rpc and remote-gym, which drive a host."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from envring.gateways.certificates import make
from support.hosts import running
from support.peers import python_of
from support.processes import wait_until

COUNTING = "envring.testing:CountingEnv"
HERE = Path(__file__).parent


def run_client(name, script, *arguments):
    """What a script of `tests/support` prints there."""
    script = HERE.parent / "support" / script
    done = subprocess.run(
        [python_of(name), str(script), *arguments], capture_output=True, text=True, timeout=45
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.mark.wide
class TestClients:
    def test_remote_gyms_entrypoint(self):
        entry = "remote_gym_entrypoint.py"
        source = f"{HERE.parent}/support/{entry}:create_environment"
        with running(source, "--listen", "grpc://127.0.0.1:0") as host:
            port = host.url.rpartition(":")[2]
            path = source.partition(":")[0]
            shown = run_client("remote-gym", "remote_gym_entry_client.py", port, path)
        assert shown.split()[-1] == "done"

    def test_the_compliance_suite_of_deepmind(self):
        with running("CartPole-v1", "--listen", "grpc://127.0.0.1:0") as host:
            place = host.url.removeprefix("grpc://")
            shown = run_client("dm-env-rpc", "dm_env_rpc_compliance.py", place)
        assert "Ran 40 tests" in shown and "OK" in shown

    @pytest.mark.parametrize("client", ["insecure", "tls", "mtls"])
    def test_remote_gym_as_it_is(self, client, tmp_path):
        make(tmp_path, ("localhost", "127.0.0.1"))
        options = ["--listen", "grpc://127.0.0.1:0"]
        files = []
        if client != "insecure":
            names = (tmp_path / "server.pem", tmp_path / "server.key")
            options = ["--listen", "grpcs://127.0.0.1:0", "--cert", *names[:1], "--certkey"]
            options = [str(each) for each in (*options, names[1])]
            files = [str(tmp_path / "ca.pem")]
        if client == "mtls":
            options += ["--client-ca", str(tmp_path / "ca.pem")]
            files += [str(tmp_path / "client.pem"), str(tmp_path / "client.key")]
        with running(COUNTING, *options) as host:
            port = host.url.rpartition(":")[2]
            shown = run_client("remote-gym", "remote_gym_client.py", port, *files)
        assert shown.split()[-1] == "done"

    def test_sixteen_clients_at_once(self):
        with running(COUNTING, "--listen", "grpc://127.0.0.1:0", "--max-sessions", "16") as host:
            place = host.url.removeprefix("grpc://")
            shown = run_client("dm-env-rpc", "dm_env_rpc_many.py", place, "16")
        assert shown.split()[-1] == "16"

    def test_a_client_that_is_killed_leaves_no_session(self):
        options = ("--listen", "grpc://127.0.0.1:0", "--metrics", "0")
        script = str(HERE.parent / "support" / "dm_env_rpc_many.py")
        with running(COUNTING, *options) as host:
            grpc, metrics = host.urls

            def sessions():
                with urllib.request.urlopen(f"{metrics}/metrics", timeout=5) as answer:
                    lines = answer.read().decode().splitlines()
                return next(line for line in lines if line.startswith("envring_sessions "))

            place = grpc.removeprefix("grpc://")
            argv = [python_of("dm-env-rpc"), script, place, "1", "stay"]
            with subprocess.Popen(argv, stdout=subprocess.PIPE) as client:
                assert client.stdout.readline() == b"up\n"
                assert sessions().endswith(" 1")
                client.kill()
            wait_until(lambda: sessions().endswith(" 0"), 10, "its session has ended")
