# SPDX-License-Identifier: MIT
"""DeepMind's compliance suite for dm_env_rpc v1, against a server that is up.

Run by an interpreter that has dm-env-rpc: `python dm_env_rpc_compliance.py HOST:PORT`.
"""

import sys

import grpc
from absl.testing import absltest
from dm_env_rpc.v1 import connection, dm_env_rpc_pb2, tensor_utils
from dm_env_rpc.v1.compliance import (
    create_destroy_world,
    join_leave_world,
    reset,
    reset_world,
    step,
)

ADDRESS = sys.argv.pop(1)
INVALID = {"no_such": tensor_utils.pack_tensor(1)}


def connected():
    channel = grpc.insecure_channel(ADDRESS, [("grpc.use_local_subchannel_pool", 1)])
    return connection.Connection(channel), channel


class Served:
    """A connection and a world for the tests of a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._connection, cls._channel = connected()
        request = dm_env_rpc_pb2.CreateWorldRequest()
        cls._world_name = cls._connection.send(request).world_name

    @classmethod
    def tearDownClass(cls):
        cls._connection.send(dm_env_rpc_pb2.LeaveWorldRequest())
        cls._connection.send(dm_env_rpc_pb2.DestroyWorldRequest(world_name=cls._world_name))
        cls._connection.close()
        cls._channel.close()
        super().tearDownClass()

    @property
    def connection(self):
        return self._connection

    @property
    def world_name(self):
        return self._world_name

    def join(self):
        request = dm_env_rpc_pb2.JoinWorldRequest(world_name=self._world_name)
        return self._connection.send(request).specs

    def leave(self):
        self._connection.send(dm_env_rpc_pb2.LeaveWorldRequest())


class CreateDestroyWorldTest(create_destroy_world.CreateDestroyWorld):
    required_world_settings = {}  # noqa: RUF012 - as the suite has it
    invalid_world_settings = INVALID
    has_multiple_world_support = True

    def setUp(self):
        super().setUp()
        self._connection, self._channel = connected()

    def tearDown(self):
        self._connection.close()
        self._channel.close()
        super().tearDown()

    @property
    def connection(self):
        return self._connection


class JoinLeaveWorldTest(Served, join_leave_world.JoinLeaveWorld):
    invalid_join_settings = INVALID


class ResetTest(Served, reset.Reset):
    def tearDown(self):
        self.leave()
        super().tearDown()

    def join_world(self):
        return self.join()


class ResetWorldTest(Served, reset_world.ResetWorld):
    pass


class StepTest(Served, step.Step):
    def setUp(self):
        super().setUp()
        self._specs = self.join()

    def tearDown(self):
        self.leave()
        super().tearDown()

    @property
    def specs(self):
        return self._specs


if __name__ == "__main__":
    absltest.main()
