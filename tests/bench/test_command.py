# SPDX-License-Identifier: MIT
"""The benchmark's command line."""

import importlib.util
import json

import pytest

from envring.bench import __main__


def test_missing_extras_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SystemExit, match=r"needs rich and matplotlib: pip install 'envring\[bench\]'"
    ):
        __main__.require_extra()


@pytest.mark.parametrize("arguments", [["--envs", "0"], ["--workload", "cartpool"]])
def test_bad_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.parse(arguments)
    assert caught.value.code == 2
    assert arguments[0].strip("-") in capsys.readouterr().err


def test_the_command_measures_every_peer(tmp_path, monkeypatch, capsys):
    # the test runner keeps its own handling of Ctrl-C
    monkeypatch.setattr(__main__, "exit_on_signals", lambda: None)
    found, picture = tmp_path / "found.json", tmp_path / "found.png"
    arguments = ["--quick", "--workload", "null", "--envs", "2", "--workers", "1"]
    assert __main__.main([*arguments, "--json", str(found), "--plot", str(picture)]) == 0
    (cell,) = json.loads(found.read_text())["cells"]
    assert cell["failures"] == {}
    assert {each["peer"] for each in cell["samples"]} == set(__main__.PEERS)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "RingVectorEnv" in capsys.readouterr().out
