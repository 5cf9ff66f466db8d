# SPDX-License-Identifier: MIT
"""A run keeps to its time whatever its cells do."""

from envring.bench.measuring import sweep
from envring.bench.plan import matrix
from envring.bench.plan.cells import Cell


def test_a_run_measures_its_cells_and_tells_of_it(envs):
    told = []
    cells = [
        matrix.plan(Cell.of("null", 2, ("bare",))),
        matrix.plan(Cell.of("no_such_module:env", 2, ("bare",))),
        matrix.plan(Cell.of(f"{envs}:Raises", 2, ("async", "bare"))),
        matrix.plan(Cell.of("null", 3, ("bare",))),
    ]
    found = sweep.run(
        cells,
        seconds=20.0,
        rounds=2,
        slice_seconds=0.05,
        began=lambda index, cell: told.append((index, cell)),
        advanced=lambda: told.append("slice"),
        finished=told.append,
    )
    assert [each.cell for each in found] == [each.cell for each in cells]
    assert found[0].rate("bare").count == 2
    assert "cannot be loaded" in found[1].refusals["bare"]
    assert "boom" in found[2].failures["async"]
    assert found[2].rate("bare").count == 2
    assert told[:4] == [(0, cells[0].cell), "slice", "slice", found[0]]
    assert told[-1] is found[3]


def test_a_cell_for_which_no_time_is_left_is_not_begun():
    cells = [matrix.plan(Cell.of("null", 2, ("bare",)))] * 2
    first, second = sweep.run(cells, seconds=0.0, rounds=1, slice_seconds=0.05)
    assert first.rate("bare").count == 1
    assert second.failures == {"bare": "not measured: no time was left"}
