# SPDX-License-Identifier: MIT
"""`envring.serve`: from a few arguments to a host that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from envring.errors import AddressError
from envring.gateways.host import Host, Listener
from envring.gateways.options import HostOptions
from envring.gateways.runtimes import Runtime, Runtimes, load
from envring.launchers.base import Launcher
from envring.launchers.registry import resolve
from envring.transport.addresses import Address, parse
from envring.transport.listening import bind
from envring.transport.tls import Certificates, server_context

LISTEN = "tcp://127.0.0.1:0"


def serve(
    env: str | Sequence[str] | None = None,
    *,
    listen: str | Sequence[str] = LISTEN,
    num_envs: int | None = None,
    launcher: Launcher | str | None = None,
    kwargs: Mapping[str, Any] | None = None,
    config: str | os.PathLike[str] | None = None,
    runtimes: Sequence[Runtime] = (),
    connect: str | Sequence[str] = (),
    cert: str | os.PathLike[str] | None = None,
    certkey: str | os.PathLike[str] | None = None,
    client_ca: str | os.PathLike[str] | None = None,
    metrics: str | int | None = None,
    **options: Any,
) -> Host:
    """Serves envs to other processes and machines.

    Args:
        env: what to serve: an id ("CartPole-v1"), "module:callable", "file.py:attr", "dir:PATH",
            "recipe:NAME", or several of them. Nothing else can be asked for.
        listen: addresses: "tcp://127.0.0.1:7777", "tls://0.0.0.0:7777", "unix:///run/e.sock";
            "grpc://127.0.0.1:7778" and "grpcs://..." for callers that speak dm_env_rpc, which needs
            envring[grpc];
            "http://127.0.0.1:8000" and "https://..." for other wires, which needs envring[web].
        num_envs: the most envs at a time, of all callers together; None for no limit.
        launcher: the interpreter of the workers; see RingVectorEnv. None: this one, in processes
            of their own.
        kwargs: keyword arguments of every env.
        config: a serve.toml with further runtimes.
        runtimes: further runtimes.
        connect: callers that wait for hosts, "tcp://HOST:PORT" or "tls://...", of which this host
            dials each again and again. They are shown the first of the keys, or key=.
        cert: certificate for tls://.
        certkey: its key, if it is not in the same file.
        client_ca: certificate of the authority that must have signed those of the callers.
        metrics: port of this machine, or "http://HOST:PORT", that answers /healthz, and /metrics
            for Prometheus.
        **options: fields of HostOptions: keys, grace, idle_timeout, insecure, ...

    Returns:
        A host: `url`, `urls`, `wait()`, `close()`. It is closed at the end of a `with` statement.

    Raises:
        AddressError: an address is in use, or not allowed without `insecure=True`.
        SpecError: the config is malformed.
        LauncherError: there is no such launcher.
        TypeError: there is no such option.

    Example:
        >>> import envring
        >>> with envring.serve("CartPole-v1") as host:
        ...     envs = envring.make_vec("CartPole-v1", num_envs=2, remotes=host.url)
        ...     observations, infos = envs.reset(seed=1)
        ...     envs.close()
        >>> observations.shape
        (2, 4)
    """
    served = list(runtimes)
    if env is not None:
        names = (env,) if isinstance(env, str) else tuple(env)
        where = resolve(launcher)
        served.append(Runtime("default", names, where, dict(kwargs or {})))
    if config is not None:
        served += load(config)
    addresses = _parsed(listen, (*OWN, *OTHERS), "to listen on")
    for address in addresses:
        if address.options:
            raise AddressError(f"{address}: an address to listen on has no options.")
    callers = _parsed(connect, ("tcp", "tls"), "to dial")
    files = None if cert is None else Certificates(cert, certkey, client_ca)
    tls = None if files is None else server_context(files.cert, files.certkey, files.client_ca)
    own = [address for address in addresses if address.scheme in OWN]
    host = Host(Runtimes(served), own, HostOptions(**options), num_envs, tls, callers)
    try:
        for address in addresses:
            if address.scheme in OTHERS:
                host.add_listener(OTHERS[address.scheme](host, address, files))
        if metrics is not None:
            from envring.gateways.metrics import Metrics  # the servers of HTTP take time to import

            host.metrics = Metrics(host, metrics)
    except BaseException:
        host.close()
        raise
    return host


def _listen_grpc(host: Host, address: Address, tls: Certificates | None) -> Listener:
    try:
        from envring.gateways.dm_env_rpc.listener import GrpcListener
    except ImportError as error:
        raise AddressError(
            f"{address} needs {error.name}, which is not installed: pip install 'envring[grpc]'."
        ) from None
    return GrpcListener(host, address, tls)


def _listen_web(host: Host, address: Address, files: Certificates | None) -> Listener:
    try:
        from envring.gateways.web.server import WebServer
    except ImportError as error:
        raise AddressError(
            f"{address} needs {error.name}, which is not installed: pip install 'envring[web]'."
        ) from None
    tls = None
    if address.scheme == "https":
        if files is None:
            raise AddressError(f"{address} needs a certificate: cert=FILE, certkey=FILE.")
        tls = server_context(files.cert, files.certkey, files.client_ca)
    advice = "Use https://, or give --insecure if the network is yours alone."
    return WebServer(host, *bind(address, tls, host.options.insecure, advice), tls)


OWN = ("tcp", "tls", "unix")
OTHERS = {
    "grpc": _listen_grpc,
    "grpcs": _listen_grpc,
    "http": _listen_web,
    "https": _listen_web,
}


def _parsed(given: str | Sequence[str], schemes: Sequence[str], what: str) -> list[Address]:
    found = [parse(each) for each in ([given] if isinstance(given, str) else given)]
    for address in found:
        if address.scheme not in schemes:
            known = ", ".join(f"{scheme}://" for scheme in schemes)
            raise AddressError(f"{address} is not an address {what}: {known}.")
    return found
