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
    """

    cdef CallerPort port
    cdef SlotPool slots
    cdef BatchReader reader
    cdef ActionSlab actions
    cdef IntSlab ints
    cdef bint leases, blocked

    def __init__(self, CallerPort port not None, SlotPool slots not None,
                 BatchReader reader not None, ActionSlab actions, IntSlab ints, bint leases):
        self.port = port
        self.slots = slots
        self.reader = reader
        self.actions = actions
        self.ints = ints
        self.leases = leases

    def block(self):
        """Has `start` refer to the long way from now on."""
        self.blocked = True

    def start(self, actions):
        """Starts a step and returns its slot, or -1 for the long way."""
        cdef uint32_t slot = 0
        cdef uint32_t how = ER_ACTIONS_SLAB
        if self.blocked or self.port.uncollected:
            return -1
        if type(actions) is list and self.ints is not None and self.ints.put(actions):
            how = ER_ACTIONS_INTS
        elif self.actions is None or not self.actions.put(actions):
            return -1
        if self.leases:
            slot = self.slots.take()
        self.port.uncollected = True
        self.port.start_step(slot, how)
        return slot

    def wait(self):
        """As CallerPort.wait, without a deadline."""
        return self.port.wait(ER_FOREVER)

    def take(self, uint32_t slot):
        """(rewards, terminations, truncations) of a complete batch, or None for the long way."""
        if self.port.attention():
            return None
        self.port.uncollected = False
        return self.reader.outcomes(slot)
