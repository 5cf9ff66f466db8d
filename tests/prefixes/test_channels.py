# SPDX-License-Identifier: MIT
"""Which channel a package comes from: by name, by alias, by priority, by conda's configuration."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from envring.errors import SolveError, SpecError
from envring.launchers.micromamba import Micromamba
from prefixes import small
from prefixes.small import origins, package


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """Two channels with the same packages in other versions, and one of its own."""
    home = tmp_path_factory.mktemp("channels") / "mirror"
    small.make(
        home,
        conda_forge=(*small.pythons(), package("tool", "1.0"), package("part", "1.0")),
        lab=(package("tool", "2.0", depends=("part >=2",)), package("part", "2.0")),
        extra__label__dev=(package("widget", "3.0"), package("part", "3.0")),
        main=(package("anaconda-only", "1.0"), package("tool", "0.5")),
        r=(package("r-base", "4.3"), package("tool", "0.6")),
    )
    return home


@pytest.fixture(autouse=True)
def by_rattler(mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", mirror.as_uri())


@pytest.fixture
def build(tmp_path):
    """A function that builds a spec and returns where its packages came from."""

    def build(text):
        path = tmp_path / "spec.yml"
        path.write_text(text)
        entry, _ = Micromamba(path, solver="rattler").obtain()
        return origins(entry.prefix)

    return build


def test_channel_of_a_package_need_not_be_listed(build):
    found = build("dependencies: [python=3.8, extra/label/dev::widget, lab::tool]")
    assert found["widget"] == ("3.0", "extra/label/dev")
    assert found["tool"] == ("2.0", "lab")
    assert found["python"] == ("3.8.20", "conda-forge")


def test_channel_of_a_package_that_is_listed_under_an_alias(build):
    found = build("channels: [conda-forge, lab]\ndependencies: [python=3.8, 'lab::tool=2']")
    assert found["tool"] == ("2.0", "lab")


@pytest.mark.parametrize(
    "text", ["lab/linux-64::tool", "tool[channel=lab]", "tool[version='>=1', channel='lab']"]
)
def test_other_ways_to_name_a_channel(build, text):
    assert build(f'dependencies: [python, "{text}"]')["tool"] == ("2.0", "lab")


def test_channel_that_is_named_by_its_url(build, mirror):
    found = build(f"dependencies: [python, '{(mirror / 'lab').as_uri()}::tool']")
    assert found["tool"] == ("2.0", "lab")


def test_defaults_are_several_channels(build, mirror, monkeypatch, tmp_path):
    rc = tmp_path / "condarc"
    rc.write_text(f"default_channels: [{(mirror / 'main').as_uri()}, {(mirror / 'r').as_uri()}]\n")
    monkeypatch.setenv("CONDARC", str(rc))
    found = build("dependencies: [python, 'defaults::anaconda-only', 'defaults::r-base']")
    assert found["anaconda-only"] == ("1.0", "main")
    assert found["r-base"] == ("4.3", "r")
    assert build("dependencies: [python, 'defaults::tool=0.6']")["tool"] == ("0.6", "r")
    assert build("channels: [conda-forge, defaults]\ndependencies: [python, r-base]")["r-base"]


SPEC = "channels: [conda-forge, lab]\ndependencies: [python=3.8, tool{}]\n"


def test_priority_is_flexible_as_condas(build):
    assert build(SPEC.format(""))["tool"] == ("1.0", "conda-forge")
    # tool 2 needs part 2, which only a lower channel has
    found = build(SPEC.format("=2"))
    assert found["tool"] == ("2.0", "lab")
    assert found["part"] == ("2.0", "lab")


def test_priority_of_a_spec(build):
    assert build("channel_priority: disabled\n" + SPEC.format(""))["tool"] == ("2.0", "lab")
    with pytest.raises(SolveError):
        build("channel_priority: strict\n" + SPEC.format("=2"))


def test_priority_of_the_environment(build, monkeypatch):
    assert build(SPEC.format(""))["tool"] == ("1.0", "conda-forge")
    monkeypatch.setenv("CONDA_CHANNEL_PRIORITY", "disabled")
    assert build(SPEC.format(""))["tool"] == ("2.0", "lab")
    found = build("channel_priority: flexible\n" + SPEC.format(""))
    assert found["tool"] == ("1.0", "conda-forge")
    monkeypatch.setenv("CONDA_CHANNEL_PRIORITY", "sometimes")
    with pytest.raises(SpecError, match="CONDA_CHANNEL_PRIORITY.*'sometimes', but must be one of"):
        build(SPEC.format("=1"))


def test_all_that_is_missing_is_named(build):
    with pytest.raises(SolveError) as caught:
        build("dependencies: [python=3.8, nothing, tool>7, 'lab::widget', part]")
    tail = caught.value.tail
    assert "No candidates were found for nothing\n" in tail
    assert "No candidates were found for tool >7; there are 1.0" in tail
    assert "No candidates were found for widget in file:///" in tail
    assert "found for part" not in tail and "found for python" not in tail


def test_condarc_names_channels(build, mirror, monkeypatch, tmp_path):
    """They replace the default of a spec without any, and follow those that it names."""
    rc = tmp_path / "condarc"
    monkeypatch.setenv("CONDARC", str(rc))
    rc.write_text("channels: [lab, conda-forge]\n")
    assert build("dependencies: [python=3.8, tool]")["tool"] == ("2.0", "lab")
    assert build("channels: [conda-forge]\ndependencies: [python=3.8, tool]")["tool"][0] == "1.0"
    rc.write_text("channels: [extra/label/dev]\n")
    assert build("channels: [conda-forge]\ndependencies: [python, widget]")["widget"][0] == "3.0"
    with pytest.raises(SolveError, match="widget"):
        build("channels: [conda-forge, nodefaults]\ndependencies: [python, widget]")


def test_condarc_of_the_home_directory(build, mirror, monkeypatch, tmp_path):
    home = tmp_path / "home"
    (home / ".config/conda").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("CONDA_CHANNEL_ALIAS")
    (home / ".config/conda/.condarc").write_text("channel_alias: https://nowhere.invalid\n")
    (home / ".condarc").write_text(
        f"channel_alias: {mirror.as_uri()}\nchannel_priority: disabled\nunknown: [x]\n"
    )
    assert build(SPEC.format(""))["tool"] == ("2.0", "lab")
    (home / ".condarc").write_text(f"channel_alias: {mirror.as_uri()}\n")
    assert build(SPEC.format(""))["tool"] == ("1.0", "conda-forge")


def test_condarc_that_is_malformed(build, monkeypatch, tmp_path):
    rc = tmp_path / "condarc"
    monkeypatch.setenv("CONDARC", str(rc))
    for text, says in [
        ("channels: [x", "this is not YAML"),
        ("- x", "does not hold a mapping"),
        ("channels: x", "'channels' must hold text"),
        ("proxy_servers: [x]", "'proxy_servers' must map"),
        ("channel_priority: often", "channel_priority is 'often'"),
    ]:
        rc.write_text(text)
        with pytest.raises(SpecError, match=says):
            build("dependencies: [python]")


class Proxy(BaseHTTPRequestHandler):
    """Answers each request with 404."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


