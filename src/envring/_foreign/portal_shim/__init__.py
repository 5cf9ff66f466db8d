# SPDX-License-Identifier: MIT
"""Stands on the path of workers that run a directory written for Portal-Env."""
