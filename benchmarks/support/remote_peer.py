# SPDX-License-Identifier: MIT
"""The peers of `remote.py` and what serves them, each in a process and an interpreter of its own.

Servers say that they are ready and where, and end when stdin does:

    remote_peer.py host ENV...                envs on our host
    remote_peer.py pong REQUEST REPLY         answers so many bytes with so many
    remote_peer.py proxy URL SECONDS          a network that takes so long in each direction
    remote_peer.py remote-gym-server PORT     remote-gym, in its thread mode
    remote_peer.py openenv-server PORT        OpenEnv
    remote_peer.py listen URL ENV...          our host, for other projects' clients
    remote_peer.py gymie-server PORT          Gymie
    remote_peer.py agent-gpt-server PORT      AgentGPT's server of envs

Peers do what `answering.py` says. A step is one call, of one env or of a vector env. ENV is what
`envring.make` takes, or "module:callable NUMBER":

    remote_peer.py ring ENV N WORKERS [REMOTES]   RingVectorEnv; workers here, or at each host
    remote_peer.py bare ENV N                     a loop over N envs, without any vector env
    remote_peer.py single ENV REMOTES             RingEnv
    remote_peer.py ping URL REQUEST REPLY         bytes to `pong` and back
    remote_peer.py actors ADDRESS COUNT N         Ray actors, each a SyncVectorEnv of N CartPoles
    remote_peer.py actor ADDRESS                  a Ray actor with one CartPole
    remote_peer.py remote-gym PORT                remote-gym's client
    remote_peer.py openenv PORT                   OpenEnv's client
    remote_peer.py gymie PORT                     a WebSocket, with Gymie's messages
    remote_peer.py agent-gpt PORT                 HTTP, with AgentGPT's messages in msgpack
    remote_peer.py gym-http PORT                  HTTP, with gym-http-api's messages
    remote_peer.py our-tensors                    an image as bytes of dm_env_rpc, and back
    remote_peer.py their-tensors                  the same with DeepMind's tensor_utils
"""

import itertools
import os
import socket
import sys
import threading

from answering import ACTION_BATCHES, SEED, Answers, Single
from wire_peers import AgentGpt, GymHttp, Gymie, OpenEnv, OurTensors, TheirTensors, remote_gym

HERE = os.path.dirname(os.path.abspath(__file__))
CARTPOLE = "CartPole-v1"
CLUSTER_OPTIONS = {"log_to_driver": False, "logging_level": "ERROR"}


# -- servers -------------------------------------------------------------------------------------


def host(answers, *envs):
    import envring

    with envring.serve(list(envs)) as served:
        answers.say(ready=True, url=served.url)
        sys.stdin.read()


def pong(answers, request, reply):
    request, reply = int(request), b"." * int(reply)
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    def answer(sock):
        room = bytearray(request)
        while receive(sock, memoryview(room)):
            sock.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    answers.say(ready=True, url=f"tcp://127.0.0.1:{server.getsockname()[1]}")
    sys.stdin.read()


def receive(sock, room):
    """Fills the room; False if the connection ended."""
    while room:
        count = sock.recv_into(room)
        if not count:
            return False
        room = room[count:]
    return True


def proxy(answers, url, seconds):
    import ctypes

    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "tests", "support"))
    from proxy import Proxy

    # PR_SET_TIMERSLACK: sleeps end within a microsecond, not 50
    ctypes.CDLL(None).prctl(29, ctypes.c_ulong(1000))
    with Proxy(url, delay=float(seconds), spin=1e-4) as made:
        answers.say(ready=True, url=made.url)
        sys.stdin.read()


def remote_gym_server(answers, port):
    os.chdir(
        os.path.join(HERE, "remote_env")
    )  # the entrypoint must lie below the working directory
    from remote_gym import create_remote_environment_server

    server = create_remote_environment_server(
        {"entrypoint": "entrypoint.py"}, "127.0.0.1", int(port), use_thread=True
    )
    answers.say(ready=True, url=port)
    sys.stdin.read()
    server.stop(0)


def openenv_server(answers, port):
    sys.path.insert(0, os.path.join(HERE, "remote_env"))
    import uvicorn
    from openenv_cartpole import app

    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=int(port), log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.05)
    answers.say(ready=server.started, url=port)
    sys.stdin.read()
    server.should_exit = True
    thread.join(5)


def listen(answers, url, *envs):
    import envring

    with envring.serve(list(envs), listen=url) as served:
        answers.say(ready=True, url=served.url.rpartition(":")[2])
        sys.stdin.read()


def gymie_server(answers, port):
    import gymie

    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (it logs requests)
    sys.stderr = sys.stdout
    _until_stdin_ends()
    answers.say(ready=True, url=port)
    gymie.start("127.0.0.1", int(port))


def agent_gpt_server(answers, port):
    from agent_gpt.env_host.env_api import EnvAPI
    from agent_gpt.wrappers.gym_env import GymEnv

    _until_stdin_ends()
    answers.say(ready=True, url=port)
    EnvAPI(GymEnv, "127.0.0.1", int(port)).run_server()


def _until_stdin_ends():
    def wait():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


