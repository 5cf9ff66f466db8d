# SPDX-License-Identifier: MIT
"""serve.toml: what a host serves, and where it runs."""

from __future__ import annotations

import numpy as np
import pytest

import envring
from envring import EnvSource, HostRefused, LauncherError, SpecError
from envring.gateways.runtimes import Runtime, load
from support.launcher_conformance import FILE

GAME = f"{FILE}:make"


def read(tmp_path, text):
    path = tmp_path / "serve.toml"
    path.write_text(text)
    return load(path)


class TestFile:
    def test_all_keys(self, tmp_path):
        (runtime,) = read(
            tmp_path,
            """
            [runtimes.classic]
            envs = ["CartPole-v1", "MountainCar*"]
            launcher = "python:/usr/bin/python3"
            kwargs = {render_mode = "rgb_array"}
            allow_kwargs = false
            imports = ["ale_py"]
            setup = "setup.py"
            slots = 8
            workers = 2
            step_timeout = 5
            reset_timeout = 2.5
            """,
        )
        assert runtime.envs == ("CartPole-v1", "MountainCar*")
        assert runtime.default == "CartPole-v1"
        assert runtime.kwargs == {"render_mode": "rgb_array"}
        assert (runtime.slots, runtime.workers, runtime.allow_kwargs) == (8, 2, False)
        assert (runtime.step_timeout, runtime.reset_timeout) == (5, 2.5)
        assert runtime.imports == ("ale_py",)
        assert runtime.where.executable == "/usr/bin/python3"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "expected tables"),
            ("runtimes = 3", "expected tables"),
            ("[runtimes]", "expected tables"),
            ("[runtimes.a]\nenvs = ['x']\n[other]", "expected tables"),
            ("[runtimes]\na = 3", "runtimes.a: expected a table"),
            ("[runtimes.a]", "name at least one env"),
            ("[runtimes.a]\nenvs = []", "name at least one env"),
            ("[runtimes.a]\nenvs = 'x'", "runtimes.a.envs.*wrong type"),
            ("[runtimes.a]\nenvs = [1]", "expected a list of strings"),
            ("[runtimes.a]\nenv = ['x']", "unknown key 'env'. Did you mean 'envs'"),
            ("[runtimes.a]\nenvs = ['x']\nzzz = 1", "unknown key 'zzz'. Known: envs"),
            ("[runtimes.a]\nenvs = ['x']\nslots = true", "slots.*wrong type"),
            ("[runtimes.a]\nenvs = ['x']\nslots = 0", "slots: must be at least 1"),
            ("[runtimes.a]\nenvs = ['x']\nworkers = -1", "workers: must be at least 1"),
            ("[runtimes.a]\nenvs = ['x']\nstep_timeout = 'x'", "step_timeout.*wrong type"),
            ("[runtimes.a]\nenvs = ['x']\nstep_timeout = 0", "step_timeout: must be more than 0"),
            ("[runtimes.a]\nenvs = ['x']\nreset_timeout = -1.5", "must be more than 0"),
            ("[runtimes.a]\nenvs = ['x']\nstep_timeout = nan", "must be more than 0"),
            ("[runtimes.a]\nenvs = ['x']\nkwargs = []", "kwargs.*wrong type"),
            ("[runtimes.a]\nenvs = ['x']\nimports = 'ale_py'", "imports.*wrong type"),
            ("[runtimes.a", "serve.toml: "),
            ("[runtimes.a]\nenvs = ['x']\nenvs = ['y']", "serve.toml: "),
        ],
    )
    def test_what_is_malformed(self, tmp_path, text, words):
        with pytest.raises(SpecError, match=words) as caught:
            read(tmp_path, text)
        assert "serve.toml" in str(caught.value)

    @pytest.mark.parametrize(
        "text",
        ["launcher = 'x:y'", "launcher = 'prefix:'", "spec = 'a.yml'\nlauncher = 'python:a'"],
    )
    def test_launchers_that_do_not_exist(self, tmp_path, text):
        with pytest.raises(LauncherError, match=r"runtimes\.a\.launcher"):
            read(tmp_path, f"[runtimes.a]\nenvs = ['x']\n{text}")

    def test_no_file(self, tmp_path):
        with pytest.raises(SpecError, match="No such file"):
            load(tmp_path / "serve.toml")
        (tmp_path / "serve.toml").write_bytes(b"\xff")
        with pytest.raises(SpecError, match=r"serve\.toml"):
            load(tmp_path / "serve.toml")


