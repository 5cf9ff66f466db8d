# SPDX-License-Identifier: MIT
"""Many callers of dm_env_rpc at once, each of whom waits for all others before it ends.

Run by an interpreter that has dm-env-rpc: `python dm_env_rpc_many.py HOST:PORT CALLERS`. With
a further argument, each prints "up" and steps until it is killed.
"""

import sys
import threading

import grpc
from dm_env_rpc.v1 import connection, dm_env_adaptor

place, count = sys.argv[1], int(sys.argv[2])
barrier = threading.Barrier(count, timeout=30)
served = []


def call():
    channel = grpc.insecure_channel(place, [("grpc.use_local_subchannel_pool", 1)])
    with connection.Connection(channel) as joined:
        env, _ = dm_env_adaptor.create_and_join_world(joined, {}, {})
        env.reset()
        barrier.wait()
        if len(sys.argv) > 3:
            print("up", flush=True)
            while True:
                env.step({"action": 1})
        for _ in range(3):
            step = env.step({"action": 1})
        assert step.last() and step.observation["observation"].tolist() == [0, 0, 3, 1]
        barrier.wait()
        env.close()
    channel.close()
    served.append(1)


threads = [threading.Thread(target=call) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(served))
