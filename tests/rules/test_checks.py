# SPDX-License-Identifier: MIT
"""Scripts whose checks are tests: what each one reports."""

import sys

import pytest

from worker.interpreters import HERE, each_check, run_check

SCRIPT = f"""
import os, sys
sys.path.insert(0, {str(HERE)!r})
from plain_checks import main

def check_bad():
    print("a hint")
    assert not "so"

def check_good():
    pass

def check_last():
    {{last}}

main(globals())
"""


@pytest.fixture
def script(tmp_path):
    def write(last):
        path = tmp_path / "plain_script.py"
        path.write_text(SCRIPT.format(last=last))
        return str(path)

    return write


def test_each_check_reports_what_it_did(script):
    path = script("pass")
    for check in ("check_good", "check_last"):
        run_check(sys.executable, path, check)
    with pytest.raises(AssertionError, match="(?s)check_bad failed.*a hint.*assert not"):
        run_check(sys.executable, path, "check_bad")
    with pytest.raises(AssertionError, match="check_other not run to its end"):
        run_check(sys.executable, path, "check_other")


def test_a_script_that_dies_is_passed_by_none_of_its_checks(script):
    path = script("os._exit(3)")
    with pytest.raises(AssertionError, match="check_last not run .* ended with exit code 3"):
        run_check(sys.executable, path, "check_last")
    with pytest.raises(AssertionError, match="ended with exit code 3"):
        run_check(sys.executable, path, "check_good")


def test_a_script_that_hangs_is_ended(script):
    path = script("sys.stdin.read() or __import__('threading').Event().wait()")
    with pytest.raises(AssertionError, match="was not done after 2 s"):
        run_check(sys.executable, path, "check_last", seconds=2)


def test_checks_are_found_by_reading(script):
    (parameters,) = each_check(["2.7"], [script("pass")]).args[1:]
    assert [parameter.values[2] for parameter in parameters] == [
        "check_bad",
        "check_good",
        "check_last",
    ]
