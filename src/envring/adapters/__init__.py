# SPDX-License-Identifier: MIT
"""Envs as other libraries' interfaces have them; each module needs its library."""