def test_condarc_names_a_proxy(build, monkeypatch, tmp_path):
    rc = tmp_path / "condarc"
    monkeypatch.setenv("CONDARC", str(rc))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            proxy = f"http://127.0.0.1:{server.server_port}"
            rc.write_text(f"proxy_servers: {{http: '{proxy}'}}\nssl_verify: false\n")
            with pytest.raises(SolveError):
                build("channels: ['http://channel.invalid/x']\ndependencies: [python]")
        finally:
            server.shutdown()
            thread.join()
    assert any(path.startswith("http://channel.invalid/x/") for path in server.asked)


def test_without_a_condarc_nothing_of_it_is_hashed(tmp_path, monkeypatch):
    """Prefixes that were built before it was read stay valid; so do those of other programs."""
    path = tmp_path / "spec.yml"
    path.write_text("dependencies: [python]")
    digests = {}
    for text in ("", "ssl_verify: false\n", "channels: [x]\n", "channel_priority: strict\n"):
        (tmp_path / "condarc").write_text(text)
        monkeypatch.setenv("CONDARC", str(tmp_path / "condarc"))
        request = Micromamba(path).request()
        digests[text] = (request.digest("rattler"), request.digest("conda"))
    rattler, conda = (list(each) for each in zip(*digests.values(), strict=True))
    assert rattler[0] == rattler[1]
    assert len(set(rattler)) == 3
    assert len(set(conda)) == 1
