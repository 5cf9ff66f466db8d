# SPDX-License-Identifier: MIT
"""The servers that Gymie and AgentGPT came with, and ours, are asked the same."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support import foreign_prefixes, gymie_dialogue, peers
from support.gymie_dialogue import DIALOGUES
from support.hosts import running_setup

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
pytest.importorskip("websockets", reason="the wires over HTTP stay unchecked")
msgpack = pytest.importorskip("msgpack", reason="the wires over HTTP stay unchecked")

SUPPORT = Path(__file__).parents[1] / "support"

pytestmark = pytest.mark.long  # packages of other projects are installed


@pytest.fixture(scope="module")
def host():
    with running_setup("http://127.0.0.1:0", setup=SUPPORT / "plain_line.py") as host:
        yield host


@pytest.fixture(scope="module")
def gymie():
    if not foreign_prefixes.interpreter("3.8"):
        pytest.skip("Gymie needs Python 3.8")
    with peers.server("gymie_server.py", python=peers.python_of("gymie")) as port:
        url = f"http://127.0.0.1:{port}"
        gymie_dialogue.wait_for(url)
        yield url


@pytest.fixture(scope="module")
def agent_gpt():
    with peers.server("agent_gpt_server.py", python=peers.python_of("agent-gpt")) as port:
        url = f"http://127.0.0.1:{port}"
        gymie_dialogue.wait_for(url)
        yield url


class TestGymie:
    @pytest.mark.parametrize("name", DIALOGUES)
    def test_the_same_bytes(self, host, gymie, name):
        ours, theirs = (
            gymie_dialogue.hold(url.replace("http", "ws", 1), DIALOGUES[name])
            for url in (host.url, gymie)
        )
        assert ours == theirs

    @pytest.mark.parametrize("path", ["", "/gym", "/other/x"])
    def test_the_same_pages(self, host, gymie, path):
        assert gymie_dialogue.page(host.url + path) == gymie_dialogue.page(gymie + path)


class TestJavaScript:
    """The library that Gymie's own client was written with; that client is no longer there."""

    SCRIPT = """
const { w3cwebsocket: Socket } = require('websocket')
const socket = new Socket(process.argv[2].replace('http', 'ws') + '/gym')
const told = []
const ask = (method, params) => new Promise((resolve, reject) => {
  socket.onmessage = message => resolve(message.data)
  socket.onclose = event => resolve([event.code, event.reason])
  socket.send(JSON.stringify({ method, params }))
})
socket.onopen = async () => {
  const instance_id = await ask('make', { env_id: 'Line-v0' })
  for (const method of ['observation_space', 'action_space', 'reset'])
    told.push(JSON.parse(await ask(method, { instance_id })))
  told.push(JSON.parse(await ask('step', { instance_id, action: 1, render: false })))
  told.push(await ask('close', { instance_id }))
  told.push(await ask('make', { env_id: 'malformed' }))
  console.log(JSON.stringify(told))
}
"""

    def test_an_episode(self, host):
        if not shutil.which("npm"):
            pytest.skip("there is no npm")
        folder = foreign_prefixes.cache() / "npm-websocket-1.0.35"
        if not (folder / "node_modules/websocket").exists():
            argv = ["npm", "install", "--silent", "--prefix", folder, "websocket@1.0.35"]
            subprocess.run(argv, check=True, timeout=200, stdout=subprocess.DEVNULL)
        done = subprocess.run(
            ["node", "-e", self.SCRIPT, "-", host.url],
            env={**os.environ, "NODE_PATH": str(folder / "node_modules")},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        space, actions, first, step, closed, refused = json.loads(done.stdout)
        assert (space["name"], space["shape"], actions["n"]) == ("Box", [3], 2)
        assert len(first) == 3 and step[1:] == [1 / 3, False, {"t": 1, "name": "a line"}]
        assert closed == "true"
        assert refused == [1007, "Environment `malformed` is malformed"]


class TestAgentGpt:
    @staticmethod
    def ask(url, path, body=None):
        data = None if body is None else msgpack.packb(body)
        headers = {} if body is None else {"Content-Type": "application/x-msgpack"}
        request = urllib.request.Request(url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, msgpack.unpackb(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def both(self, host, agent_gpt, path, body=None):
        ours, theirs = (self.ask(url, path, body) for url in (host.url, agent_gpt))
        assert ours == theirs, path
        return ours[1]

    def test_an_episode(self, host, agent_gpt):
        here = {"env_entry_point": None, "env_dir": None}
        self.both(host, agent_gpt, "/make", {"env_key": "k", "env_id": "CartPole-v1", **here})
        self.both(host, agent_gpt, "/observation_space?env_key=k")
        self.both(host, agent_gpt, "/reset", {"env_key": "k", "seed": 42, "options": None})
        for n in range(60):
            told = self.both(host, agent_gpt, "/step", {"env_key": "k", "action": n % 2})
            if told["terminated"]:
                self.both(host, agent_gpt, "/reset", {"env_key": "k", "seed": n})
        self.both(host, agent_gpt, "/close", {"env_key": "k"})

    def test_a_vector_env(self, host, agent_gpt):
        body = {"env_key": "v", "env_id": "Pendulum-v1", "num_envs": 2}
        self.both(host, agent_gpt, "/make_vec", {**body, "env_entry_point": None, "env_dir": None})
        for space in ("action_space", "observation_space"):
            self.both(host, agent_gpt, f"/{space}?env_key=v")
        self.both(host, agent_gpt, "/reset", {"env_key": "v", "seed": 1, "options": None})
        for n in range(20):
            action = [[n / 20], [-1.0]]
            self.both(host, agent_gpt, "/step", {"env_key": "v", "action": action})
        self.both(host, agent_gpt, "/close", {"env_key": "v"})

    def test_errors(self, host, agent_gpt):
        for path, body in (
            ("/step", {"env_key": "none", "action": 1}),
            ("/reset", {"env_key": "x"}),
        ):
            ours, theirs = (self.ask(url, path, body) for url in (host.url, agent_gpt))
            assert ours[0] == theirs[0] == 400
            assert ours[1]["detail"] == theirs[1]["detail"] or "msgpack" in theirs[1]["detail"]
