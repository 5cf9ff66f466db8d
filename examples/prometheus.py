# SPDX-License-Identifier: MIT
"""Tells Prometheus what the workers of a vector env do, while it is stepped.

    python examples/prometheus.py [PORT]

`stats()` may be called by another thread: here the one that answers Prometheus, or `curl`.
"""

from __future__ import annotations

import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import gymnasium as gym

import envring

KINDS = {
    "env_steps": "counter",
    "step_seconds": "counter",
    "wait_seconds": "counter",
    "restarts": "counter",  # after deaths
    "planned_restarts": "counter",
    "memory": "gauge",
}


def exporter(envs: envring.RingVectorEnv, port: int) -> HTTPServer:
    """A server on this machine; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines, workers = [], envs.stats().workers
            for name, kind in KINDS.items():
                lines.append(f"# TYPE envring_worker_{name} {kind}\n")
                for number, worker in enumerate(workers):
                    value = getattr(worker, name)
                    if value is not None:  # unknown
                        lines.append(f'envring_worker_{name}{{worker="{number}"}} {value}\n')
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write("".join(lines).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return HTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Steps, and asks as Prometheus does."""
    envs = envring.RingVectorEnv([lambda: gym.make("CartPole-v1")] * 4, num_workers=2)
    envs.reset(seed=42)
    server = exporter(envs, int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    for _ in range(100):
        envs.step(envs.action_space.sample())
    print(url)
    with urllib.request.urlopen(url) as answer:  # as Prometheus asks, every few seconds
        print(answer.read().decode(), end="")
    server.shutdown()
    server.server_close()
    envs.close()


if __name__ == "__main__":
    main()
