/* SPDX-License-Identifier: MIT
 *
 * One vector step after another: a caller, N workers (one env each), R batches. In step with
 * csrc/er_batch.c and csrc/er_doorbell.c.
 *
 * Two doorbells, each ONE word holding a sequence and a "somebody sleeps" flag: the command bell is
 * shared by all workers, the caller bell is rung by the worker that brings `pending` to zero. Facts
 * are the envs' sequences; ready marks say where to look.
 *
 *   -DKILL=n   up to n workers are killed, at any point of a batch. Nobody acts for the dead: the
 *              caller's waits are bounded, and after one that timed out it looks who died. It then
 *              gives the batch up and goes on with the survivors, of whom some may still be at the
 *              old one (their counts and marks arrive late).
 *   -DSTALL=n  the first n workers may find their reply ring full: they ring, and wait on the command
 *              bell until the caller has drained all rings and rung back.
 *
 * A timeout is possible only after a death nobody has noticed, and once for each: a lost wake-up
 * among the living stays a deadlock ("invalid end state").
 *
 * Every mutant (-DBUG_..., see run.sh) must be caught, or the model is blind.
 * Limits: sequential consistency only; weak memory is TSan's and other machines' job.
 */
#ifndef N
#define N 2
#endif
#ifndef R
#define R 3
#endif

byte cmd_seq;  bool cmd_flag;  bool cmd_asleep[N];      /* command bell */
byte cpl_seq;  bool cpl_flag;  bool cpl_asleep;         /* caller bell  */
byte posted[N];                                         /* command rings: newest command */
byte action[N]; byte obs[N]; byte env_seq[N]; bool ready[N]; bool stalled[N];
short pending;
bool dead[N]; bool alarm;                               /* alarm: a wait will time out */
byte messages_from = R + 1;                             /* batches from here on read no actions */
bool over;
#ifdef KILL
byte kills = KILL;
#define MAY_DIE(i)                                                          \
    if :: atomic { kills > 0 -> kills--; dead[i] = true; alarm = true; goto out } \
       :: skip fi
#else
#define MAY_DIE(i) skip
#endif

inline ring_command_bell() {
    d_step { had = cmd_flag; cmd_seq++; cmd_flag = false };      /* one CAS */
    if
    :: had -> d_step { had = false; for (j : 0 .. N - 1) { cmd_asleep[j] = false } j = 0 }
    :: else
    fi
}

inline ring_caller_bell(i) {
#ifdef BUG_SPLIT_FLAG
    had = cpl_flag;
    d_step { cpl_seq++; cpl_flag = false };
#else
    d_step { had = cpl_flag; cpl_seq++; cpl_flag = false };      /* one CAS */
#endif
    MAY_DIE(i);
    if :: had -> d_step { had = false; cpl_asleep = false } :: else fi
}

/* Until the command bell moves on from `seen`, or all is over. */
inline wait_command_bell(i, seen) {
    do
    :: cmd_seq != seen || over -> break
    :: else ->
        if
        :: atomic { cmd_seq == seen -> cmd_flag = true }         /* CAS seen -> seen | flag */
        :: cmd_seq != seen -> break
        fi;
        if
        :: atomic { (cmd_seq == seen && cmd_flag) -> cmd_asleep[i] = true };
            (!cmd_asleep[i] || over)                             /* the kernel compared and queued */
        :: !(cmd_seq == seen && cmd_flag)
        fi
    od
}

inline wait_caller_bell(seen) {
    do
    :: cpl_seq != seen -> break
    :: else ->
#ifdef BUG_NO_RECHECK
        cpl_flag = true; cpl_asleep = true;
        if
        :: !cpl_asleep
        :: atomic { alarm -> alarm = false; cpl_asleep = false; timed_out = true }
        fi;
        break
#else
        if
        :: atomic { cpl_seq == seen -> cpl_flag = true }
        :: cpl_seq != seen -> break
        fi;
        if
        :: atomic { (cpl_seq == seen && cpl_flag) -> cpl_asleep = true };
            if
            :: !cpl_asleep
            :: atomic { alarm -> alarm = false; cpl_asleep = false; timed_out = true }; break
            fi
        :: !(cpl_seq == seen && cpl_flag)
        fi
#endif
    od
}

