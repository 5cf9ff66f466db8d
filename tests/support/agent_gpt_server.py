# SPDX-License-Identifier: MIT
"""The server of envs in AgentGPT, in an interpreter that has it; prints its port."""

import socket
import sys

from agent_gpt.env_host.env_api import EnvAPI
from agent_gpt.wrappers.gym_env import GymEnv

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
print(port, flush=True)
sys.stdout = sys.stderr
EnvAPI(GymEnv, "127.0.0.1", port).run_server()
