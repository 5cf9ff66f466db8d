# SPDX-License-Identifier: MIT
"""Throughput of envring beside gymnasium's own vector environments, measured in one run.

`python -m envring.bench` runs it. Every contestant lives in a process of its own, and short
slices are taken from each in turn, so that a machine which drifts or is shared slows all of them
alike. The command needs rich and matplotlib, the extra `envring[bench]`.
"""
