# SPDX-License-Identifier: MIT
"""Runs in a worker: builds an env from a function that was pickled into a file.

Only for tests, and only where both sides are the same interpreter: it lets a suite whose envs are
functions run in workers that take nothing but data.
"""

import pickle


def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)()
