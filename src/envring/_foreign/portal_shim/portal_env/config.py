# SPDX-License-Identifier: MIT
"""Portal-Env's configuration, as env_main.py files read it. Nothing listens on these ports."""

import collections


class Config(object):
    """Portal-Env's names, with a port for each env."""

    def __init__(self):
        self.host_name = "env_portal"
        self.port = 7000
        self.env_ports = collections.defaultdict(lambda: 7000)
        self.docker_network_name = "portal_env_net"


config = Config()
