# SPDX-License-Identifier: MIT
"""The infos of envs, from what their workers stored and answered."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envring._foreign.envring_worker.loop import FINAL_NONE, FINAL_SLAB
from envring.batch.infos import AddInfo, InfoAssembler
from envring.batch.layout import Layout
from envring.batch.space_data import restore_value
from envring.batch.spaces import VectorSpaces
from envring.batch.vector_infos import merge
from envring.errors import InfoError
from envring.pool.protocol import Pool
from envring.pool.reply import Reply
from envring.transport.segment import MappedSegment


class EnvsInfos:
    """Batches infos, and tells the workers how to store those that came whole.

    Args:
        pool: steps the envs.
        segment: where they store.
        layout: of an observation.
        spaces: single and batched spaces.
        add_info: an overridden `_add_info`, or None.

    Attributes:
        listed: whether infos of some envs are a list of dicts, as the envs returned them.
    """

    listed = False

    def __init__(
        self,
        pool: Pool,
        segment: MappedSegment,
        layout: Layout,
        spaces: VectorSpaces,
        add_info: AddInfo | None,
    ) -> None:
        """Knows no info yet."""
        self._pool = pool
        self._vectors = pool.vectors
        self._segment = segment
        self._layout = layout
        self._space = spaces.single_observation_space
        self._restores = layout.has_dynamic and pool.foreign
        self._add_info = add_info
        self._assembler = InfoAssembler(pool.num_envs, segment.info_area, segment.back_infos)

    def of_all(self, reply: Reply | None) -> dict[str, Any]:
        """The infos of all envs as Gymnasium batches them."""
        if self._vectors is not None:
            odd = {} if reply is None else reply.odd
            told = [(range(*rows), odd.get(rows[0], {})) for rows in self._vectors]
            return merge(told, self._pool.num_envs)
        objects, odd, final_obs = self._parts(reply)
        try:
            return self._assembler.assemble(
                self._segment.template_ids, objects, odd, final_obs, self._add_info
            )
        finally:
            if odd and reply is not None:
                self.learn(reply)

    def of_each(
        self, reply: Reply | None, env_ids: NDArray[np.int32] | None = None
    ) -> list[dict[str, Any]]:
        """The info of each env as it returned it, or of some."""
        objects, odd, final_obs = self._parts(reply)
        template_ids = self._segment.template_ids.tolist()
        chosen = range(len(template_ids)) if env_ids is None else env_ids.tolist()
        try:
            infos = [
                self._assembler.info(env_id, template_ids[env_id], objects, odd, final_obs)
                for env_id in chosen
            ]
        finally:
            if odd and reply is not None:
                self.learn(reply)
        return infos if self._pool.detaches else deepcopy(infos)

    def of(self, env_ids: NDArray[np.int32], reply: Reply | None) -> Any:
        """The infos of some envs, batched as if they were all, with their `env_id`."""
        if self.listed:
            infos = self.of_each(reply, env_ids)
            for info, env_id in zip(infos, env_ids.tolist(), strict=True):
                info["env_id"] = env_id
            return infos
        batched = self._of_some(env_ids, reply)
        batched["env_id"] = env_ids
        return batched

    def _of_some(self, env_ids: NDArray[np.int32], reply: Reply | None) -> dict[str, Any]:
        if self._vectors is not None:
            odd = {} if reply is None else reply.odd
            each = [(range(n, n + 1), odd.get(i, {})) for n, i in enumerate(env_ids.tolist())]
            return merge(each, len(env_ids))
        objects, odd, final_obs = self._parts(reply)
        try:
            return self._assembler.assemble_some(
                env_ids, self._segment.template_ids, objects, odd, final_obs
            )
        finally:
            if odd and reply is not None:
                self.learn(reply)

    def _parts(self, reply: Reply | None) -> tuple[Any, Any, Callable[[int], Any]]:
        """(objects, odd infos, what gives an env's final observation) of a reply."""
        objects, odd, finals = {}, {}, {}
        if reply is not None:
            objects, odd, finals = reply.objects, reply.odd, reply.finals
        marks = self._segment.final_marks

        def final_obs(env_id: int) -> Any:
            if marks[env_id] == FINAL_SLAB:
                return self._layout.row(self._segment.final_arrays, env_id)
            if env_id not in finals:
                raise InfoError(f"env {env_id} ended without its final observation")
            return restore_value(self._space, finals[env_id]) if self._restores else finals[env_id]

        for env_id, info in odd.items():
            if marks[env_id] != FINAL_NONE:
                info["final_obs"] = final_obs(env_id)
        return objects, odd, final_obs

    def learn(self, reply: Reply) -> None:
        """Makes columns for infos that came whole. Those of vector envs always do."""
        if self._vectors is not None:
            return
        templates = self._assembler.learn(reply.odd)
        if templates:
            self._pool.tell([("templates", templates)] * len(self._pool.spans))
