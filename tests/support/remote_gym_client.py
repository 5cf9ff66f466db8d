# SPDX-License-Identifier: MIT
"""remote-gym's own client, which drives CountingEnv and checks what comes.

Run by an interpreter that has it: `python remote_gym_client.py PORT [CA [CERT KEY]]`.
"""

import sys

from gymnasium.spaces import Box, Discrete
from remote_gym import RemoteEnvironment

port, files = int(sys.argv[1]), sys.argv[2:]
credentials = [*files, None, None][:3] if files else None
kwargs = {"env": "envring.testing:CountingEnv", "render_mode": "rgb_array", "lengths": [2, 1]}
env = RemoteEnvironment(
    url="localhost" if files else "127.0.0.1",
    port=port,
    remote_args={"entrypoint_kwargs": {**kwargs, "ending": "truncated"}},
    client_credentials_paths=credentials,
    render_mode="rgb_array",
)
assert isinstance(env.observation_space, Box) and env.observation_space.shape == (4,)
assert env.action_space == Discrete(8)
observation, info = env.reset()
assert observation.tolist() == [0, 0, 0, -1] and info == {}
frame = env.render()
assert frame.ndim == 3 and frame.dtype == "uint8"
observation, reward, terminated, truncated, info = env.step(3)
assert observation.tolist() == [0, 0, 1, 3] and float(reward) == 0.125
assert not terminated and not truncated and env.render().shape == frame.shape
observation, reward, terminated, truncated, info = env.step(4)
assert (terminated, truncated) == (False, True)
observation, info = env.reset()
assert observation.tolist() == [0, 1, 0, -1]
env.close()
print("done")
