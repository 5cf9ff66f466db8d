# SPDX-License-Identifier: MIT
"""Channels over TLS: whom py-rattler trusts is what conda's configuration says."""

import functools
import os
import ssl
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from envring.errors import SolveError
from envring.gateways import certificates
from envring.launchers.micromamba import Micromamba
from prefixes import small
from prefixes.small import origins, package


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    certificates.make(directory, ["localhost"])
    return directory


@pytest.fixture(scope="module")
def url(made, tmp_path_factory):
    """A channel behind a certificate that a CA of its own has signed."""
    home = tmp_path_factory.mktemp("channels") / "mirror"
    small.make(home, lab=(*small.pythons(), package("tool", "2.0")))
    handler = functools.partial(Files, directory=str(home))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made / "server.pem", made / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}/lab"
        server.shutdown()
        thread.join()


@pytest.fixture
def build(url, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", os.defpath)
    for name in ("SSL_CERT_FILE", "CONDA_SSL_VERIFY"):
        monkeypatch.delenv(name, raising=False)

    def build(condarc):
        (tmp_path / "condarc").write_text(condarc)
        monkeypatch.setenv("CONDARC", str(tmp_path / "condarc"))
        path = tmp_path / "spec.yml"
        path.write_text(f"channels: ['{url}']\ndependencies: [python=3.8, tool]")
        entry, _ = Micromamba(path, solver="rattler").obtain()
        return origins(entry.prefix)["tool"][0]

    return build


def test_unknown_authority_is_refused(build):
    with pytest.raises(SolveError):
        build("")


def test_ssl_verify_names_the_authority(build, made):
    assert build(f"ssl_verify: {made / 'ca.pem'}\n") == "2.0"


def test_ssl_verify_is_off(build):
    assert build("ssl_verify: false\n") == "2.0"


def test_variable_goes_first(build, monkeypatch, made):
    monkeypatch.setenv("CONDA_SSL_VERIFY", str(made / "ca.pem"))
    assert build("ssl_verify: true\n") == "2.0"
