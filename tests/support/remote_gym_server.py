# SPDX-License-Identifier: MIT
"""remote-gym's own server, in its thread mode: prints its port.

Run by an interpreter that has it, in the folder of the entrypoint:
`python remote_gym_server.py ENTRYPOINT [CERT KEY [CA]]`.
"""

import socket
import sys

from remote_gym import create_remote_environment_server

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
entrypoint, *files = sys.argv[1:]
server = create_remote_environment_server(
    {"entrypoint": entrypoint, "entrypoint_kwargs": {"length": 2}},
    "127.0.0.1",
    port,
    (*files, None, None)[:3] if files else None,
    use_thread=True,
)
print(port, flush=True)
server.wait_for_termination()
