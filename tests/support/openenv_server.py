# SPDX-License-Identifier: MIT
"""An env of its own kind on OpenEnv's own server: `python openenv_server.py` prints its port.

Run by an interpreter that has openenv-core.
"""

import socket

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class Move(Action):
    steps: int
    note: str = ""


class Seen(Observation):
    place: int
    words: list[str] = []  # noqa: RUF012 - as pydantic has it
    hint: float | None = None


class Walk(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, episode_id=None, **kwargs):
        self.place = seed or 0
        self.level = kwargs.get("level", 0)
        return Seen(place=self.place, words=["begun", str(self.level)])

    def step(self, action, timeout_s=None, **kwargs):
        if action.steps > 9:
            raise ValueError("too far")
        self.place += action.steps
        return Seen(place=self.place, words=[action.note], reward=0.5, done=self.place > 9)

    @property
    def state(self):
        return State(step_count=0)


app = create_fastapi_app(Walk, Move, Seen, max_concurrent_envs=2)
place = socket.create_server(("127.0.0.1", 0))
print(place.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[place])