class TestWhatMayBeAsked:
    def test_patterns(self):
        runtime = Runtime("a", ("CartPole-v1", "ALE/*", "games:*", "dir:/srv/envs/*"))
        served = ("CartPole-v1", "ALE/Pong-v5", "games:Chess-v0", "dir:/srv/envs/one")
        assert all(map(runtime.serves, served))
        refused = ("cartpole-v1", "CartPole-v1x", "MountainCar-v0", "Games:Chess", "dir:/srv/other")
        assert not any(map(runtime.serves, refused))
        assert Runtime("a", ("*",)).default is None

    @pytest.mark.parametrize(
        "env",
        [
            "dir:/srv/envs/../../etc",
            "dir:/srv/envs/a/../../../x",
            "games:/../x",
            "ALE/../../x.py:f",
            "ALE/x.py:f",
            "dir:/srv/envs/a\\b",
        ],
    )
    def test_patterns_lead_nowhere_else(self, env):
        assert not Runtime("a", ("ALE/*", "games*:*", "dir:/srv/envs/*")).serves(env)

    def test_arguments(self):
        runtime = Runtime("a", ("CartPole-v1",), kwargs={"fixed": 1})
        assert runtime.source({"kwargs": {"x": 2}}).kwargs == {"x": 2, "fixed": 1}
        with pytest.raises(HostRefused, match="has 'fixed' fixed"):
            runtime.source({"kwargs": {"fixed": 2}})
        closed = Runtime("a", ("CartPole-v1",), allow_kwargs=False)
        for asked in ({"kwargs": {"x": 1}}, {"args": [1]}):
            with pytest.raises(HostRefused, match="takes no arguments"):
                closed.source(asked)

    @pytest.mark.parametrize(
        "asked",
        [
            {"env": 3},
            {"args": {"a": 1}},
            {"kwargs": [1]},
            {"kwargs": {1: 2}},
            {"env": "CartPole-v1", "kwargs": {"x": 1, b"y": 2}},
        ],
    )
    def test_malformed_requests(self, asked):
        with pytest.raises(HostRefused):
            Runtime("a", ("CartPole-v1",), kwargs={"x": 1}).source(asked)

    def test_a_caller_chooses_neither_imports_nor_setup_nor_launcher(self):
        asked = {"env": "CartPole-v1", "imports": ["os"], "setup": "/x.py", "launcher": "prefix:/x"}
        source = Runtime("a", ("CartPole-v1",)).source(asked)
        assert source.imports == () and source.setup is None
        assert "prefix" not in repr(source.launcher).lower() or "/x" not in repr(source.launcher)


def test_slots_of_a_runtime(tmp_path):
    text = f"""
        [runtimes.small]
        envs = ["CartPole-v1"]
        slots = 2
        [runtimes.large]
        envs = ["{GAME}"]
    """
    (tmp_path / "serve.toml").write_text(text)
    with envring.serve(config=tmp_path / "serve.toml") as host:
        small = envring.make_vec("CartPole-v1", 2, remotes=host.url)
        with pytest.raises(HostRefused, match="'small' are used: 0 are free") as caught:
            envring.make_vec("CartPole-v1", 1, remotes=host.url)
        assert caught.value.reason == "full"
        sources = [EnvSource.elsewhere(GAME)] * 3
        large = envring.RingVectorEnv(sources, remotes=host.url)
        large.reset()
        large.close()
        with pytest.raises(HostRefused, match="'small' does not serve"):
            envring.RingVectorEnv(sources, remotes=f"{host.url}?runtime=small")
        small.close()
        envring.make_vec("CartPole-v1", 1, remotes=host.url).close()


def test_two_runtimes_in_different_interpreters(tmp_path, matrix_prefix):
    """An old gym beside the host's own Gymnasium: one host, one connection each."""
    text = f"""
        [runtimes.new]
        envs = ["CartPole-v1"]
        [runtimes.old]
        launcher = "prefix:{matrix_prefix("gym-0.21")}"
        envs = ["CartPole-*"]
    """
    (tmp_path / "serve.toml").write_text(text)
    with envring.serve(config=tmp_path / "serve.toml") as host:
        new = envring.make_vec("CartPole-v1", 2, remotes=host.url)
        old = envring.make_vec("CartPole-v0", 2, remotes=f"{host.url}?runtime=old")
        for envs in (new, old):
            observations, _ = envs.reset(seed=1)
            assert observations.shape == (2, 4)
            envs.step(np.ones(2, int))
        old.close()
        new.close()
