# SPDX-License-Identifier: MIT
"""Groups of servers and the text of `remotes=`, with an engine that runs them in this process."""

from collections import Counter

import pytest

import envring
from envring.cluster import engine as engines
from envring.cluster import groups, remotes
from envring.cluster.engine import Node
from envring.cluster.node_server import NodeServer
from envring.gateways.runtimes import Runtime

CARTPOLE = [Runtime("default", ("CartPole-v1",))]


class LocalEngine:
    """Its nodes are this process."""

    def __init__(self, *cpus):
        self.cpus = cpus
        self.servers = {}
        self.orders = []
        self.closed = False

    def nodes(self):
        used = Counter()
        for order, node in self.orders:
            if order.name in self.servers:
                used[node.id] += order.cpus
        return [
            Node(str(i), "127.0.0.1", cpus, cpus - used[str(i)]) for i, cpus in enumerate(self.cpus)
        ]

    def start(self, order, node):
        self.orders = [each for each in self.orders if each[0].name != order.name]
        self.orders.append((order, node))
        self.servers[order.name] = NodeServer(order, "127.0.0.1")

    def names(self):
        return list(self.servers)

    def ask(self, name, method, seconds):
        return getattr(self.servers[name], method)() if name in self.servers else None

    def stop(self, name):
        if name in self.servers:
            self.servers.pop(name).close()

    def close(self):
        self.closed = True
        for name in list(self.servers):
            self.stop(name)


@pytest.fixture
def engine(monkeypatch):
    made = LocalEngine(2.0, 2.0)
    monkeypatch.setattr(remotes, "connect", lambda name, address: made)
    monkeypatch.setattr(groups, "_SETTLE_SECONDS", 0.0)
    yield made
    made.close()


def nodes(*free):
    return [Node(str(i), f"n{i}", 8.0, cpus) for i, cpus in enumerate(free)]


@pytest.mark.parametrize(
    ("free", "count", "cpus", "expected"),
    [
        ((4, 4), 2, 1, "01"),
        ((1, 4), 3, 1, "101"),
        ((1, 4, 0), 5, 1, "10111"),
        ((4, 4), 3, 4, ""),
        ((3, 3), 2, 4, ""),  # as much as is wanted, but nowhere in one piece
        ((4, 1, 4), None, 2, "02"),
        ((0.5, 0.5), None, 1, ""),
        ((), 1, 1, ""),
    ],
)
def test_servers_are_spread_over_nodes(free, count, cpus, expected):
    assert "".join(node.id for node in groups.spread(nodes(*free), count, cpus)) == expected


def test_a_group_starts_again_under_its_name_and_stops(engine):
    plan = groups.Plan("g", CARTPOLE, 3)
    first = groups.start(engine, plan)
    again = groups.start(engine, plan)
    assert [name for name, _ in again] == ["g/0", "g/1", "g/2"] == groups.members(engine, "g")
    assert [node.id for _, node in engine.orders] == ["0", "1", "0"]
    assert len({str(address) for _, address in first + again}) == 6
    assert groups.stop(engine, "g") == ["g/0", "g/1", "g/2"]
    assert not engine.servers


def test_servers_come_in_the_order_of_their_numbers(engine):
    engine.cpus = (20.0,)
    groups.start(engine, groups.Plan("g", CARTPOLE, 11))
    assert groups.members(engine, "g")[-2:] == ["g/9", "g/10"]
    assert groups.members(engine, "another") == []


def test_no_room_says_what_is_used_and_starts_nothing(engine):
    groups.start(engine, groups.Plan("g", CARTPOLE, 3))
    with pytest.raises(envring.HostRefused, match="3 of 4 CPUs of 2 nodes are used") as caught:
        groups.start(engine, groups.Plan("other", CARTPOLE, 2))
    assert caught.value.reason == "full"
    assert len(engine.servers) == 3


def test_room_is_waited_for(engine, monkeypatch):
    first = groups.Plan("g", CARTPOLE, 4)
    groups.start(engine, first)
    monkeypatch.setattr(groups.time, "sleep", lambda seconds: engine.stop("g/0"))
    assert len(groups.start(engine, groups.Plan("other", CARTPOLE, 1), wait=20.0)) == 1


