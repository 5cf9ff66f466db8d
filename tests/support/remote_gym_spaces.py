# SPDX-License-Identifier: MIT
"""remote-gym's own client: what it makes of spaces, and that their values arrive.

Run by an interpreter that has it: `python remote_gym_spaces.py PORT KIND...`. It prints a line
for each.
"""

import os
import sys
import traceback

import numpy as np
from dm_env_rpc.v1.error import DmEnvRpcError
from remote_gym import RemoteEnvironment


def refusal(call):
    try:
        call()
    except DmEnvRpcError as error:
        return str(error)
    return "none"


def values(port, kind):
    """The space, and what a reset and a step in that env give."""
    kwargs = {"env": "Echo-v0", "kind": kind}
    env = RemoteEnvironment("127.0.0.1", port, remote_args={"entrypoint_kwargs": kwargs})
    space = env.observation_space
    assert repr(env.action_space) == repr(space)
    seen, _ = env.reset()
    assert seen in space, (kind, seen, space)
    for action in seen, env.step(seen)[0]:
        seen, reward, terminated, truncated, _ = env.step(action)
        assert seen in space
        assert np.array_equal(seen, action) and seen.dtype == action.dtype, (kind, seen, action)
        assert (float(reward), terminated, truncated) == (1.0, False, False)
    if not np.issubdtype(seen.dtype, np.integer) and kind.startswith(("int", "multi", "disc")):
        assert "numbers that are not of" in refusal(lambda: env.step(space.low + 0.5))
        assert np.array_equal(env.step(action)[0], action)  # the episode goes on
    env.close()
    return repr(space)


code = 1
try:
    for name in sys.argv[2:]:
        try:
            print(name, values(int(sys.argv[1]), name))
        except DmEnvRpcError as refused:
            print(name, "refused:", str(refused).replace("\n", " "))
    code = 0
except Exception:
    traceback.print_exc()
finally:
    sys.stdout.flush()
    os._exit(code)  # a client that was refused leaves a thread behind, which nothing ends
