# SPDX-License-Identifier: MIT
"""How worker processes come into being."""
