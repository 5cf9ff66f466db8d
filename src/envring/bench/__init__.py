# SPDX-License-Identifier: MIT
"""Throughput of envring beside other vector environments, measured in one run.

`python -m envring.bench` runs it. Each contestant has a process of its own, and short slices of
each are measured in turn, so that drift and other load on the machine slow all of them alike. The
command needs rich and matplotlib, the extra `envring[bench]`.
"""
