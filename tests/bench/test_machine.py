# SPDX-License-Identifier: MIT
"""What the machine says of itself."""

from envring.bench import figures, machine


def test_the_machine_is_described():
    found = machine.describe()
    assert 1 <= found["cores_usable"] <= found["cores_total"]
    assert {"python", "gymnasium", "numpy"} <= found["versions"].keys()
    assert found["versions"]["numpy"] in figures.machine_line(found)
