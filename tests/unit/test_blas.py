# SPDX-License-Identifier: MIT
"""Threads of libraries while workers are started."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from envring.workers import blas


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in that has three threads."""
    module = SimpleNamespace(count=3, calls=[])
    module.get_num_threads = lambda: module.count

    def set_num_threads(count: int) -> None:
        module.calls.append(count)
        module.count = count

    module.set_num_threads = set_num_threads
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_torch_uses_one_thread_meanwhile(torch: SimpleNamespace) -> None:
    """Its MKL is inside of libtorch_cpu.so, where no setter of MKL is found by name."""
    with blas.limited(1):
        assert torch.count == 1
    assert torch.count == 3
    with pytest.raises(ZeroDivisionError), blas.limited(1):
        1 / 0  # noqa: B018
    assert torch.calls == [1, 3, 1, 3]


def test_torch_stays_as_it_is(torch: SimpleNamespace) -> None:
    with blas.limited(None):
        assert torch.count == 3
    with blas.limited(3):
        assert torch.count == 3
    assert torch.calls == []


def test_torch_that_is_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    with blas.limited(1):
        pass
