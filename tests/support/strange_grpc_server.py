# SPDX-License-Identifier: MIT
"""A server of gRPC that breaks dm_env_rpc's rules as the name of the env says.

`python strange_grpc_server.py` prints its port.
"""

import os
import time
from concurrent import futures

import grpc


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value):
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(found) + bytes([value])


def spec(uid, name, shape, dtype):
    tensor = field(1, name) + field(2, bytes(shape)) + bytes([3 << 3, dtype])
    return bytes([1 << 3, uid]) + field(2, tensor)


def joined(*observations):
    return field(2, field(1, field(1, spec(1, b"act", [], 3)) + b"".join(observations)))


OBSERVATION = field(2, spec(1, b"obs", [2], 1))
TENSOR = field(2, bytes([1 << 3, 1]) + field(2, field(1, field(1, b"\0" * 8)) + field(15, b"\2")))
RUNNING = bytes([1 << 3, 1])
HONEST = [field(1, field(1, b"w")), joined(OBSERVATION), field(3, RUNNING + TENSOR)]
# env -> answers in turn; None: silence; a number: the process ends; the last one is repeated
SCRIPTS = {
    b"honest": HONEST,
    b"silent": [None],
    b"silent-join": [HONEST[0], None],
    b"silent-step": [*HONEST, None],
    b"garbage": [b"\xff" * 100],
    b"empty": [b""],
    b"other": [field(7, b"")],
    b"varint": [bytes([1 << 3, 1])],
    b"endless": [b"\x0a" + b"\xff" * 9 + b"\x01"],
    b"huge": [HONEST[0], joined(field(2, spec(1, b"obs", [0xFF, 0xFF, 0xFF, 0xFF, 0x0F], 1)))],
    b"twice": [HONEST[0], joined(OBSERVATION, field(2, spec(2, b"obs", [2], 1)))],
    b"protos": [HONEST[0], joined(field(2, spec(1, b"obs", [2], 11)))],
    b"spaces": [HONEST[0], field(2, field(1, b"") + field(1000, b"\x05"))],
    b"stateless": [*HONEST[:2], field(3, TENSOR)],
    b"lacking": [*HONEST[:2], field(3, RUNNING)],
    b"misfit": [*HONEST[:2], field(3, RUNNING + TENSOR.replace(b"\x7a\x01\2", b"\x7a\x01\3"))],
    b"long": ["long"],
    b"ends": [],
    b"dies": [*HONEST, 1],
}


def process(requests, context):
    answers = None
    for request in requests:
        if answers is None:
            env = next(name for name in sorted(SCRIPTS, key=len)[::-1] if name in request)
            answers = list(SCRIPTS[env])
        if not answers:
            return
        if request[0] == 4 << 3 | 2:
            yield field(4, b"")  # any reset
            continue
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            time.sleep(30)
        elif isinstance(answer, int):
            os._exit(1)
        elif answer == "long":
            yield bytes(300 << 20)
        else:
            yield answer


server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_send_message_length", -1)])
handler = grpc.stream_stream_rpc_method_handler(process)
service = grpc.method_handlers_generic_handler("dm_env_rpc.v1.Environment", {"Process": handler})
server.add_generic_rpc_handlers((service,))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
