# SPDX-License-Identifier: MIT
"""What people read of a run: tables, pictures, comparisons."""
