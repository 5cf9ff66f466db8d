# SPDX-License-Identifier: MIT
"""The conformance suite once more, by other ways to a host: TLS, a unix socket, a bad network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar, Generic

import cloudpickle
import pytest

import envring.testing
from envring import RemoteEnvError, serve
from envring.gateways.certificates import make
from envring.testing import AsyncVectorEnvConformance
from foreign.test_conformance import KNOWN_DIFFERENT, LOADER
from gateways.test_conformance import Action, Observation, RemoteRing
from support.known_failures import mark_known_failures
from support.proxy import Proxy

pytestmark = pytest.mark.long


class TlsRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """With a certificate of the caller's own."""


class UnixRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """Over a unix socket."""


class ProxiedRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """Over a network that takes a millisecond and splits what it carries."""


@pytest.fixture(scope="module", autouse=True)
def _host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    make(folder, ["127.0.0.1"])
    listen = ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", f"unix://{folder}/socket"]
    files = {"cert": folder / "server.pem", "certkey": folder / "server.key"}
    options = f"ca={folder}/ca.pem&cert={folder}/client.pem&certkey={folder}/client.key"
    cloudpickle.register_pickle_by_value(envring.testing)
    with (
        serve(f"{LOADER}:load", listen=listen, client_ca=folder / "ca.pem", **files) as host,
        Proxy(host.urls[0], delay=0.001, split=700) as proxy,
    ):
        TlsRing.host = SimpleNamespace(url=f"{host.urls[1]}?{options}")
        UnixRing.host = SimpleNamespace(url=host.urls[2])
        ProxiedRing.host = proxy
        yield
    cloudpickle.unregister_pickle_by_value(envring.testing)


class _Envs(AsyncVectorEnvConformance):
    env_error = RemoteEnvError
    vector_kwargs: ClassVar[dict[str, Any]] = {}


mark_known_failures(_Envs, KNOWN_DIFFERENT)


class TestTlsEnvs(_Envs):
    vector_class = TlsRing


class TestUnixEnvs(_Envs):
    vector_class = UnixRing


class TestProxiedEnvs(_Envs):
    vector_class = ProxiedRing
