# SPDX-License-Identifier: MIT
"""A module whose import fails, for every interpreter."""

import there_is_no_such_module  # noqa: F401
