# SPDX-License-Identifier: MIT
"""Importing modules of this package without leaving bytecode beside them."""

from __future__ import absolute_import, division, print_function

import contextlib
import sys


@contextlib.contextmanager
def no_bytecode():
    """Prevents imports from writing bytecode: the package belongs to another interpreter."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
