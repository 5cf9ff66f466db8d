# SPDX-License-Identifier: MIT
"""libenvring.so in the interpreter that runs this."""
