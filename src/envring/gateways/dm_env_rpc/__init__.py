# SPDX-License-Identifier: MIT
"""Serves callers that speak dm_env_rpc v1, over gRPC; needs envring[grpc]."""
