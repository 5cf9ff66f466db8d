# SPDX-License-Identifier: MIT
"""Seeds for the global generators of workers: those of `random` and `numpy.random`.

A forked worker inherits the state of the caller's. Envs that draw from it would draw the same in
every worker.
"""

from __future__ import annotations

import hashlib
import itertools
import pickle
import random
from typing import Any

import numpy as np

_numbers = itertools.count()


def next_seeds() -> tuple[int, int]:
    """Seeds for a worker's `random` and `numpy.random`, different ones at each call.

    They follow from the states of the caller's generators, which stay as they are. So a program
    that seeds these gets the same seeds whenever it runs.
    """
    number = next(_numbers)
    return _digest(number, random.getstate()), _digest(number, np.random.get_state(legacy=False))


def _digest(number: int, state: Any) -> int:
    data = hashlib.blake2b(pickle.dumps((number, state)), digest_size=16).digest()
    return int.from_bytes(data, "little")


def seed_generators(seeds: tuple[int, int]) -> None:
    """Seeds this process's `random` and `numpy.random`."""
    of_random, of_numpy = seeds
    random.seed(of_random)
    # not np.random.seed: it takes 32 bits, and only if the generator is a Mersenne Twister
    name: Any = np.random.get_state(legacy=False)["bit_generator"]
    np.random.set_state(getattr(np.random, name)(of_numpy).state)
