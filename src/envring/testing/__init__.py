# SPDX-License-Identifier: MIT
"""Environments, comparisons and a conformance suite for testing vector environments."""

from __future__ import annotations

from envring.testing.compare import assert_same_batch, fingerprint
from envring.testing.conformance import AsyncVectorEnvConformance, VectorEnvConformance
from envring.testing.deadline import deadline
from envring.testing.envs import (
    INFO_STYLES,
    BufferEnv,
    CountingEnv,
    ScriptedEnv,
    SpaceEnv,
    make_info,
)
from envring.testing.faulty import (
    DyingEnv,
    FailingEnv,
    FaultyEnv,
    GatedEnv,
    HangingEnv,
    NoisyEnv,
    SlowEnv,
)
from envring.testing.spaces import BOX_DTYPES, CustomSpace, example_spaces

__all__ = [
    "BOX_DTYPES",
    "INFO_STYLES",
    "AsyncVectorEnvConformance",
    "BufferEnv",
    "CountingEnv",
    "CustomSpace",
    "DyingEnv",
    "FailingEnv",
    "FaultyEnv",
    "GatedEnv",
    "HangingEnv",
    "NoisyEnv",
    "ScriptedEnv",
    "SlowEnv",
    "SpaceEnv",
    "VectorEnvConformance",
    "assert_same_batch",
    "deadline",
    "example_spaces",
    "fingerprint",
    "make_info",
]
