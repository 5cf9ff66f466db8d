# SPDX-License-Identifier: MIT
"""Hard values cross between the caller and every interpreter, with NumPy 1 and 2."""

import subprocess
from pathlib import Path

import pytest

from envring.core import _core
from envring.transport import codec
from support import plain_codec
from support.foreign_prefixes import VERSIONS
from support.plain_codec import differences

FOREIGN = str(Path(_core.__file__).parents[1] / "_foreign")
SECONDS = 50


def run(python, *arguments):
    """Standard output of a Python that has none of the caller's packages."""
    argv = [python, "-E", "-s", "-B", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def test_what_it_packs_the_caller_reads(version, foreign_python, tmp_path):
    run(foreign_python(version), plain_codec.__file__, FOREIGN, "pack", str(tmp_path / "values"))
    python2 = version == "2.7"
    got = codec.loads((tmp_path / "values").read_bytes(), python2)
    expected = plain_codec.all_values()
    if python2:  # whose dicts have an order of their own
        got = plain_codec.converted(got, lambda value: value, ordered=False)
        expected = plain_codec.converted(expected, plain_codec.as_python_2_sent_it, ordered=False)
    assert differences(got, expected) == []


def test_what_the_caller_packs_it_reads(version, foreign_python, tmp_path):
    (tmp_path / "values").write_bytes(codec.dumps(plain_codec.all_values()))
    arguments = plain_codec.__file__, FOREIGN, "unpack", str(tmp_path / "values")
    assert run(foreign_python(version), *arguments).split("\n") == ["", ""]


REFUSED = """
from __future__ import print_function
import collections, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from envring_worker.data import codec
Point = collections.namedtuple("Point", "x")
values = [object(), Point(1), bytearray(b"x"), memoryview(b"x"), np.dtype("f8")]
values += [np.ma.array([1]), np.matrix([1]), collections.Counter(), collections.defaultdict(int)]
values += [np.zeros(1, [("a", "O")]), np.zeros(1).view(np.recarray), Ellipsis, StopIteration]
if sys.version_info[0] == 2:
    values += [buffer(b"x"), xrange(3), {u"\\xe9": 1, "\\xc3\\xa9": 2}, {"\\xc3\\xa9", u"\\xe9"}]
    values += [np.zeros(1, [("\\xff", "i4")])]
    if sys.maxunicode > 0xFFFF:
        values += [u"a\\ud83d\\ude00", {u"\\ud83d\\ude00": 1}, np.array([u"\\ud83d\\ude00"])[0]]
for value in values:
    try:
        codec.pack({"info": [value]})
    except codec.Unsendable as error:
        assert error.path == "['info'][0]", error
    else:
        print("%s was packed" % type(value))
# bytes and text that stay two keys, and pairs that are one character already
codec.pack([{u"e": 1, "\\xff": 2}, {u"\\xe9": 1, "e": 2}, u"\\U0001f600", u"\\ude00\\ud83d"])
"""


def test_what_would_not_arrive_is_refused_there_too(version, foreign_python):
    assert run(foreign_python(version), "-W", "ignore", "-c", REFUSED, FOREIGN) == ""
