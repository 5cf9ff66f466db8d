# SPDX-License-Identifier: MIT
"""Libraries that people train with. Each has an environment of its own: make test-ecosystem."""

import os

collect_ignore_glob = [] if "ENVRING_ECOSYSTEM" in os.environ else ["test_*.py"]
