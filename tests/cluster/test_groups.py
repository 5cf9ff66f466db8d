# SPDX-License-Identifier: MIT
"""Groups of servers and the text of `remotes=`, with an engine that runs them in this process."""

import re
from collections import Counter

import pytest
from click.testing import CliRunner

import envring
from envring.cli.commands import command
from envring.cluster import engine as engines
from envring.cluster import groups, remotes
from envring.cluster.engine import Node
from envring.cluster.node_server import NodeServer
from envring.gateways.runtimes import Runtime
from envring.testing import assert_same_batch

CARTPOLE = [Runtime("default", ("CartPole-v1",))]


class LocalEngine:
    """Its nodes are this process."""

    def __init__(self, *cpus, address="127.0.0.1"):
        self.cpus = cpus
        self.address = address
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
        self.servers[order.name] = NodeServer(order, self.address)

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


class TestOtherMachines:
    """Nodes with addresses that others can reach; this machine reaches itself by 0.0.0.0."""

    @pytest.fixture
    def engine(self, engine):
        engine.address = "0.0.0.0"
        return engine

    def test_connections_are_encrypted(self, engine):
        envs = envring.make_vec("CartPole-v1", 2, remotes="ray://auto?n=2")
        local = envring.make_vec("CartPole-v1", 2)
        for part in envs._batcher.pool.parts:
            assert not part.pool._host.link.is_plain
            assert str(part.pool.address).startswith("tls://0.0.0.0:")
        assert_same_batch(envs.reset(seed=3), local.reset(seed=3))
        for _ in range(20):
            assert_same_batch(envs.step([1, 0]), local.step([1, 0]))
        envs.close()
        local.close()
        assert not engine.servers

    def test_a_group_that_runs_tells_whom_to_trust(self, engine):
        ((_, first),) = groups.start(engine, groups.Plan("g", CARTPOLE, 1))
        envs = envring.make_vec("CartPole-v1", 2, remotes="ray://auto?name=g")
        engine.close = lambda: None
        envs.close()
        del engine.close
        ((_, again),) = groups.start(engine, groups.Plan("g", CARTPOLE, 1))
        assert first.authority != again.authority

    def test_others_are_not_let_in(self, engine, tmp_path):
        ((_, address),) = groups.start(engine, groups.Plan("g", CARTPOLE, 1))
        key = tmp_path / "key"
        key.write_text(address.key)
        with pytest.raises(envring.AddressError, match="not trusted"):
            envring.make_vec("CartPole-v1", 1, remotes=f"{address}?key=file:{key}")
        plain = str(address).replace("tls", "tcp")
        with pytest.raises(envring.LaunchError, match="does not answer as an env host"):
            envring.make_vec("CartPole-v1", 1, remotes=f"{plain}?key=file:{key}", start_timeout=2)
        authority = tmp_path / "ca.pem"
        authority.write_text(address.authority)
        trusted = f"{address}?ca={authority}&name={address.options['name']}"
        with pytest.raises(envring.HostRefused, match="key"):
            envring.make_vec("CartPole-v1", 1, remotes=trusted)
        envring.make_vec("CartPole-v1", 1, remotes=f"{trusted}&key=file:{key}").close()

    def test_nothing_shows_the_key_of_the_certificate(self, engine):
        ((_, address),) = groups.start(engine, groups.Plan("g", CARTPOLE, 1))
        order, _ = engine.orders[0]
        for shown in (repr(address), repr(order), repr(engine.ask("g/0", "status", 1.0))):
            assert "BEGIN" not in shown
        assert "PRIVATE" not in repr(engine.ask("g/0", "endpoint", 1.0))

    def test_without_certificates_it_is_refused_unless_one_insists(self, engine, monkeypatch):
        monkeypatch.setattr("envring.cluster.credentials.find_spec", lambda name: None)
        with pytest.raises(envring.LaunchError, match=r"envring\[remote\].*insecure=1"):
            envring.make_vec("CartPole-v1", 1, remotes="ray://auto?n=1")
        assert not engine.servers

    def test_one_may_insist(self, engine):
        envs = envring.make_vec("CartPole-v1", 1, remotes="ray://auto?n=1&insecure=1")
        assert str(envs._batcher.pool.address).startswith("tcp://0.0.0.0:")
        envs.close()

    @pytest.mark.parametrize("insecure", [False, True])
    def test_what_the_command_prints_can_be_used(self, engine, insecure, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        monkeypatch.setattr("envring.cli.cluster.connect", lambda name, address: engine)
        monkeypatch.setattr(engine, "close", lambda: None)
        arguments = ["cluster", "start", "-n", "2", "--runtime", "CartPole-v1"]
        arguments += ["--insecure"] * insecure
        shown = CliRunner().invoke(command, arguments)
        assert shown.exit_code == 0, shown.output
        remotes = re.search('remotes="(t[^"]*)"', shown.output)[1]
        assert ("tls://" in remotes) != insecure
        envs = envring.make_vec("CartPole-v1", 2, remotes=remotes)
        envs.reset(seed=1)
        envs.close()
        stopped = CliRunner().invoke(command, ["cluster", "stop"])
        assert stopped.exit_code == 0
        assert not list((tmp_path / "envring" / "cluster").iterdir())
        monkeypatch.undo()
