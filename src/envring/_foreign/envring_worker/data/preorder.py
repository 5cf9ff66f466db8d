# SPDX-License-Identifier: MIT
"""Observation plans and info templates in preorder, as compiled step loops need them.

The numbers are those of csrc/er_obs.h and er_infos.h.
"""

from __future__ import absolute_import, division, print_function

OBS_LEAF, OBS_DICT, OBS_TUPLE = range(3)

SCALAR_KINDS = {"i": 1, "u": 2, "f": 3}  #: by a dtype's kind; others are 0

INFO_KINDS = {"f": 0, "i": 1, "b": 2, "n": 3, "a": 4, "d": 5}


def flatten_plan(plan, key=None, nodes=None):
    """Returns nodes (kind, key in the parent, child count, index after the subtree, leaf)."""
    nodes = [] if nodes is None else nodes
    at = len(nodes)
    nodes.append(None)
    kind, children, leaf = OBS_LEAF, [], None
    if plan[0] == "leaf":
        leaf = plan
    elif plan[0] == "dict":
        kind, children = OBS_DICT, plan[1]
    else:
        kind, children = OBS_TUPLE, [(None, child) for child in plan[1]]
    for child_key, child in children:
        flatten_plan(child, child_key, nodes)
    nodes[at] = (kind, key, len(children), len(nodes), leaf)
    return nodes


def flatten_entries(entries, flat=None):
    """Returns triples (entry, child count, index after the subtree).

    None if the template has entries that compiled loops do not store.
    """
    flat = [] if flat is None else flat
    for entry in entries:
        if entry[0] not in INFO_KINDS:
            return None
        at = len(flat)
        flat.append(None)
        children = entry[2] if entry[0] == "d" else ()
        if flatten_entries(children, flat) is None:
            return None
        flat[at] = (entry, len(children), len(flat))
    return flat
