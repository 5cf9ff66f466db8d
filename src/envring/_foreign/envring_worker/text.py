# SPDX-License-Identifier: MIT
"""Turning any value of an env into text that can be sent and shown."""

from __future__ import absolute_import, division, print_function

import os
import sys
import traceback

_PY2 = sys.version_info[0] == 2
_UNICODE = type(u"")


def as_text(value):
    """Returns valid text: unicode under Python 2, without lone surrogates under Python 3."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, _UNICODE):
        return message_of(value)
    if _PY2:
        return value
    for errors in ("strict", "surrogateescape"):
        try:
            return value.encode("utf-8", errors).decode("utf-8", "replace")
        except UnicodeEncodeError:
            continue
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def as_path(path):
    """Returns the caller's path as this interpreter writes it, in any locale."""
    if _PY2:
        return path.encode("utf-8") if isinstance(path, _UNICODE) else path
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))  # novm


def message_of(value):
    """Returns str() of a value, as text, even if str() fails."""
    for show in (str, _UNICODE):
        try:
            return as_text(show(value))
        except Exception:
            continue
    return u"<%s without a readable text>" % type(value).__name__


def headline(kind, error):
    """Returns an exception as the last lines of its traceback show it."""
    lines = traceback.format_exception_only(kind, error)
    return u"".join(as_text(line) for line in lines).strip()


def stack(kind, error, trace):
    """Returns a whole traceback as text."""
    return u"".join(as_text(line) for line in traceback.format_exception(kind, error, trace))
