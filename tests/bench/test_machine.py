# SPDX-License-Identifier: MIT
"""What the machine says of itself."""

from envring.bench.measuring import machine
from envring.bench.reporting import wording


def test_the_machine_is_described():
    found = machine.describe()
    assert 1 <= found["cores_usable"] <= found["cores_total"]
    assert {"python", "gymnasium", "numpy"} <= found["versions"].keys()
    assert found["versions"]["numpy"] in wording.machine_line(found)
