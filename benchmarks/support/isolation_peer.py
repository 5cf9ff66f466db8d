# SPDX-License-Identifier: MIT
"""The peers of `isolation.py`, each in a process of its own and in its own interpreter.

    isolation_peer.py bare ENV NUM_ENVS             loop over envs of this interpreter
    isolation_peer.py portal NAME PORT              Portal-Env's client
    isolation_peer.py ring ENV PREFIX NUM_ENVS      RingVectorEnv
    isolation_peer.py single ENV PREFIX             RingEnv
    isolation_peer.py start ENV prefix:P|micromamba:P   start, reset and close, once

`answering.py` says what they answer. ENV is a registered id or FILE.py:FUNCTION. A reset takes time
but is not a step.
"""

import itertools
import sys
import time

from answering import ACTION_BATCHES, SEED, Answers, Single


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


def start_once(answers, env, launcher):
    """Seconds from the call to the first observation, in a process that has never done it."""
    import envring

    answers.say(ready=True)
    sys.stdin.readline()
    start = time.perf_counter()
    made = envring.make(env, launcher=launcher)
    made.reset(seed=SEED)
    seconds = time.perf_counter() - start
    made.close()
    answers.say(seconds=seconds)


def main(kind, *arguments):
    answers = Answers()
    if kind == "start":
        start_once(answers, *arguments)
    else:
        answers.serve(PEERS[kind](*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
