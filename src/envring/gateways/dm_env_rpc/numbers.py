# SPDX-License-Identifier: MIT
"""Numbers that dm_env_rpc v1 gives to requests, answers and states."""

CREATE, JOIN, STEP, RESET, RESET_WORLD, LEAVE, DESTROY = range(1, 8)
EXTENSION, ERROR = 15, 16
RUNNING, TERMINATED, INTERRUPTED = 1, 2, 3
SPACES = 1000  # field of a JoinWorldResponse that only this project's clients know
