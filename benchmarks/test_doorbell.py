# SPDX-License-Identifier: MIT
"""A round trip between two processes: doorbells that spin or sleep, and pipes, by their CPUs."""

import pytest

from envring.cpus import allowed_cpus
from support.wires import doorbell, pipes

SPINS = {"spinning": 1e-3, "asleep": 0.0}
CPUS = allowed_cpus()
PLACES = {"same CPU": (CPUS[0], CPUS[0])}
if len(CPUS) > 1:
    PLACES["other CPU"] = (CPUS[0], CPUS[1])


@pytest.mark.parametrize("side", ["doorbell", "pipe"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("waiting", SPINS)
def test_round_trip(interleaved, side, waiting, place):
    sides = {"doorbell": doorbell(SPINS[waiting], PLACES[place]), "pipe": pipes(PLACES[place])}
    interleaved(side, f"round trip, {waiting}, {place}", sides, "a round trip")
