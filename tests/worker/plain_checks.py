# SPDX-License-Identifier: MIT
"""Runs the functions of a script whose names begin with check_, in whatever interpreter this is."""

from __future__ import print_function

import contextlib
import sys
import traceback

try:
    from StringIO import StringIO
except ImportError:
    from io import StringIO


def main(namespace, wanted=None):
    """Runs those that are wanted, else those named on the command line, or all.

    A line tells how each one ended; what is printed before it belongs to it. The last line says
    how many failed.
    """
    checks = sorted(name for name in namespace if name.startswith("check_"))
    wanted = wanted or sys.argv[1:] or checks
    failed = 0
    for name in wanted:
        try:
            namespace[name]()
        except Exception:
            failed += 1
            print(traceback.format_exc())
            print("\n%s: failed" % name)
        else:
            print("\n%s: passed" % name)
        sys.stdout.flush()
    print("%d of %d checks failed" % (failed, len(wanted)))
    sys.exit(1 if failed else 0)


def raises(kind, function, *args, **kwargs):
    """The exception of this kind that a call raises."""
    try:
        result = function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError("%r returned %r and raised no %s" % (function, result, kind.__name__))


@contextlib.contextmanager
def stderr():
    """A list that holds what was written to stderr, in the end."""
    texts, kept = [], sys.stderr
    sys.stderr = StringIO()
    try:
        yield texts
    finally:
        texts.append(sys.stderr.getvalue())
        sys.stderr = kept
