# SPDX-License-Identifier: MIT
"""Wires of other projects over HTTP and WebSockets, on one port: `envring[web]`."""
