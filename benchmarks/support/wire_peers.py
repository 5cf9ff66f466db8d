# SPDX-License-Identifier: MIT
"""Clients of other projects' wires, as peers of `remote_peer.py`; for any interpreter."""

import itertools
import json
import socket
import time

from answering import ACTION_BATCHES, Single

CARTPOLE = "CartPole-v1"
IMAGE = (84, 84, 4)
IMAGE_SIZE = 84 * 84 * 4


def remote_gym(port):
    from remote_gym import RemoteEnvironment

    return Single(RemoteEnvironment("127.0.0.1", int(port)))


class OurTensors:
    """An image of float32 as the bytes of a dm_env_rpc Tensor, and back."""

    def __init__(self):
        import numpy as np
        from gymnasium.spaces import Box

        from envring.gateways.dm_env_rpc import tensors
        from envring.gateways.dm_env_rpc.spaces import Tree

        (leaf,) = Tree("observation", Box(-1, 1, IMAGE, np.float32)).leaves
        self.image = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32).reshape(IMAGE)
        self.dumps = leaf.dumps
        self.loads = lambda data: tensors.loads(memoryview(data)).fit(leaf.spec)
        assert (self.loads(self.dumps(self.image)) == self.image).all()

    def advance(self, batches):
        for _ in range(batches):
            self.loads(self.dumps(self.image))
        return batches

    def close(self):
        pass


class TheirTensors(OurTensors):
    """The same with DeepMind's tensor_utils, and protobuf in C."""

    def __init__(self):
        import numpy as np
        from dm_env_rpc.v1 import dm_env_rpc_pb2, tensor_utils

        self.image = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32).reshape(IMAGE)
        read = dm_env_rpc_pb2.Tensor.FromString
        self.dumps = lambda image: tensor_utils.pack_tensor(image).SerializeToString()
        self.loads = lambda data: tensor_utils.unpack_tensor(read(data))
        assert (self.loads(self.dumps(self.image)) == self.image).all()


class OpenEnv:
    """Its generic client: what it answers is a dict with what our env put into it."""

    def __init__(self, port):
        from openenv import GenericEnvClient

        self.client = GenericEnvClient(f"http://127.0.0.1:{port}").sync()
        self.client.connect()
        self.actions = itertools.cycle([each % 2 for each in range(ACTION_BATCHES)])
        self.client.reset()

    def advance(self, batches):
        step, reset = self.client.step, self.client.reset
        for action in itertools.islice(self.actions, batches):
            if step({"value": action}).done:
                reset()
        return batches

    def close(self):
        self.client.close()


class Gymie:
    """An env behind Gymie's wire; the library of its JavaScript client is of the same kind."""

    def __init__(self, port):
        from websockets.sync.client import connect

        url = f"ws://127.0.0.1:{port}/gym"
        for _ in range(100):
            try:
                self.socket = connect(url, proxy=None, compression=None).__enter__()
                break
            except OSError:
                time.sleep(0.1)
        self.name = self.ask("make", {"env_id": CARTPOLE})
        self.actions = itertools.cycle([each % 2 for each in range(ACTION_BATCHES)])
        self.reset()

    def ask(self, method, params):
        self.socket.send(json.dumps({"method": method, "params": params}))
        return self.socket.recv()

    def reset(self):
        return json.loads(self.ask("reset", {"instance_id": self.name}))

    def advance(self, batches):
        for action in itertools.islice(self.actions, batches):
            params = {"instance_id": self.name, "action": action, "render": False}
            _, _, done, _ = json.loads(self.ask("step", params))
            if done:
                self.reset()
        return batches

    def close(self):
        self.ask("close", {"instance_id": self.name})
        self.socket.__exit__(None, None, None)


class Http:
    """Requests over one connection."""

    media = "application/json"

    def __init__(self, port):
        import http.client

        self.connection = http.client.HTTPConnection("127.0.0.1", int(port))
        for _ in range(100):
            try:
                self.connection.connect()
                break
            except OSError:
                time.sleep(0.1)
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.actions = itertools.cycle([each % 2 for each in range(ACTION_BATCHES)])
        self.make()
        self.reset()

    dumps, loads = staticmethod(json.dumps), staticmethod(json.loads)

    def ask(self, path, body):
        self.connection.request("POST", path, self.dumps(body), {"Content-Type": self.media})
        response = self.connection.getresponse()
        data = response.read()
        assert response.status == 200, data
        return self.loads(data)

    def advance(self, batches):
        for action in itertools.islice(self.actions, batches):
            if self.step(action):
                self.reset()
        return batches

    def close(self):
        self.connection.close()


class AgentGpt(Http):
    """An env behind AgentGPT's wire in msgpack."""

    media = "application/x-msgpack"

    def __init__(self, port):
        import msgpack

        self.dumps, self.loads = msgpack.packb, msgpack.unpackb
        Http.__init__(self, port)

    def make(self):
        entry = {"env_entry_point": None, "env_dir": None}
        self.ask("/make", {"env_key": "k", "env_id": CARTPOLE, **entry})

    def reset(self):
        self.ask("/reset", {"env_key": "k", "seed": None, "options": None})

    def step(self, action):
        told = self.ask("/step", {"env_key": "k", "action": action})
        return told["terminated"] or told["truncated"]


class GymHttp(Http):
    """An env behind gym-http-api's wire."""

    def make(self):
        self.name = self.ask("/v1/envs/", {"env_id": CARTPOLE})["instance_id"]

    def reset(self):
        self.ask(f"/v1/envs/{self.name}/reset/", {})

    def step(self, action):
        told = self.ask(f"/v1/envs/{self.name}/step/", {"action": action, "render": False})
        return told["done"]
