# SPDX-License-Identifier: MIT
"""Interpreters built from conda specs: one prefix for each content, built once, kept in a cache."""
