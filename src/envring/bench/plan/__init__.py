# SPDX-License-Identifier: MIT
"""What is measured: cells, and matrices of them."""
