# SPDX-License-Identifier: MIT
"""An env that is never built."""

import time


def hang():
    """Takes an hour."""
    time.sleep(3600)
