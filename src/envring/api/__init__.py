# SPDX-License-Identifier: MIT
"""What a user holds: vector and single envs."""