def test_every_server_wants_the_same_key_and_nothing_shows_it(engine):
    (_, one), (_, two) = groups.start(engine, groups.Plan("g", CARTPOLE, 2))
    assert one.key == two.key
    assert len(one.key) == 64
    order, _ = engine.orders[0]
    for shown in (str(one), repr(one), repr(order), repr(engine.ask("g/0", "status", 1.0))):
        assert one.key not in shown
    with pytest.raises(envring.HostRefused, match="key"):
        envring.make_vec("CartPole-v1", 1, remotes=str(one))


def test_a_port_that_is_taken_is_replaced_and_others_follow_the_first(engine):
    (_, first), (_, second) = groups.start(engine, groups.Plan("g", CARTPOLE, 2))
    plan = groups.Plan("h", CARTPOLE, 2, port=first.port)
    (_, third), (_, fourth) = groups.start(engine, plan)
    assert third.port not in (first.port, second.port)
    assert fourth.port == first.port + 1


def test_a_server_that_cannot_serve_leaves_nothing(engine):
    with pytest.raises(envring.LaunchError, match="cannot serve: SpecError"):
        groups.start(engine, groups.Plan("g", [], 2))
    assert not engine.servers


def test_servers_for_a_caller_serve_its_envs_and_end_with_them(engine):
    envs = envring.make_vec("CartPole-v1", 2, remotes="ray://auto?n=1&cpus=2&heartbeat=7")
    (order, _), (name,) = engine.orders[0], engine.names()
    assert order.runtimes[0].envs == ("CartPole-v1",)
    assert not order.lasting
    assert order.cpus == 2
    assert name.startswith("caller-")
    observations, _ = envs.reset(seed=3)
    assert observations.shape == (2, 4)
    envs.close()
    assert not engine.servers
    assert engine.closed


def test_a_server_that_gets_no_env_is_stopped_at_once(engine):
    envs = envring.make_vec("CartPole-v1", 1, remotes="ray://auto?n=2")
    assert len(engine.servers) == 1
    envs.close()
    assert engine.closed


def test_servers_end_if_no_env_can_be_built(engine):
    with pytest.raises(envring.EnvringError, match="nonsense"):
        envring.make_vec("CartPole-v1", 2, remotes="ray://auto?n=2", nonsense=1)
    assert engine.closed
    assert not engine.servers


def test_a_group_that_runs_is_used_and_left_alone(engine):
    groups.start(engine, groups.Plan("g", CARTPOLE, 2))
    envs = envring.make_vec("CartPole-v1", 2, remotes="ray://auto?name=g")
    assert sum(engine.ask(name, "status", 1.0)["used"] for name in engine.names()) == 2
    engine.close = lambda: None
    envs.close()
    assert len(engine.servers) == 2
    del engine.close


def test_functions_are_no_envs_for_a_cluster(engine):
    with pytest.raises(envring.EnvFnError, match="as data"):
        envring.RingVectorEnv([lambda: None], remotes="ray://auto?n=1")
    assert not engine.orders


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ray://", "names no cluster"),
        ("ray://auto?n=0", "not a number of servers"),
        ("ray://auto?n=1.5", "not a number of servers"),
        ("ray://auto?cpus=many", "cpus=many is not a number"),
        ("ray://auto?m=4", "has an option 'm'"),
        ("ray://auto?name=g&n=4", "'n'; known: heartbeat, name, runtime with name="),
        ("ray://auto?name=g", "No servers named 'g' run there"),
    ],
)
def test_what_is_wrong_with_the_text_is_said(engine, text, error):
    with pytest.raises(envring.LaunchError, match=error):
        envring.make_vec("CartPole-v1", 1, remotes=text)
    assert not engine.orders


def test_an_engine_that_does_not_exist_is_named():
    with pytest.raises(envring.LauncherError, match="no engine 'slurm'; there are: ray"):
        engines.connect("slurm", "auto")
