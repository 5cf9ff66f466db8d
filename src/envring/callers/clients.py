# SPDX-License-Identifier: MIT
"""Which env asks which server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envring.errors import LauncherError, SourceError
from envring.transport.addresses import Address

if TYPE_CHECKING:
    from envring.launchers.sources import EnvSource


def client(address: Address, source: EnvSource) -> Any:
    """An env that asks the server at an address.

    Raises:
        LaunchError: the server cannot be reached, refuses, or does not answer; the type says why.
    """
    asked = source.request()
    if asked["args"]:
        raise SourceError(f"{address} is told an env and its keyword arguments, nothing else.")
    env, kwargs = asked["env"], dict(source.kwargs)
    extra = "web" if address.scheme.startswith("openenv") else "grpc"
    try:
        if extra == "grpc":
            from envring.callers.dm_env_rpc import DmEnvRpcClient

            return DmEnvRpcClient(address, env, kwargs)
        from envring.callers.openenv import OpenEnvClient

        return OpenEnvClient(address, env, kwargs)
    except ImportError as error:
        raise LauncherError(
            f"{address} needs {error.name}, which is not installed: pip install 'envring[{extra}]'."
        ) from None
