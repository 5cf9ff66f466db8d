# SPDX-License-Identifier: MIT
"""gym-http-api's wire."""

import json
import os
import signal
import urllib.error
import urllib.request

import gymnasium
import pytest

from support.hosts import running_setup
from support.processes import wait_until

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")


@pytest.fixture(scope="module")
def host():
    with running_setup("http://127.0.0.1:0") as host:
        yield host


NULL = object()


def ask(host, path, data=None):
    body = None if data is None else json.dumps(None if data is NULL else data).encode()
    request = urllib.request.Request(f"{host.url}/v1/envs/{path}".replace("envs/../", ""), body)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            text = response.read()
            return response.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_an_instance(host):
    env = gymnasium.make("CartPole-v1")
    _, made = ask(host, "", {"env_id": "CartPole-v1", "seed": 0})
    name = made["instance_id"]
    assert ask(host, "")[1]["all_envs"][name] == "CartPole-v1"
    obs = env.reset(seed=0)[0].tolist()
    assert ask(host, f"{name}/reset/", {}) == (200, {"observation": obs})
    obs = env.step(1)[0].tolist()
    step = {"observation": obs, "reward": 1.0, "done": False, "info": {}}
    assert ask(host, f"{name}/step/", {"action": 1, "render": False}) == (200, step)
    assert ask(host, f"{name}/action_space/")[1] == {"info": {"name": "Discrete", "n": 2}}
    space = ask(host, f"{name}/observation_space/")[1]["info"]
    assert (space["name"], space["shape"], space["high"][1]) == ("Box", [4], 1e100)
    assert ask(host, f"{name}/action_space/sample")[1]["action"] in (0, 1)
    assert ask(host, f"{name}/action_space/contains/1")[1] == {"member": True}
    assert ask(host, f"{name}/action_space/contains/2")[1] == {"member": False}
    assert ask(host, f"{name}/close/", {}) == (204, None)
    assert ask(host, f"{name}/reset/", {}) == (400, {"message": f"Instance_id {name} unknown"})
    assert name not in ask(host, "")[1]["all_envs"]


def test_an_instance_whose_process_is_killed(host):
    name = ask(host, "", {"env_id": "CartPole-v1"})[1]["instance_id"]
    for pid in host.workers():
        os.kill(pid, signal.SIGKILL)
    killed = "was killed by signal 9 (SIGKILL)"
    wait_until(lambda: name not in ask(host, "")[1]["all_envs"], 5, "it is gone")
    for _ in range(2):
        status, answer = ask(host, f"{name}/step/", {"action": 0})
        assert status == 400
        assert answer["message"].startswith(f"The instance was ended: its process {killed}")


def test_an_episode_that_is_cut_off(host):
    name = ask(host, "", {"env_id": "Counting-v0"})[1]["instance_id"]
    ask(host, f"{name}/reset/", {})
    steps = [ask(host, f"{name}/step/", {"action": 0})[1] for _ in range(3)]
    assert [each["done"] for each in steps] == [False, False, True]
    assert steps[2]["info"] == {"t": 3, "TimeLimit.truncated": True}
    ask(host, f"{name}/close/", {})


def test_errors(host):
    assert ask(host, "", {})[0] == 400
    assert "'env_id' was not provided" in ask(host, "", {})[1]["message"]
    assert "not served" in ask(host, "", {"env_id": "os:system"})[1]["message"]
    assert ask(host, "", {"env_id": "Missing-v7"})[0] == 400
    assert ask(host, "", {"env_id": "CartPole-v1", "seed": -1})[0] == 400
    assert ask(host, "", [])[0] == 422
    name = ask(host, "", {"env_id": "NotANumber-v0"})[1]["instance_id"]
    assert "nan cannot be written" in ask(host, f"{name}/reset/", {})[1]["message"]
    assert "'action' was not provided" in ask(host, f"{name}/step/", {})[1]["message"]
    assert "7 is not in Discrete(2)" in ask(host, f"{name}/step/", {"action": 7})[1]["message"]
    ask(host, f"{name}/close/", {})


def test_what_example_agents_ask(host):
    """As gym_http_client.py does: where it has nothing to say, its body is `null`."""
    name = ask(host, "", {"env_id": "CartPole-v1"})[1]["instance_id"]
    monitor = {"directory": "/tmp/results", "force": True, "resume": False}
    assert ask(host, f"{name}/monitor/start/", {**monitor, "video_callable": False}) == (204, None)
    told = ask(host, f"{name}/monitor/start/", {"force": True})
    assert told == (400, {"message": "A required request parameter 'directory' was not provided"})
    status, told = ask(host, f"{name}/reset/", NULL)
    assert status == 200 and len(told["observation"]) == 4
    assert ask(host, f"{name}/step/", {"action": 1, "render": True})[0] == 200
    assert ask(host, f"{name}/monitor/close/", NULL) == (204, None)
    assert ask(host, "none/monitor/close/", NULL)[1] == {"message": "Instance_id none unknown"}
    assert ask(host, f"{name}/close/", NULL) == (204, None)


def test_what_is_not_done_says_why(host):
    for path, data, status, text in [
        ("../upload/", {"training_dir": "tmp", "api_key": "x"}, 400, "takes no results"),
        ("../shutdown/", NULL, 400, "cannot end this host"),
        ("../shutdown", {}, 400, "cannot end this host"),
        ("a/b/c/", {}, 404, "no such request"),
        ("../other", None, 404, "no such request"),
    ]:
        found, told = ask(host, path, data)
        assert found == status and text in told["message"]
    assert ask(host, "")[0] == 200


def test_where_numbers_begin_is_told():
    from envring.gateways.web.gym_http import _described

    space = gymnasium.spaces.MultiDiscrete([3, 4], start=[0, 2])
    told = {"name": "MultiDiscrete", "nvec": [3, 4], "start": [0, 2]}
    assert _described(gymnasium.spaces.Tuple([space]))["spaces"] == [told]
