# SPDX-License-Identifier: MIT
# A whole step of the caller, where nothing is out of the ordinary. Part of _core.pyx.


cdef class StepPath:
    """The short way through a step: what pool, reader and slots do, without Python in between.

    Every call answers whether the short way can be taken; where it cannot, nothing was changed and
    the long way goes on from there.

    Args:
        port: the caller's port.
        slots: the slots.
        reader: hands out batches.
        actions: the action slab for batches of the space's dtype and shape, or None.
        ints: the action slab for lists of Python's ints, or None.
        leases: whether batches are handed out in place.

    Attributes:
        build: makes an observation of its leaves; None: it is the only one.
        shared: the observation that `step` hands out each time; None: a new one.
        is_under_way: whether the last `step` started a batch whose results it did not take.
    """

    cdef CallerPort port
    cdef SlotPool slots
    cdef BatchReader reader
    cdef ActionSlab actions
    cdef IntSlab ints
    cdef bint leases, blocked
    cdef StepLoop own  # of a slice that the caller steps itself, or None
    cdef uint32_t own_first, own_end, own_slot, own_how
    cdef bint own_is_due
    cdef public bint held  # the caller's part of the batch is not the short way's
    cdef public object build, shared
    cdef readonly bint is_under_way

    def __init__(self, CallerPort port not None, SlotPool slots not None,
                 BatchReader reader not None, ActionSlab actions, IntSlab ints, bint leases):
        self.port = port
        self.slots = slots
        self.reader = reader
        self.actions = actions
        self.ints = ints
        self.leases = leases

    def share(self, StepLoop own not None, uint32_t first, uint32_t end):
        """Has the caller step these envs, while the workers step theirs."""
        self.own, self.own_first, self.own_end = own, first, end

    cpdef step_own(self):
        """Steps the caller's envs, if they have not been stepped in this batch."""
        if self.own_is_due:
            self.own_is_due = False
            self.own.step(self.own_slot, self.own_how)

    cdef bint _own_needs_more(self):
        """Whether there is more of the caller's envs than observations, rewards and flags."""
        cdef uint32_t env
        cdef uint16_t *template_ids
        if self.own.slice.has_reply:
            return True
        template_ids = <uint16_t *>self.port.segment.at(self.port.segment.off_template_ids)
        for env in range(self.own_first, self.own_end):
            if template_ids[env]:
                return True
        return False

    def block(self, bint blocked=True):
        """Has `start` refer to the long way from now on, or not any more."""
        self.blocked = blocked

    def step(self, actions):
        """Makes a step: (observation, rewards, terminations, truncations, {}), without the infos
        that it does not have.

        False for the long way. None: it was started, and the long way goes on with waiting.
        """
        self.is_under_way = False
        cdef int64_t slot = self.start(actions)
        if slot < 0:
            return False
        self.slots.batch = slot
        self.is_under_way = True  # Ctrl-C may strike while it is waited for, or when it is complete
        if self.held:
            return None
        self.step_own()
        self.reader.prepare()
        if self.port.wait(ER_FOREVER) != 0 or not self._is_plain():
            return None
        self.is_under_way = False
        self.slots.batch = 0
        cdef tuple outcomes = self.reader.outcomes(slot)
        observation = self.shared
        if observation is None:
            leaves = self.reader.observations(slot)
            observation = leaves[0] if self.build is None else self.build(leaves)
        return (observation, outcomes[0], outcomes[1], outcomes[2], {})

    cpdef int64_t start(self, actions) except -2:
        """Starts a step and returns its slot, or -1 for the long way."""
        cdef uint32_t slot = self.slots.copied
        cdef uint32_t how = ER_ACTIONS_SLAB
        if self.blocked or self.port.uncollected:
            return -1
        if self.port.watch is not None and self.port.watch.noticed():
            return -1
        if type(actions) is list and self.ints is not None and self.ints.put(actions):
            how = ER_ACTIONS_INTS
        elif self.actions is None or not self.actions.put(actions):
            return -1
        if self.leases:
            slot = self.slots.take()
        self.port.uncollected = True
        self.port.start_step(slot, how)
        if self.own is not None:
            self.own_slot, self.own_how, self.own_is_due = slot, how, True
        return slot

    cpdef int wait(self) except -1:
        """As CallerPort.wait, without a deadline."""
        if self.held:
            return 2
        self.step_own()
        return self.port.wait(ER_FOREVER)

    def take(self, uint32_t slot):
        """(rewards, terminations, truncations) of a complete batch, or None for the long way."""
        return self.reader.outcomes(slot) if self._is_plain() else None

    def take_first(self, uint32_t slot):
        """(reward, terminated, truncated) of env 0 of a complete batch, or None as `take`."""
        return self.reader.first_outcomes(slot) if self._is_plain() else None

    cdef bint _is_plain(self) except -1:
        """Whether a complete batch is nothing but arrays: then it is taken."""
        if self.port.attention() or (self.own is not None and self._own_needs_more()):
            return False
        self.port.uncollected = False
        return True
