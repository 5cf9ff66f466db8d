# SPDX-License-Identifier: MIT
"""A worker process of another interpreter."""
