# SPDX-License-Identifier: MIT
"""What crosses between processes: memory, messages, exceptions."""
