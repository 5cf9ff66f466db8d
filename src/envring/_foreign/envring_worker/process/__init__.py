# SPDX-License-Identifier: MIT
"""The process of a worker in another interpreter."""
