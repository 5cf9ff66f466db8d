# SPDX-License-Identifier: MIT
"""The conformance suite once more, by other ways to a host.

TLS, a unix socket, ssh, a bad network, and workers here beside a host.
"""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace
from typing import Any, ClassVar, Generic

import cloudpickle
import pytest

import envring.testing
from envring import Python, RemoteEnvError, serve
from envring.gateways.certificates import make
from envring.testing import AsyncVectorEnvConformance
from foreign.test_conformance import KNOWN_DIFFERENT, LOADER
from gateways.test_conformance import Action, Observation, RemoteRing
from support.known_failures import mark_known_failures
from support.proxy import Proxy
from support.sshd import PROGRAM, Sshd

pytestmark = pytest.mark.long


class TlsRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """With a certificate of the caller's own."""


class UnixRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """Over a unix socket."""


class ProxiedRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """Over a network that takes a millisecond and splits what it carries."""


class SshRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """On a host that is started over ssh, for each vector env anew."""


class MixedRing(RemoteRing[Observation, Action], Generic[Observation, Action]):
    """With one worker here and the other envs on a host."""

    @functools.wraps(RemoteRing.__init__)
    def __init__(self, env_fns: Any, *args: Any, **kwargs: Any) -> None:
        # as if they were of another interpreter: their errors are text, too
        super().__init__(env_fns, *args, launcher=Python(sys.executable), **kwargs)


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
        MixedRing.host = SimpleNamespace(url=f"1,{host.urls[0]}")
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


class TestMixedEnvs(_Envs):
    vector_class = MixedRing


@pytest.mark.skipif(
    PROGRAM is None, reason="there is no sshd here: remotes='ssh://...' stays untried"
)
class TestSshEnvs(_Envs):
    vector_class = SshRing

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _sshd(cls, tmp_path_factory):
        server = Sshd(tmp_path_factory.mktemp("sshd"))
        SshRing.host = SimpleNamespace(url=server.url())
        yield
        server.end()
