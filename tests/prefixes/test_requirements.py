# SPDX-License-Identifier: MIT
"""pip sections: paths start from the spec's directory, and what they name is watched."""

import pytest

from envring.prefixes.requirements import RequirementsError, files_below, resolve, without_portal


@pytest.fixture
def home(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/base.txt").write_text("gym\n-c pins.txt\n")
    (tmp_path / "more/pins.txt").write_text("gym==0.21\n")
    (tmp_path / "tree/src").mkdir(parents=True)
    (tmp_path / "tree/pyproject.toml").write_text("")
    (tmp_path / "tree/src/game.py").write_text("")
    (tmp_path / "tree/build").mkdir()
    (tmp_path / "tree/build/game.py").write_text("")
    (tmp_path / "game-1-py3-none-any.whl").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected", "watched"),
    [
        ("numpy==1.19.5", "numpy==1.19.5", []),
        ("gym[atari]>=0.2 ; python_version < '3'", None, []),
        ("--no-binary=gym", None, []),
        ("--index-url https://pypi.org/simple", None, []),
        ("git+https://example.org/x.git#egg=x", None, []),
        ("x @ https://example.org/x.whl", None, []),
        ("-r https://example.org/base.txt", None, []),
        ("-r more/base.txt", "-r HOME/more/base.txt", ["more/base.txt", "more/pins.txt"]),
        ("-rmore/base.txt", "-r HOME/more/base.txt", ["more/base.txt", "more/pins.txt"]),
        (
            "--requirement=more/base.txt",
            "-r HOME/more/base.txt",
            ["more/base.txt", "more/pins.txt"],
        ),
        ("-c more/pins.txt # why", "-c HOME/more/pins.txt", ["more/pins.txt"]),
        ("-e ./tree[all]", "-e 'HOME/tree[all]'", ["tree/pyproject.toml"]),
        ("-e git+https://example.org/x.git", None, []),
        ("./tree", "HOME/tree", ["tree/pyproject.toml", "tree/src/game.py"]),
        ("./tree[all]", "HOME/tree[all]", ["tree/pyproject.toml", "tree/src/game.py"]),
        ("./tree ; python_version > '3'", "HOME/tree ; python_version > '3'", None),
        ("game-1-py3-none-any.whl", "HOME/game-1-py3-none-any.whl", ["game-1-py3-none-any.whl"]),
        ("tree", "tree", []),
        ("--find-links ./more", "-f HOME/more", []),
    ],
)
def test_paths_become_absolute(home, line, expected, watched):
    found = resolve([line], home)
    assert found.lines == ((expected or line).replace("HOME", str(home)),)
    if watched is not None:
        assert sorted(found.watched) == sorted(home / each for each in watched)


def test_file_urls_are_watched(home):
    line = f"game @ {(home / 'tree').as_uri()}"
    found = resolve([line], home)
    assert found.lines == (line,)
    assert home / "tree/src/game.py" in found.watched


@pytest.mark.parametrize("line", ["-r gone.txt", "-c gone.txt", "-e ./gone", "./gone", "../gone/x"])
def test_what_is_not_there_is_named(home, line):
    with pytest.raises(RequirementsError, match="there is no '.*gone"):
        resolve([line], home)


def test_files_that_name_each_other_end(tmp_path):
    (tmp_path / "a.txt").write_text("-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    assert len(resolve(["-r a.txt"], tmp_path).watched) == 2


def test_builds_leave_nothing_that_counts(home):
    before = files_below(home / "tree")
    for each in ("game.egg-info", "__pycache__", "dist", ".git"):
        (home / "tree" / each).mkdir()
        (home / "tree" / each / "x").write_text("")
    assert files_below(home / "tree") == before


@pytest.mark.parametrize(
    ("lines", "packages", "expected"),
    [
        (["portal-env", "gymnasium[atari]"], ["python=3.12"], ["gymnasium[atari]"]),
        (["Portal_Env>=0.9", "gym"], ["python=3.8"], ["gym", "gymnasium"]),
        (["portal-env"], ["python=3.12", "conda-forge::gymnasium"], []),
        (["portal-env", "gym==0.17"], ["python=2.7"], ["gym==0.17"]),
        (["portal-env", "gym==0.17"], ["python=3.7.*"], ["gym==0.17"]),
        (["gym"], ["python"], ["gym"]),
        (["portal", "portal-env-tools"], ["python"], ["portal", "portal-env-tools"]),
    ],
)
def test_portal_env_is_left_out(lines, packages, expected):
    assert without_portal(lines, packages) == expected
