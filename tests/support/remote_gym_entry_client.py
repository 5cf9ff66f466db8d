# SPDX-License-Identifier: MIT
"""remote-gym's own client, which asks a host for an entrypoint of remote-gym.

Run by an interpreter that has it: `python remote_gym_entry_client.py PORT ENTRYPOINT`.
"""

import sys

from gymnasium.spaces import MultiDiscrete
from remote_gym import RemoteEnvironment

port, entrypoint = sys.argv[1:]
kwargs = {"level": 4, "length": 2, "render_mode": "rgb_array"}
env = RemoteEnvironment(
    "127.0.0.1",
    int(port),
    {"entrypoint": entrypoint, "entrypoint_kwargs": kwargs},
    render_mode="rgb_array",
)
assert env.action_space == MultiDiscrete([3, 5])
assert env.reset()[0].tolist() == [0, 4, 0, 0]
observation, reward, terminated, truncated, _ = env.step([2, 3])
assert observation.tolist() == [1, 4, 2, 3] and float(reward) == 0.25
assert (env.render() == 1).all() and env.render().shape == (2, 3, 3)
assert env.step([0, 0])[2:4] == (False, True)
env.close()
print("done")
