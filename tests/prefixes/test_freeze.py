# SPDX-License-Identifier: MIT
"""Reading what a prefix holds: conda's records, and what pip put beside them."""

import json

import pytest

from envring.errors import SolveError
from envring.prefixes import spec
from envring.prefixes.freeze import Package, freeze


@pytest.fixture
def prefix(tmp_path):
    """A prefix with records; `add` adds one."""
    (tmp_path / "conda-meta").mkdir()
    return tmp_path


def add(prefix, name, version, files=(), **more):
    record = {"name": name, "version": version, "build": "0", "files": list(files), **more}
    (prefix / f"conda-meta/{name}-{version}-0.json").write_text(json.dumps(record))


def install(prefix, name, version, kind="dist-info/METADATA"):
    path = prefix / f"lib/python3.9/site-packages/{name}-{version}.{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: trap\n")
    return str(path.relative_to(prefix))


def test_pip_packages_are_those_that_conda_does_not_know(prefix):
    add(prefix, "numpy", "1.19", [install(prefix, "numpy", "1.19")])
    install(prefix, "gym", "0.21.0")
    install(prefix, "ancient", "0.1", "egg-info/PKG-INFO")
    install(prefix, "older", "0.2", "egg-info")
    found = freeze("game", prefix)
    assert [each.name for each in found.conda] == ["numpy"]
    assert [(each.name, each.version) for each in found.pip] == [
        ("ancient", "0.1"),
        ("gym", "0.21.0"),
        ("older", "0.2"),
    ]


@pytest.mark.parametrize(
    ("record", "channel"),
    [
        ({"url": "https://c/x/noarch/a-1-0.conda", "subdir": "noarch"}, "https://c/x"),
        ({"channel": "https://c/x/linux-64", "subdir": "linux-64"}, "https://c/x"),
        ({"channel": "conda-forge", "subdir": "linux-64"}, "conda-forge"),
        ({"channel": "https://c/x/", "url": None, "subdir": "noarch"}, "https://c/x"),
    ],
)
def test_channels(prefix, record, channel):
    add(prefix, "a", "1", **record)
    assert freeze("game", prefix).conda[0].channel == channel


def test_frozen_specs_are_specs(prefix):
    url = "https://c/x/noarch/a-1-0.conda"
    add(prefix, "a", "1", url=url, subdir="noarch", md5="00ff")
    install(prefix, "gym", "0.21.0")
    frozen = freeze('a "game": yes', prefix)
    (prefix / "frozen.yml").write_text(frozen.environment())
    found = spec.load(prefix / "frozen.yml")
    assert found.name == 'a "game": yes'
    assert found.channels == ("https://c/x",)
    assert found.dependencies == ("a=1=0", "pip")
    assert found.pip == ("gym==0.21.0",)
    (prefix / "frozen.lock").write_text(frozen.explicit(spec.this_platform()))
    assert spec.load(prefix / "frozen.lock").explicit == (f"{url}#00ff",)


def test_variables_of_the_spec_are_kept(prefix):
    add(prefix, "a", "1", url="https://c/x/noarch/a-1-0.conda", subdir="noarch")
    state = {"version": 1, "env_vars": {"LEVEL": "3", "NAME": 'a "b": c'}}
    (prefix / "conda-meta/state").write_text(json.dumps(state))
    (prefix / "frozen.yml").write_text(freeze("game", prefix).environment())
    assert spec.load(prefix / "frozen.yml").variables == (("LEVEL", "3"), ("NAME", 'a "b": c'))
    (prefix / "conda-meta/state").write_text("{")
    assert freeze("game", prefix).variables == ()


def test_what_is_no_prefix(prefix):
    with pytest.raises(SolveError, match="is neither a venv nor a conda prefix"):
        freeze("game", prefix)
    (prefix / "conda-meta/broken.json").write_text("{")
    with pytest.raises(SolveError, match="broken.json' cannot be read"):
        freeze("game", prefix)


def test_records_of_other_kinds_are_passed_over(prefix):
    add(prefix, "a", "1")
    (prefix / "conda-meta/other.json").write_text('{"name": "other"}')
    (prefix / "conda-meta/list.json").write_text("[]")
    assert freeze("game", prefix).conda == (Package("a", "1", "0"),)


def test_a_venv_becomes_requirements(tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("")
    install(tmp_path, "gym", "0.21.0")
    install(tmp_path, "numpy", "1.19")
    found = freeze("game", tmp_path)
    assert found.conda == ()
    assert found.text() == "gym==0.21.0\nnumpy==1.19\n"
