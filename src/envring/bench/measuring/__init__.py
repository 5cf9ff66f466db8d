# SPDX-License-Identifier: MIT
"""How it is measured, and what was found."""
