# SPDX-License-Identifier: MIT
"""The C core as Python objects."""
