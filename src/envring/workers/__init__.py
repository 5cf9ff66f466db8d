# SPDX-License-Identifier: MIT
"""One worker process, from the caller's side and its own."""
