# SPDX-License-Identifier: MIT
"""An env that looks around where it runs, for Python 3 with gymnasium."""

import os
import signal
import socket
import sys
import time

import gymnasium
import numpy as np
from plain_level import START


class Game(gymnasium.Env):
    """Adds up actions; can be asked to look around or to come to grief."""

    def __init__(self, bonus=0.0, noisy=False):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(5)
        self._bonus = bonus
        self._noisy = noisy
        self._trouble = None
        if noisy:
            self._say("made")

    def _say(self, what):
        print("stdout: " + what)
        sys.stdout.flush()
        os.write(1, b"written to 1\n")
        sys.stderr.write("stderr: " + what + "\n")

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        self._sum = START + float(self.np_random.integers(1000))
        return self._observe(), {"start": self._sum}

    def _observe(self):
        return np.array([self._sum, self._t, self._bonus])

    def step(self, action):
        if self._trouble == "raise":
            self._trouble = None
            raise KeyError("no such level")
        if self._trouble == "exit":
            sys.stderr.write("last words of the game\n")
            sys.stderr.flush()
            os._exit(3)
        if self._trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._trouble == "hang":
            while True:
                time.sleep(1000)
        if self._noisy:
            self._say("step")
        self._t += 1
        self._sum += int(action)
        done = self._t % 7 == 0
        return self._observe(), float(action) + self._bonus, done, False, {"t": self._t}

    def get_into(self, trouble):
        self._trouble = trouble

    def rest(self, seconds):
        time.sleep(seconds)

    def variable(self, name):
        return os.environ.get(name)

    def about(self):
        return {"prefix": sys.prefix, "path": list(sys.path), "isolated": sys.flags.no_user_site}

    def attempt(self, what, place):
        try:
            if what == "connect":
                with socket.create_connection(tuple(place), 5):
                    return "connected"
            with open(place, {"read": "r", "write": "w"}[what]) as file:
                return file.read() if what == "read" else "written"
        except OSError as error:
            return type(error).__name__


def make(bonus=0.0, noisy=False):
    return Game(bonus, noisy)


def fails():
    raise ValueError("this game needs a licence")
