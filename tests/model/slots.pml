/* SPDX-License-Identifier: MIT
 *
 * Slots that whole slices are sent into, and leases on them: a caller, W workers of S envs each, R
 * commands for each env, SLOTS slots beside slot 0. In step with batch/arrivals.py, core/_slots.pxi,
 * csrc/er_flow.c and er_worker_finish_some; bells and counts are those of flow.pml.
 *
 * Slices that are sent together share a slot, if one is idle; single envs store in slot 0, where each
 * has a row of its own. A worker counts all that it did of a command at once. What the caller waited
 * for (K envs) is handed out in place if it is a run of rows of one slot, and copied otherwise. Who
 * has it in place drops it when he likes. A slot is idle again when all that were sent into it were
 * taken, and nobody has it.
 *
 * Checked: no row is written that somebody may read, what is handed out stays as it was, no wake-up
 * is lost, and in the end every slot is idle.
 *
 * Every mutant (-DBUG_..., see run.sh) must be caught.
 */
#ifndef W
#define W 2
#endif
#ifndef S
#define S 2
#endif
#ifndef R
#define R 2
#endif
#ifndef K
#define K 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#define E (W * S)
#define ROW(slot, env) ((slot) * E + (env))

byte row[(SLOTS + 1) * E];
bool read[(SLOTS + 1) * E];                     /* the caller, or who it was handed to, may read it */
byte env_seq[E]; bool ready[E];
short pending; bool bell;                        /* rung, and not looked at since */
chan ring[W] = [S] of { byte, byte, byte };     /* first env, count, slot */

proctype worker(byte w) {
    byte first; byte count; byte slot; byte j; byte at[E]; short left;
end:
    do
    :: atomic { ring[w] ? first, count, slot ->
        d_step {
            for (j : first .. first + count - 1) {
                at[j]++;
                assert(!read[ROW(slot, j)]);
#ifdef BUG_MARK_SLICE_FIRST
                if :: j == first -> row[ROW(slot, j)] = at[j] :: else fi;
                env_seq[j] = at[j]; ready[j] = true
#else
                row[ROW(slot, j)] = at[j]
#endif
            }
        } }
        d_step {
            for (j : first .. first + count - 1) {
                row[ROW(slot, j)] = at[j]; env_seq[j] = at[j]; ready[j] = true
            }
        }
        d_step {
            pending = pending - count; left = pending; j = 0; first = 0; slot = 0
        }
        if
#ifdef BUG_RING_AT_ZERO_ONLY
        :: left == 0 -> bell = true
#else
        :: left <= 0 && left + count > 0 -> bell = true
#endif
        :: else
        fi;
        d_step { left = 0; count = 0 }
    od
}

inline collect() {
    d_step {
        for (i : 0 .. E - 1) {
            if
            :: ready[i] ->
                ready[i] = false;
                if
                :: out[i] && !found[i] && env_seq[i] == sent[i] ->
                    found[i] = true; num_found++; ahead--; read[ROW(slot_of[i], i)] = true
                :: else
                fi
            :: else
            fi
        }
        i = 0
    }
}

inline post(first, count, slot) {
    d_step {
        for (j : first .. first + count - 1) {
            sent[j]++; out[j] = true; slot_of[j] = slot; num_out++
        }
        j = 0
    }
    ring[(first) / S] ! first, count, slot
}

/* A slot that is idle, or 0. */
inline take_slot() {
    slot = 0;
    for (i : 1 .. SLOTS) {
        if :: slot == 0 && idle[i] -> slot = i :: else fi
    }
    i = 0;
#ifndef BUG_TAKEN_TWICE
    if :: slot > 0 -> idle[slot] = false :: else fi
#endif
}

inline give_back_if_unused(slot) {
    if
#ifdef BUG_LEASE_ALONE
    :: viewed[slot] == 0 -> idle[slot] = true
#else
#ifdef BUG_FORGET_LEASE
    :: left_in[slot] == 0 -> idle[slot] = true
#else
    :: left_in[slot] == 0 && viewed[slot] == 0 -> idle[slot] = true
#endif
#endif
    :: else
    fi
}

