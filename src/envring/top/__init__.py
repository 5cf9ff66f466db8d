# SPDX-License-Identifier: MIT
"""Looks at the vector envs of other processes of the same user."""
