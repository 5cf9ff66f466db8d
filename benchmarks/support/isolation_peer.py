# SPDX-License-Identifier: MIT
"""The peers of `isolation.py`, each in a process of its own and in its own interpreter.

    isolation_peer.py bare ENV NUM_ENVS             loop over envs of this interpreter
    isolation_peer.py portal NAME PORT              Portal-Env's client
    isolation_peer.py ring ENV PREFIX NUM_ENVS      RingVectorEnv
    isolation_peer.py single ENV PREFIX             RingEnv
    isolation_peer.py start ENV prefix:P|micromamba:P   start, reset and close, once

It says that it is ready, then answers each line on stdin, a number of seconds, with the steps that
it made in that time. ENV is a registered id or FILE.py:FUNCTION. A reset takes time but is not a
step.
"""

import itertools
import json
import os
import random
import sys
import time

ACTION_BATCHES = 64
SEED = 7


def make_here(env):
    """Builds one env in this interpreter."""
    import gymnasium

    path, colon, function = env.partition(".py:")
    if not colon:
        return gymnasium.make(env)
    scope = {"__name__": "env_main"}
    with open(path + ".py", encoding="utf-8") as file:
        exec(compile(file.read(), path + ".py", "exec"), scope)
    return scope[function]()


class Bare:
    """A loop over envs; several get actions as numpy integers, as in a vector env."""

    def __init__(self, env, num_envs):
        import numpy as np

        self.envs = [make_here(env) for _ in range(int(num_envs))]
        batches = np.random.RandomState(SEED).randint(0, 2, (ACTION_BATCHES, len(self.envs)))
        rows = [list(batch) if len(self.envs) > 1 else batch.tolist() for batch in batches]
        self.actions = itertools.cycle(rows)
        for index, each in enumerate(self.envs):
            each.reset(seed=SEED + index)
        self.pairs = [(each.step, each.reset) for each in self.envs]

    def advance(self, batches):
        pairs = self.pairs
        for actions in itertools.islice(self.actions, batches):
            for (step, reset), action in zip(pairs, actions):  # noqa: B905 (Python 3.9)
                _obs, _reward, terminated, truncated, _info = step(action)
                if terminated or truncated:
                    reset()
        return batches * len(pairs)

    def close(self):
        for each in self.envs:
            each.close()


class Single:
    """One env behind something, step by step."""

    def __init__(self, env):
        self.env = env
        draw = random.Random(SEED)
        self.actions = itertools.cycle([draw.randrange(2) for _ in range(ACTION_BATCHES)])
        env.reset()
        # what a user asks first; Portal-Env asks the other side each time
        assert env.observation_space.shape == (4,), env.observation_space
        assert env.action_space.n == 2, env.action_space

    def advance(self, batches):
        step, reset = self.env.step, self.env.reset
        for action in itertools.islice(self.actions, batches):
            _obs, _reward, terminated, truncated, _info = step(action)
            if terminated or truncated:
                reset()
        return batches

    def close(self):
        self.env.close()


def portal(name, port):
    from portal_env import AgentSidePortal
    from portal_env.config import config

    config.env_ports[name] = int(port)
    return Single(AgentSidePortal(name))


class Ring:
    """A vector env with two workers, in its default next-step autoreset."""

    def __init__(self, env, prefix, num_envs):
        import numpy as np

        import envring

        self.num_envs = int(num_envs)
        sources = [envring.EnvSource(env)] * self.num_envs
        launcher = envring.Prefix(prefix)
        self.envs = envring.RingVectorEnv(sources, launcher=launcher, num_workers=2)
        batches = np.random.RandomState(SEED).randint(0, 2, (ACTION_BATCHES, self.num_envs))
        self.actions = itertools.cycle(list(batches))
        self.envs.reset(seed=SEED)
        self.ended = 0

    def advance(self, batches):
        step, flags = self.envs.step, []
        for actions in itertools.islice(self.actions, batches):
            _obs, _rewards, terminated, truncated, _infos = step(actions)
            flags.append((terminated, truncated))
        resets = 0
        for terminated, truncated in flags:
            resets += self.ended  # an env that ended in one batch spends the next on its reset
            self.ended = int((terminated | truncated).sum())
        return batches * self.num_envs - resets

    def close(self):
        self.envs.close()


def single(env, prefix):
    import envring

    return Single(envring.make(env, launcher=envring.Prefix(prefix)))


PEERS = {"bare": Bare, "portal": portal, "ring": Ring, "single": single}


def measure(peer, seconds):
    """Steps for some time; the first tenth is not counted, it wakes sleeping processes."""
    clock = time.perf_counter
    start, batches = clock(), 0
    while batches < 2 or clock() - start < seconds / 10:
        peer.advance(1)
        batches += 1
    chunk = max(1, int(min(seconds / 50, 0.005) * batches / (clock() - start)))
    steps, start = 0, clock()
    while True:
        steps += peer.advance(chunk)
        elapsed = clock() - start
        if elapsed >= seconds:
            return {"steps": steps, "seconds": elapsed}


def start_once(env, launcher):
    """Seconds from the call to the first observation, in a process that has never done it."""
    import envring

    say(ready=True)
    sys.stdin.readline()
    start = time.perf_counter()
    made = envring.make(env, launcher=launcher)
    made.reset(seed=SEED)
    seconds = time.perf_counter() - start
    made.close()
    say(seconds=seconds)


def say(**fields):
    replies.write(json.dumps(fields) + "\n")
    replies.flush()


def main(kind, *arguments):
    if kind == "start":
        start_once(*arguments)
        return
    peer = PEERS[kind](*arguments)
    say(ready=True)
    for line in sys.stdin:
        say(**measure(peer, float(line)))
    peer.close()


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what envs print must not mix with answers
    main(*sys.argv[1:])
