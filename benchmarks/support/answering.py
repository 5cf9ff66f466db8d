# SPDX-License-Identifier: MIT
"""What each peer does in its process, in any Python from 3.8 on.

It says that it is ready, then answers each line on stdin, a number of seconds, with the steps that
it made in that time.
"""

import itertools
import json
import os
import random
import sys
import time

ACTION_BATCHES = 64
SEED = 7


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


class Answers:
    """Lines to who asks. What envs print goes to stderr from now on: it must not mix with them."""

    def __init__(self):
        self._file = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def say(self, **fields):
        self._file.write(json.dumps(fields) + "\n")
        self._file.flush()

    def serve(self, peer):
        """Answers until stdin ends."""
        self.say(ready=True)
        for line in sys.stdin:
            self.say(**measure(peer, float(line)))
        peer.close()
