# SPDX-License-Identifier: MIT
"""What people read about a run: tables, pictures, comparisons."""
