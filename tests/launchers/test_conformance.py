# SPDX-License-Identifier: MIT
"""Every launcher that needs nothing but this machine runs workers in the same way."""

import pytest

from envring.errors import LauncherError
from envring.launchers import sandbox
from launchers import places
from support import local_channel
from support.launcher_conformance import LauncherConformance, SandboxConformance


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    if local_channel.OWN in local_channel.versions():
        local_channel.build()  # takes longer than a test may
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(places.FOLDER, str(folder))
            patch.setenv("ENVRING_CACHE", str(folder / "cache"))
            places.micromamba().obtain()
    return folder


@pytest.fixture(autouse=True)
def kept(folder, monkeypatch):
    """What launchers make stays for the other tests of this file."""
    monkeypatch.setenv(places.FOLDER, str(folder))
    monkeypatch.setenv("ENVRING_CACHE", str(folder / "cache"))


class _Named:
    @pytest.fixture
    def launcher(self, name):
        return getattr(places, name)()

    def remade(self, request):
        return "launchers.places", request.getfixturevalue("name")


class TestLaunchers(_Named, LauncherConformance):
    @pytest.fixture(params=["prefix", "python", "conda", "uv", "micromamba"])
    def name(self, request):
        if request.param == "micromamba" and local_channel.OWN not in local_channel.versions():
            pytest.skip(f"there is no Python {local_channel.OWN} to copy: no conda prefix is tried")
        return request.param


class TestSandboxes(_Named, SandboxConformance):
    @pytest.fixture(params=["boxed_prefix", "boxed_conda", "boxed_uv"])
    def name(self, request):
        try:
            sandbox.bubblewrap()
        except LauncherError as error:
            pytest.skip(f"NOTHING OF THE SANDBOX IS CHECKED HERE: {error}")
        return request.param


def test_scripts_of_a_conda_prefix_have_run_before_its_workers(folder):
    from envring import RingVectorEnv
    from support.launcher_conformance import game

    envs = RingVectorEnv([game()], launcher=places.conda())
    try:
        assert envs.call("variable", "GAME_HOME") == (f"{folder}/conda/share",)
    finally:
        envs.close()
