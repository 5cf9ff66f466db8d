# SPDX-License-Identifier: MIT
"""A server of dm_env_rpc as its authors write theirs: prints its port.

No bounds, no settings, one world, a ball that falls for nine steps. Run by an interpreter that
has dm-env-rpc.
"""

from concurrent import futures

import grpc
import numpy as np
from dm_env_rpc.v1 import dm_env_rpc_pb2 as messages
from dm_env_rpc.v1 import dm_env_rpc_pb2_grpc, spec_manager
from google.rpc import status_pb2

ACTIONS = {1: messages.TensorSpec(name="paddle", dtype=messages.INT8)}
OBSERVATIONS = {
    1: messages.TensorSpec(name="board", shape=[10, 10], dtype=messages.FLOAT),
    2: messages.TensorSpec(name="reward", dtype=messages.FLOAT),
}


class Catch(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    def Process(self, requests, context):
        self.begin()
        for request in requests:
            kind = request.WhichOneof("payload")
            response = messages.EnvironmentResponse()
            try:
                made = getattr(self, kind)(getattr(request, kind))
                getattr(response, kind).CopyFrom(made)
            except Exception as error:
                response.error.CopyFrom(status_pb2.Status(message=str(error)))
            yield response

    def begin(self):
        self.is_new, self.t, self.paddle = True, 0, 5

    def create_world(self, request):
        return messages.CreateWorldResponse(world_name="catch")

    def join_world(self, request):
        assert request.world_name == "catch"
        response = messages.JoinWorldResponse()
        for uid, spec in ACTIONS.items():
            response.specs.actions[uid].CopyFrom(spec)
        for uid, spec in OBSERVATIONS.items():
            response.specs.observations[uid].CopyFrom(spec)
        return response

    def reset(self, request):
        self.begin()
        return messages.ResetResponse()

    def leave_world(self, request):
        return messages.LeaveWorldResponse()

    def step(self, request):
        if self.is_new:
            self.is_new = False
        else:
            action = spec_manager.SpecManager(ACTIONS).unpack(request.actions)["paddle"]
            if abs(action) > 1:
                raise ValueError("the paddle is not that fast")
            self.t, self.paddle = self.t + 1, self.paddle + action
        board = np.zeros((10, 10), np.float32)
        board[self.t, 4] = board[9, self.paddle] = 1
        over = self.t == 9
        reward = float(over and self.paddle == 4)
        packed = spec_manager.SpecManager(OBSERVATIONS).pack({"board": board, "reward": reward})
        response = messages.StepResponse(state=messages.TERMINATED if over else messages.RUNNING)
        for uid in request.requested_observations:
            response.observations[uid].CopyFrom(packed[uid])
        if over:
            self.begin()
        return response


server = grpc.server(futures.ThreadPoolExecutor(8))
dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(Catch(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
