/* SPDX-License-Identifier: MIT
 *
 * The slots of a rollout, which are written again and again: a caller, W workers of one env each,
 * T steps in a rollout, ROUNDS rollouts. In step with api/rollout.py, batch/time_slots.py and
 * batch/batcher.py (start_step_into); that a batch is complete when the caller goes on is
 * doorbell.pml's: here a count moves, and whoever brings it to zero wakes the caller.
 *
 * An env counts its steps and stores the count. Up to RAISES steps (of one env) raise: the batch has
 * then no results, but all envs have gone on. The caller may give actions that do not fit (up to
 * MISFITS times): then nothing is to change.
 *
 * Checked: at its end a rollout has in every row what the action was chosen for, and behind it
 * what came of it, or the row is not valid and the one before it is cut; the first row is the last one
 * of the rollout before; what is full stays as it is until a step begins.
 *
 * Every mutant (-DBUG_..., see run.sh) must be caught.
 */
#ifndef W
#define W 2
#endif
#ifndef T
#define T 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef RAISES
#define RAISES 1
#endif
#ifndef MISFITS
#define MISFITS 1
#endif
#define ROW(slot, env) ((slot) * W + (env))

byte row[(T + 1) * W];
byte posted[W]; byte slot_of[W];                /* the command of each worker */
byte failed;                                    /* envs that raised in the batch under way */
byte pending; byte raises = RAISES;
bool over;

proctype worker(byte w) {
    byte did; byte at;
    do
    :: over -> break
    :: posted[w] != did ->
        did++;
        at++;
        if
        :: d_step { w == 0 && raises > 0 -> raises--; failed++ }
        :: row[ROW(slot_of[w], w)] = at
        fi;
        pending--
    od
}

inline carry() {
    d_step {
        for (i : 0 .. W - 1) { row[ROW(0, i)] = row[ROW(T, i)] }
        i = 0
    }
}

inline go_round() {
    d_step {
        at = 0;
        for (t : 0 .. T - 1) { valid[t] = true; cut[t] = false }
        t = 0
    };
#ifndef BUG_NOT_CARRIED
#ifndef BUG_CARRIED_AFTER_POST
    carry()
#endif
#endif
}

active proctype caller() {
    byte i; byte t; byte at; byte round; byte lost; byte misfits = MISFITS;
    bool valid[T]; bool cut[T]; bool is_full; byte was[(T + 1) * W];
    for (t : 0 .. T - 1) { valid[t] = true }
    for (i : 0 .. W - 1) { run worker(i) }
    i = 0; t = 0;
    do
    :: round == ROUNDS -> break
    :: round < ROUNDS && misfits > 0 ->         /* actions that do not fit */
        misfits--;
#ifdef BUG_ROUND_BEFORE_ACTIONS
        if :: at == T -> go_round() :: else fi;
#endif
        skip;
        d_step {
            for (i : 0 .. (T + 1) * W - 1) { assert(!is_full || row[i] == was[i]) }
            assert(!is_full || at == T);
            i = 0
        }
    :: round < ROUNDS ->                        /* a step */
        if :: at == T -> go_round() :: else fi;
        skip;
        d_step {
            pending = W; failed = 0;
            for (i : 0 .. W - 1) { slot_of[i] = at + 1; posted[i]++ }
            i = 0
        };
#ifdef BUG_CARRIED_AFTER_POST
        if :: is_full -> carry() :: else fi;
#endif
#ifndef BUG_NOT_WAITED_FOR
        pending == 0;
#endif
        is_full = false;
        if
        :: failed > 0 ->
            lost++
#ifdef BUG_LOST_ROW_COUNTS
            ; at++
#endif
        :: else ->
            at++;
#ifndef BUG_VALID_AFTER_LOSS
            if :: lost > 0 -> valid[at - 1] = false :: else fi;
#endif
#ifndef BUG_NOT_CUT
            if :: lost > 0 && at > 1 -> cut[at - 2] = true :: else fi;
#endif
            lost = 0
        fi;
        if
        :: at == T ->
            d_step {
                for (i : 0 .. W - 1) {
                    assert(round == 0 || row[ROW(0, i)] == was[ROW(T, i)]);
                    for (t : 0 .. T - 1) {
                        assert(!valid[t] || row[ROW(t + 1, i)] == row[ROW(t, i)] + 1);
                        assert(valid[t] || t == 0 || cut[t - 1])
                    }
                }
                for (i : 0 .. (T + 1) * W - 1) { was[i] = row[i] }
                i = 0; t = 0
            };
            is_full = true;
            round++
        :: else
        fi
    od;
    over = true
}
