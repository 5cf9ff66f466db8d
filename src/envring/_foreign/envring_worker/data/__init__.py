# SPDX-License-Identifier: MIT
"""Values and arrays: what crosses to the caller and back."""