/* Who has rows of a slot in place drops them: they are as they were. */
inline drop(slot) {
    d_step {
        for (i : 0 .. E - 1) {
            if
            :: was[ROW(slot, i)] > 0 ->
                assert(row[ROW(slot, i)] == was[ROW(slot, i)]);
                was[ROW(slot, i)] = 0; read[ROW(slot, i)] = false
            :: else
            fi
        }
        i = 0; viewed[slot] = 0
    }
    give_back_if_unused(slot)
}

active proctype caller() {
    byte i; byte j; byte w; byte slot; byte num_found; byte num_out; byte want; byte took;
    byte begin; byte end; short ahead; short left; short more; bool in_place; bool whole;
    byte sent[E]; bool out[E]; bool found[E]; bool taken[E]; byte slot_of[E]; bool chosen[W];
    byte left_in[SLOTS + 1]; byte viewed[SLOTS + 1]; bool idle[SLOTS + 1]; byte was[(SLOTS + 1) * E];
    for (i : 1 .. SLOTS) { idle[i] = true }
    for (i : 0 .. W - 1) { run worker(i) }
    i = 0;
    do
    ::
        atomic {
        want = 0;
        for (w : 0 .. W - 1) {                  /* which slices are sent as a whole */
            d_step {
                whole = true;
                for (i : w * S .. w * S + S - 1) {
                    if :: out[i] || sent[i] == R -> whole = false :: else fi
                }
                i = 0
            }
            if
            :: whole -> chosen[w] = true; want++
            :: whole -> skip
            :: else
            fi
        }
        if
        :: want > 0 ->
            take_slot();
            left_in[slot] = want * S;
            for (w : 0 .. W - 1) {
                if
                :: chosen[w] -> post(w * S, S, slot); chosen[w] = false
                :: else
                fi
            }
        :: else
        fi;
        for (w : 0 .. W - 1) {                  /* others one by one, or none of a worker */
            if
            :: for (i : w * S .. w * S + S - 1) {
                    if :: !out[i] && sent[i] < R -> post(i, 1, 0) :: else fi
                }
            :: num_out > 0
            fi
        }
        w = 0; i = 0; slot = 0;
        if :: num_out == 0 -> goto over :: else fi;
        for (slot : 1 .. SLOTS) {
            if
            :: viewed[slot] > 0 -> drop(slot)
            :: true
            fi
        }
        if :: num_out < K -> want = num_out :: else -> want = K fi
        };
        do
        ::
            collect();
            if :: num_found >= want -> break :: else fi;
            d_step { more = want - num_found - ahead; ahead = ahead + more; pending = pending + more;
                left = pending; more = 0 };
            if
            :: left <= 0 -> collect(); if :: num_found >= want -> break :: else fi
            :: else
            fi;
            atomic { bell -> bell = false; left = 0 }
        od;
        atomic {
        d_step {
            took = 0; begin = E; end = 0; in_place = true; slot = 0;
            for (i : 0 .. E - 1) {
                if
                :: found[i] && took < want ->
                    taken[i] = true; found[i] = false; out[i] = false; took++; num_found--; num_out--;
                    if :: begin == E -> begin = i; slot = slot_of[i] :: else fi;
                    end = i + 1;
                    if :: slot_of[i] != slot -> in_place = false :: else fi
                :: else
                fi
            }
            in_place = in_place && slot > 0 && end - begin == took; i = 0
        }
        for (i : 0 .. E - 1) {
            if
            :: taken[i] ->
                assert(row[ROW(slot_of[i], i)] == sent[i]);
                if
                :: in_place -> viewed[slot] = 1; was[ROW(slot, i)] = sent[i]
                :: else -> read[ROW(slot_of[i], i)] = false
                fi
            :: else
            fi
        }
        for (i : 0 .. E - 1) {
            if
            :: taken[i] && slot_of[i] > 0 ->
                slot = slot_of[i];
#ifdef BUG_LEFT_AT_FIRST
                left_in[slot] = 0;
#else
                left_in[slot]--;
#endif
                taken[i] = false; slot_of[i] = 0;
                give_back_if_unused(slot)
            :: else -> taken[i] = false
            fi
        }
        i = 0; slot = 0; begin = 0; end = 0; took = 0; want = 0; left = 0; in_place = false
        }
    od;
over: skip;
    for (slot : 1 .. SLOTS) {
        skip;
        drop(slot);
        assert(idle[slot] && left_in[slot] == 0)
    }
    for (i : 0 .. E - 1) { assert(sent[i] == R) }
}
