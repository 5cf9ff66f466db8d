# SPDX-License-Identifier: MIT
"""Who steps a batch: worker processes, or this one."""
