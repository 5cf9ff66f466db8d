# SPDX-License-Identifier: MIT
"""The end of a session as plain data: what a CLOSE asks for, and what a CLOSED tells."""

from __future__ import annotations

from typing import Any

from envring.errors import CodecError, WireError
from envring.pool.ending import Closing
from envring.transport import codec

_LONGEST = 3600.0  # seconds that a caller may give its envs to close


def wish(seconds: float, terminate: bool) -> bytes:
    """The body of a CLOSE whose answer is to tell what became of the envs."""
    return codec.dumps({"timeout": float(seconds), "terminate": terminate})


def read_wish(body: bytes) -> tuple[float | None, bool]:
    """(seconds for the envs to close, whether they are ended instead) that a CLOSE asks for.

    One that is empty, or has neither, asks for nothing: its answer is True.

    Raises:
        CodecError: it is not a value.
        WireError: it does not say that.
    """
    if not body:
        return None, False
    asked = codec.loads(body)
    if not isinstance(asked, dict):
        raise WireError("expected a CLOSE with a dict")
    match asked.get("timeout"), asked.get("terminate", False):
        case (None, False):
            return None, False
        case (int() | float() as seconds, bool() as terminate) if seconds >= 0:
            return float(min(seconds, _LONGEST)), terminate
    raise WireError("expected a CLOSE with a timeout and whether to terminate")


def told(closing: Closing) -> dict[str, Any]:
    """What a CLOSED says of the envs."""
    return {
        "waited": closing.waited,
        "killed": [(list(env_ids), pid) for env_ids, pid in closing.killed],
        "raised": [tuple(each) for each in closing.raised],
    }


def read_told(body: bytes, env_ids: range) -> Closing | None:
    """What became of the envs; None if the host does not say, or cannot be understood.

    Args:
        body: of a CLOSED.
        env_ids: ids here of the envs of the session.
    """
    try:
        match codec.matchable(codec.loads(body)):
            case {
                "waited": str() as waited,
                "killed": list() as killed,
                "raised": list() as raised,
            } if max(len(killed), len(raised)) <= len(env_ids):
                return Closing(
                    waited,
                    [_killed(each, env_ids) for each in killed],
                    [_raised(each, env_ids) for each in raised],
                )
    except CodecError:
        pass
    return None


def _killed(row: Any, env_ids: range) -> tuple[list[int], int]:
    match codec.matchable(row):
        case (list() as which, int() as pid) if which and 0 <= pid < 1 << 32:
            return [_here(env_id, env_ids) for env_id in which], pid
    raise CodecError("what arrived does not say who was killed")


def _raised(row: Any, env_ids: range) -> tuple[int, str, str]:
    match codec.matchable(row):
        case (int() as env_id, str() as text, str() as trace):
            return _here(env_id, env_ids), text, trace
    raise CodecError("what arrived does not say which env raised")


def _here(env_id: Any, env_ids: range) -> int:
    if type(env_id) is not int or not 0 <= env_id < len(env_ids):
        raise CodecError("what arrived is of other envs")
    return env_ids[env_id]
