# SPDX-License-Identifier: MIT
"""Unmodified clients of dm_env_rpc and remote-gym, which drive a host."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest

from envring.gateways.certificates import make
from support.hosts import running, running_setup
from support.peers import python_of
from support.processes import wait_until

COUNTING = "envring.testing:CountingEnv"
HERE = Path(__file__).parent
SEEN_BY_REMOTE_GYM = {  # None: refused
    "int8": "Box(-5.0, 5.0, (2,), float64)",
    "int8_from_0": "MultiDiscrete([6 6])",
    "int8_bytes": "MultiDiscrete([128 128])",
    "int32": "Box([-5.  0.], [5. 9.], (2,), float64)",
    "int64": "Box(-4503599627370496.0, 4503599627370496.0, (2,), float64)",
    "int64_wide": None,
    "uint32": "MultiDiscrete([4294967296 4294967296])",
    "uint8": "Box(0, 255, (2, 2), uint8)",
    "uint8_scalar": "Discrete(256)",
    "bool": "MultiDiscrete([2 2])",
    "multi_binary": "MultiDiscrete([2 2 2])",
    "multi_discrete": "MultiDiscrete([3 4])",
    "multi_discrete_start": "Box([1. 2.], [3. 5.], (2,), float64)",
    "one_of_three": "Box(0.0, 2.0, (1,), float64)",
    "discrete": "Discrete(3)",
    "discrete_start": "Box(-1.0, 1.0, (), float64)",
    "float16": "Box(-1.0, 1.0, (2,), float32)",
    "float32": "Box(-inf, inf, (2,), float32)",
    "float64": "Box([ -1. -inf], [1. 2.], (2,), float64)",
    "scalar": "Box(-1.0, 1.0, (), float32)",
    "text": None,
    "dict": None,
}


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
        assert "Ran 40 tests" in shown
        assert shown.splitlines()[-1] == "OK"  # and none was skipped

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

    @pytest.mark.parametrize("half", [0, 1])
    def test_spaces_of_remote_gym(self, half):
        """Its client has a space with all values, which arrive exactly, or is refused."""
        expectations = dict(list(SEEN_BY_REMOTE_GYM.items())[half::2])
        with running_setup("grpc://127.0.0.1:0") as host:
            port = host.url.rpartition(":")[2]
            shown = run_client("remote-gym", "remote_gym_spaces.py", port, *expectations)
        lines = [line.split(" ", 1) for line in shown.splitlines()]
        found = {line[0]: line[1] for line in lines if line[0] in expectations}
        assert found.keys() == expectations.keys()
        for name, expected in expectations.items():
            if expected is None:
                assert found[name].startswith("refused: "), name
                assert "remote-gym\\'s client" in found[name]
            else:
                assert found[name] == expected, name

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
