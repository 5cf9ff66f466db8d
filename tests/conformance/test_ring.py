# SPDX-License-Identifier: MIT
"""The conformance suite on RingVectorEnv, with both step loops, in the caller and in workers."""

from __future__ import annotations

from typing import Any, ClassVar

from envring import RingVectorEnv
from envring.testing import AsyncVectorEnvConformance


class TestCompiledInWorkers(AsyncVectorEnvConformance):
    vector_class = RingVectorEnv
    vector_kwargs: ClassVar[dict[str, Any]] = {"step_loop": "compiled", "num_workers": 2}


class TestReferenceInWorkers(AsyncVectorEnvConformance):
    vector_class = RingVectorEnv
    vector_kwargs: ClassVar[dict[str, Any]] = {"step_loop": "reference", "num_workers": 2}


class TestCompiledInCaller(AsyncVectorEnvConformance):
    vector_class = RingVectorEnv
    vector_kwargs: ClassVar[dict[str, Any]] = {"step_loop": "compiled", "num_workers": 0}
    in_process = True


class TestReferenceInCaller(AsyncVectorEnvConformance):
    vector_class = RingVectorEnv
    vector_kwargs: ClassVar[dict[str, Any]] = {"step_loop": "reference", "num_workers": 0}
    in_process = True


class TestCallerSteps(AsyncVectorEnvConformance):
    vector_class = RingVectorEnv
    vector_kwargs: ClassVar[dict[str, Any]] = {"num_workers": 1, "caller_steps": True}
    in_process = True
