# SPDX-License-Identifier: MIT
"""What a host is told of its envs, and what it says of them, with the ids that they have here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from envring._foreign.envring_worker.data.infos import template_signature
from envring.errors import CodecError, UnsendableError, WireError
from envring.launchers.sources import EnvSource
from envring.pool.reply import Reply
from envring.transport import codec
from envring.transport.addresses import Address
from envring.workers.options import PoolOptions

AUTORESET_MODES = ("NextStep", "SameStep", "Disabled")

_TAKE_NAMES = ("get_wrapper_attr", "has_wrapper_attr", "set_wrapper_attr")  # of attributes
_MEMBERS = {"failures", "dynamic", "finals", "objects", "infos", "results"}


def wish(
    address: Address,
    sources: Sequence[EnvSource],
    options: PoolOptions,
    workers: int | None,
    heartbeat: float,
) -> dict[str, Any]:
    """What a host is asked for: an OPEN."""
    return {
        "runtime": address.options.get("runtime"),
        "sources": [source.request() for source in sources],
        "autoreset_mode": AUTORESET_MODES[options.autoreset_mode],
        "compiled": options.compiled,
        "on_unsendable": options.on_unsendable,
        "workers": workers,
        "limits": asdict(options.limits),
        "start_timeout": options.start_timeout,
        "heartbeat": heartbeat,
    }


def check_description(description: Mapping[str, Any], num_envs: int) -> None:
    """Refuses a description that does not say which spaces the envs have; see `build_space`."""
    for name in ("observation_spaces", "action_spaces"):
        match codec.matchable(description.get(name)):
            case (list() as kinds, list() as which) if len(which) == num_envs and all(
                type(kind) is int and 0 <= kind < len(kinds) for kind in which
            ):
                continue
        raise WireError(f"a host did not say which {name} its envs have")


def encode(name: str, arguments: list[Any], host: object) -> tuple[str, int, bytes]:
    """(name, slot or -1, bytes) of a message.

    Raises:
        UnsendableError: something is not plain data, or a name that hosts refuse.
    """
    slot = -1
    sent: Any = (name, *arguments)
    if name == "reset":
        slot, sent = arguments[0], (name, *arguments[1:])
    elif name in ("actions", "some_actions"):
        sent = arguments[0]
    elif name == "reset_arguments":
        sent = arguments[0]
        for _, options in sent.values():
            if isinstance(options, dict) and isinstance(options.get("env_id"), str):
                raise UnsendableError(
                    "options['env_id'] asks for another env in the place of one, which "
                    "`async_reset` cannot do; nothing was sent. Call `reset` for that."
                )
    elif name == "templates":
        sent = [(number, template_signature(entries)) for number, entries in arguments[0]]
    elif name in ("call", "set_attr", "takes") and (inner := _asked(name, arguments)) is not None:
        raise UnsendableError(
            f"{inner!r:.100} cannot be asked of {host}; nothing was sent. Names that begin "
            "with two underscores lead out of an env, into its class and interpreter, so hosts "
            "refuse them. Give the env a method that does what you need."
        )
    try:
        return name, slot, codec.dumps(sent)
    except UnsendableError as error:
        raise UnsendableError(
            f"An argument cannot be sent to {host} ({error}); nothing was sent. Give plain data, "
            "or build such objects inside the envs."
        ) from error


def _asked(name: str, arguments: list[Any]) -> str | None:
    return inner_name(*arguments[: 3 if name == "call" else 1])


def inner_name(
    name: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> str | None:
    """The name in a call, a setting or a question that leads out of an env: hosts refuse it.

    Args:
        name: of an attribute, or a question about one ("get:NAME").
        args: of the call. Gymnasium's own methods may take a name here.
        kwargs: of the call.
    """
    names = [name]
    if name.rpartition(":")[2] in _TAKE_NAMES:
        names += [each for each in (*args[:1], *(kwargs or {}).values()) if isinstance(each, str)]
    return next((each for each in names if each.rpartition(":")[2].startswith("__")), None)


def read_reply(told: Any, env_ids: range, num_leaves: int) -> Reply:
    """What a batch has beyond arrays.

    Args:
        told: what came; its envs are counted from 0.
        env_ids: ids here of the envs of the session.
        num_leaves: leaves of an observation.

    Raises:
        CodecError: it is not a reply.
    """
    if not isinstance(told, dict) or not told.keys() <= _MEMBERS:
        raise _malformed()
    reply = Reply()
    failures = told.get("failures", [])
    if not isinstance(failures, list):
        raise _malformed()
    for row in failures:
        match codec.matchable(row):
            case (int() as env_id, str() as kind, str() as text, str() as trace):
                reply.failures.append((_here(env_id, env_ids), kind, None, text, trace))
            case _:
                raise _malformed()
    for leaf, values in _dict(told.get("dynamic", {})).items():
        if type(leaf) is not int or not 0 <= leaf < num_leaves:
            raise _malformed()
        reply.dynamic[leaf] = _by_env(values, env_ids)
    reply.finals = _by_env(told.get("finals", {}), env_ids)
    reply.objects = _by_env(told.get("objects", {}), env_ids)
    if not all(isinstance(values, list) for values in reply.objects.values()):
        raise _malformed()
    reply.odd = _by_env(told.get("infos", {}), env_ids)
    if "results" in told:
        results = told["results"]
        if not isinstance(results, list) or len(results) != len(env_ids):
            raise _malformed()
        reply.results = dict(zip(env_ids, results, strict=True))
    return reply


def _by_env(values: Any, env_ids: range) -> dict[int, Any]:
    return {_here(env_id, env_ids): value for env_id, value in _dict(values).items()}


def _here(env_id: Any, env_ids: range) -> int:
    if type(env_id) is not int or not 0 <= env_id < len(env_ids):
        raise _malformed()
    return env_ids[env_id]


def _dict(values: Any) -> dict[Any, Any]:
    if not isinstance(values, dict):
        raise _malformed()
    return values


def _malformed() -> CodecError:
    return CodecError("what arrived is not a reply")