proctype worker(byte i) {
    byte at; byte seen; byte j; bool had; short left;
    do
    :: at == R || over -> break
    :: else ->
        seen = cmd_seq;
        if
        :: posted[i] == at -> wait_command_bell(i, seen); seen = 0
        :: else ->
            d_step { at++; seen = 0 };
            MAY_DIE(i);
            assert(action[i] == at || at >= messages_from);
#ifdef STALL
            if
            :: i < STALL ->
                stalled[i] = true;
                do
                :: !stalled[i] || over -> break
                :: else ->
#ifdef BUG_SAMPLE_AFTER_RING
                    ring_caller_bell(i);
                    seen = cmd_seq;
#else
                    seen = cmd_seq;
                    ring_caller_bell(i);
#endif
                    wait_command_bell(i, seen);
                    seen = 0
                od
            :: skip
            fi;
#endif
#ifdef BUG_SEQUENCE_FIRST
            env_seq[i] = at;
            MAY_DIE(i);
            obs[i] = at;
#else
            obs[i] = at;
            MAY_DIE(i);
            env_seq[i] = at;
#endif
            MAY_DIE(i);
            ready[i] = true;
            MAY_DIE(i);
            d_step { pending--; left = pending };
            MAY_DIE(i);
            if :: left <= 0 -> left = 0; ring_caller_bell(i) :: else -> left = 0 fi
        fi
    od;
out:
    skip
}

/* Takes all marks at once (one exchange), then counts what has the batch's sequence. */
inline collect() {
    d_step {
        found = false;
        for (i : 0 .. N - 1) {
            if :: ready[i] -> ready[i] = false; taken[i] = true; found = true :: else fi
        }
    };
    if
    :: found ->
        for (i : 0 .. N - 1) {
            if
#ifdef BUG_COUNT_BITS
            :: d_step { taken[i] && !counted[i] -> counted[i] = true; done++ }
#else
            :: d_step { taken[i] && !counted[i] && env_seq[i] == r -> counted[i] = true; done++ }
#endif
            :: else
            fi;
            taken[i] = false
        }
    :: else
    fi
}

/* Makes room for all workers, and answers even if there was nothing to do: who has stalled since the
 * last answer waits for the next. */
inline drain() {
#ifdef STALL
    for (i : 0 .. N - 1) { stalled[i] = false }
    ring_command_bell()
#else
    skip
#endif
}

active proctype caller() {
    byte r; byte i; byte j; byte seen; byte done; byte expected;
    bool had; bool timed_out; bool rung; bool given_up; bool found;
    bool noticed[N]; bool counted[N]; bool taken[N];
    for (i : 0 .. N - 1) { run worker(i) }
    do
    :: r == R -> break
    :: else ->
        d_step {
            r++; done = 0; expected = 0; given_up = false;
            for (i : 0 .. N - 1) {
                counted[i] = false;
                if :: !noticed[i] -> expected++ :: else fi
            }
        }
#ifndef BUG_RESET_LATE
        pending = expected;
#endif
        seen = cpl_seq;
        for (i : 0 .. N - 1) {
            if
            :: !noticed[i] ->
                if :: r < messages_from -> action[i] = r :: else fi;
                posted[i] = r                                    /* release of the ring's tail */
            :: else
            fi
        }
#ifdef BUG_RESET_LATE
        pending = expected;
#endif
        ring_command_bell();
        rung = false;
        do
        ::
#ifdef BUG_LOOK_BEFORE_SAMPLE
            if :: rung -> drain() :: else fi;
            seen = cpl_seq;
            collect();
            if :: done == expected -> break :: else fi;
#else
            collect();
            if :: done == expected -> break :: else fi;
            if :: rung -> drain() :: else fi;
#endif
            timed_out = false; rung = false;
            wait_caller_bell(seen);
            if
            :: timed_out ->
#ifndef BUG_NO_DEATH_CHECK
                for (i : 0 .. N - 1) {
                    if
                    :: dead[i] && !noticed[i] ->
                        noticed[i] = true; given_up = true; messages_from = r + 1
                    :: else
                    fi
                }
#endif
                skip
            :: else ->
                rung = true;
                seen = cpl_seq                                   /* before collecting and draining */
            fi;
            if :: given_up -> break :: else fi
        od;
        seen = 0;
        if
        :: !given_up ->
            for (i : 0 .. N - 1) { assert(noticed[i] || obs[i] == r) }
        :: else
        fi
    od;
    over = true
}
