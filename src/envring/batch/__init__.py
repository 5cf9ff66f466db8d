# SPDX-License-Identifier: MIT
"""Gymnasium's values to the bytes of a batch, and back."""
