# SPDX-License-Identifier: MIT
"""What the machine says of itself."""

from envring.bench import machine, report


def test_the_machine_is_described():
    found = machine.describe()
    assert 1 <= found["cores_usable"] <= found["cores_total"]
    assert {"python", "gymnasium", "numpy"} <= found["versions"].keys()
    assert found["versions"]["numpy"] in report.machine_line(found)
