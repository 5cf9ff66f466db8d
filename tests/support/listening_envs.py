# SPDX-License-Identifier: MIT
"""Envs with actions of every kind, which say what they were told."""

from gymnasium.spaces import Dict, Discrete, Sequence, Text

from envring.testing import CountingEnv


class Listening(CountingEnv):
    """Says in its infos what it was told, and of which type."""

    def step(self, action):
        observation, *outcome, info = super().step(0)
        return observation, *outcome, {**info, "told": repr(action)}


class Texts(Listening):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.action_space = Text(5)


class Sequences(Listening):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.action_space = Sequence(Discrete(5))


class Mixed(Listening):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.action_space = Dict(x=Discrete(3), y=Text(5))
