# SPDX-License-Identifier: MIT
"""Page-locked memory: CUDA copies from it while the caller goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envring.errors import EnvringError

_PORTABLE = 1  # cudaHostRegisterPortable: for every device


def cuda_runtime() -> Any:
    """CUDA's runtime, as torch has it.

    Raises:
        EnvringError: torch is not installed, or finds no CUDA device.
    """
    try:
        import torch
    except ImportError as error:
        raise EnvringError(
            "pin_memory=True page-locks memory by way of torch, which is not installed."
        ) from error
    if not torch.cuda.is_available():
        raise EnvringError(
            "pin_memory=True page-locks memory for CUDA, and torch finds no CUDA device here. "
            "Leave it out."
        )
    return torch.cuda.cudart()


def page_lock(runtime: Any, address: int, nbytes: int) -> Callable[[], None]:
    """Page-locks memory.

    Returns:
        What undoes it. To be called before the memory is unmapped.

    Raises:
        EnvringError: CUDA refuses.
    """
    status = runtime.cudaHostRegister(address, nbytes, _PORTABLE)
    if int(status) != 0:
        raise EnvringError(f"CUDA cannot page-lock the slots: {status}.")

    def undo() -> None:
        runtime.cudaHostUnregister(address)

    return undo
