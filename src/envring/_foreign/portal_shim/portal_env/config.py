# SPDX-License-Identifier: MIT
"""What env_main.py files read from Portal-Env's configuration. Nothing listens on these ports."""

import collections


class Config(object):
    """Portal-Env's names, with a port for each env."""

    def __init__(self):
        self.host_name = "env_portal"
        self.port = 7000
        self.env_ports = collections.defaultdict(lambda: 7000)
        self.docker_network_name = "portal_env_net"


config = Config()
