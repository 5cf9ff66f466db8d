# SPDX-License-Identifier: MIT
"""How Remote Gymnasium's users start a server: here, through a tunnel, in the cloud."""

import json
import os
import stat
import sys
import tomllib
import urllib.error
import urllib.request

import pytest

from envring import AddressError, LaunchError

pytest.importorskip("msgpack", reason="the wires over HTTP stay unchecked")
pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")

from envring import remote_gymnasium

TUNNEL = """
import sys, time
print("forwarding http://127.0.0.1:" + sys.argv[1], flush=True)
print("| your url is: https://example.invalid/" + sys.argv[1] + " |", flush=True)
while True:
    print("x" * 100, flush=True)
    time.sleep(0.001)
"""


def make(url, key=None):
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = json.dumps({"env_key": "k", "env_id": "CartPole-v1"}).encode()
    request = urllib.request.Request(f"{url}/make", body, headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)["env_key"]


def test_at_an_address_of_this_machine():
    with remote_gymnasium.launch_on_local_with_ip("CartPole-v1", port=0) as launched:
        assert make(launched.url) == "k" and launched.key is None
    with pytest.raises(AddressError, match="can be reached by others"):
        remote_gymnasium.launch_on_local_with_ip("CartPole-v1", "0.0.0.0", 0)


def test_through_a_tunnel():
    tunnel = [sys.executable, "-c", TUNNEL, "{port}"]
    with remote_gymnasium.launch_on_local_with_url(tunnel, "CartPole-v1", 0) as launched:
        port = launched.host.url.rpartition(":")[2]
        assert launched.url == f"https://example.invalid/{port}"
        assert make(launched.host.url, launched.key) == "k"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            make(launched.host.url)
    assert launched.tunnel.poll() is not None


@pytest.mark.parametrize(
    ("tunnel", "words"),
    [
        ("/nowhere/tunnel {port}", "cannot be run"),
        ([sys.executable, "-c", "print('no account')"], "printed no URL.*no account"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "within 0.5 s. It said: nothing"),
    ],
)
def test_a_tunnel_that_fails(tunnel, words):
    with pytest.raises(LaunchError, match=words):
        remote_gymnasium.launch_on_local_with_url(tunnel, "CartPole-v1", 0, timeout=0.5)


def test_files_for_a_server(tmp_path):
    folder = tmp_path / "cloud"
    paths = remote_gymnasium.launch_on_cloud(folder, ["CartPole-v1", "My*"], 8000, packages=["a>1"])
    assert sorted(path.name for path in paths) == sorted(os.listdir(folder))
    assert tomllib.loads((folder / "serve.toml").read_text()) == {
        "runtimes": {"default": {"envs": ["CartPole-v1", "My*"]}}
    }
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    name, _, key = (folder / "key").read_text().strip().partition("=")
    assert name == "ENVRING_KEY" and len(key) > 30
    assert "127.0.0.1:8000:5000" in (folder / "envring.service").read_text()
    assert "'a>1'" in (folder / "Containerfile").read_text()
    with pytest.raises(FileExistsError):
        remote_gymnasium.launch_on_cloud(folder)
    with pytest.raises(ValueError, match="name of an env"):
        remote_gymnasium.launch_on_cloud(tmp_path / "other", "a'b")


def test_the_container_starts_as_written(tmp_path):
    """The command of the Containerfile, with addresses of this machine."""
    from support.hosts import running

    remote_gymnasium.launch_on_cloud(tmp_path, "CartPole-v1", key="secret")
    text = (tmp_path / "Containerfile").read_text().replace("\\\n", "")
    command = json.loads(text.partition("ENTRYPOINT ")[2])
    assert command[:2] == ["envring", "serve"]
    options = [each for each in command[2:] if each not in ("--insecure", "http://0.0.0.0:5000")]
    options[options.index("--listen") + 1 :] = ["http://127.0.0.1:0", "--drain", "60"]
    options[options.index("--config") + 1] = str(tmp_path / "serve.toml")
    with running(*options, env={"ENVRING_KEY": "secret"}) as host:
        assert make(host.url, "secret") == "k"
