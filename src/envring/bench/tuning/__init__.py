# SPDX-License-Identifier: MIT
"""The search for arguments that suit an env."""
