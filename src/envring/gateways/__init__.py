# SPDX-License-Identifier: MIT
"""Env hosts: sessions of envs for callers in other processes and on other machines."""