# -- peers ---------------------------------------------------------------------------------------


class Vector:
    """A vector env of two actions, step by step."""

    def __init__(self, envs, num_envs):
        import numpy as np

        self.envs = envs
        draw = np.random.RandomState(SEED)
        self.actions = itertools.cycle(list(draw.randint(0, 2, (ACTION_BATCHES, num_envs))))
        envs.reset(seed=SEED)

    def advance(self, batches):
        step = self.envs.step
        for actions in itertools.islice(self.actions, batches):
            step(actions)
        return batches

    def close(self):
        self.envs.close()


def ring(env, num_envs, workers, remotes=None):
    import envring

    name, *seconds = env.split()
    args = tuple(float(each) for each in seconds)
    source = (envring.EnvSource.elsewhere if remotes else envring.EnvSource)(name, args)
    envs = envring.RingVectorEnv(
        [source] * int(num_envs), num_workers=int(workers), remotes=remotes
    )
    return Vector(envs, int(num_envs))


class Bare:
    """Envs in this process, stepped by a plain loop."""

    def __init__(self, env, num_envs):
        from envring import EnvSource

        name, *seconds = env.split()
        source = EnvSource(name, tuple(float(each) for each in seconds))
        self.envs = [source() for _ in range(int(num_envs))]
        for each in self.envs:
            each.reset(seed=SEED)

    def advance(self, batches):
        steps = [each.step for each in self.envs]
        for _ in range(batches):
            for step in steps:
                step(0)
        return batches

    def close(self):
        for each in self.envs:
            each.close()


def single(env, remotes):
    import envring

    return Single(envring.make(env, remotes=remotes))


class Ping:
    """Bytes there and others back."""

    def __init__(self, url, request, reply):
        name, _, port = url.partition("://")[2].rpartition(":")
        self.sock = socket.create_connection((name, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request, self.reply = b"." * int(request), memoryview(bytearray(int(reply)))

    def advance(self, batches):
        for _ in range(batches):
            self.sock.sendall(self.request)
            assert receive(self.sock, self.reply)
        return batches

    def close(self):
        self.sock.close()


class Actors:
    """What is written at first: a vector env in each actor, and a call of each for every batch."""

    def __init__(self, address, count, num_envs):
        import numpy as np
        import ray

        count, num_envs = int(count), int(num_envs)
        ray.init(address, **CLUSTER_OPTIONS)

        @ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
        class Envs:
            def __init__(self):
                import gymnasium

                self.envs = gymnasium.make_vec(CARTPOLE, num_envs, vectorization_mode="sync")

            def reset(self, seed):
                return self.envs.reset(seed=seed)

            def step(self, actions):
                return self.envs.step(actions)

        self.get = ray.get
        self.actors = [Envs.remote() for _ in range(count)]
        self.get([each.reset.remote(SEED) for each in self.actors])
        draw = np.random.RandomState(SEED)
        self.actions = itertools.cycle(list(draw.randint(0, 2, (ACTION_BATCHES, count, num_envs))))

    def advance(self, batches):
        import numpy as np

        for actions in itertools.islice(self.actions, batches):
            parts = self.get(
                [
                    each.step.remote(one)
                    for each, one in zip(self.actors, actions)  # noqa: B905 (Python 3.9)
                ]
            )
            for field in range(4):
                np.concatenate([part[field] for part in parts])
        return batches

    def close(self):
        import ray

        ray.shutdown()


class RayEnv:
    """One env in an actor."""

    def __init__(self, address):
        import ray

        ray.init(address, **CLUSTER_OPTIONS)

        @ray.remote(num_cpus=1)
        class Env:
            def __init__(self):
                import gymnasium

                self.env = gymnasium.make(CARTPOLE)

            def reset(self):
                return self.env.reset()

            def step(self, action):
                return self.env.step(action)

            def spaces(self):
                return self.env.observation_space, self.env.action_space

        self.get, self.env = ray.get, Env.remote()
        self.observation_space, self.action_space = self.get(self.env.spaces.remote())

    def reset(self):
        return self.get(self.env.reset.remote())

    def step(self, action):
        return self.get(self.env.step.remote(action))

    def close(self):
        import ray

        ray.shutdown()


SERVERS = {
    "host": host,
    "pong": pong,
    "proxy": proxy,
    "remote-gym-server": remote_gym_server,
    "openenv-server": openenv_server,
    "listen": listen,
    "gymie-server": gymie_server,
    "agent-gpt-server": agent_gpt_server,
}
PEERS = {
    "ring": ring,
    "bare": Bare,
    "single": single,
    "ping": Ping,
    "actors": Actors,
    "actor": lambda address: Single(RayEnv(address)),
    "remote-gym": remote_gym,
    "openenv": OpenEnv,
    "gymie": Gymie,
    "agent-gpt": AgentGpt,
    "gym-http": GymHttp,
    "our-tensors": OurTensors,
    "their-tensors": TheirTensors,
}


def main(kind, *arguments):
    answers = Answers()
    if kind in SERVERS:
        SERVERS[kind](answers, *arguments)
    else:
        answers.serve(PEERS[kind](*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
