/* SPDX-License-Identifier: MIT
 *
 * Envs that are stepped by themselves: a caller, N workers (one env each) with R commands each. In
 * step with csrc/er_flow.c and er_worker_finish_some.
 *
 * The caller sends every env that it has received, and waits for K of those that are out. `pending` is
 * what it asked for less what was published; the worker that brings it to zero rings. An env's row is
 * the caller's from when it is found until it is taken. How workers learn of commands, and that bells
 * lose nothing, is doorbell.pml's: here a ring moves a counter, for which the caller waits.
 *
 * DIES workers (0) are killed between their mark and their count, and successors go on for them; if
 * LATE, one was only stopped there and counts after a wait that ended by its deadline. Such waits may
 * be two for each that died and one for each that counted late, not all that follow.
 *
 * A wake-up that is lost is a deadlock. Every mutant (-DBUG_..., see run.sh) must be caught.
 */
#ifndef N
#define N 3
#endif
#ifndef R
#define R 2
#endif
#ifndef K
#define K 2
#endif

#ifndef DIES
#define DIES 0
#endif
#ifndef LATE
#define LATE 0
#endif

byte posted[N]; byte row[N]; byte env_seq[N]; bool ready[N]; bool held[N];
short pending; byte bell; byte may_die = DIES; byte paused;

proctype worker(byte i) {
    byte at; short left;
    do
    :: at == R -> break
    :: posted[i] != at ->
        at++;
        assert(!held[i]);                       /* nobody reads the row that is written */
#ifdef BUG_MARK_FIRST
        env_seq[i] = at; ready[i] = true; row[i] = at;
#else
        row[i] = at; env_seq[i] = at; ready[i] = true;
#endif
#ifdef BUG_SPLIT_COUNT
        left = pending - 1; pending = left;     /* no single operation */
#else
        if
        :: d_step { may_die > 0 -> may_die--; paused = paused + LATE; left = 1 }
        :: d_step { pending--; left = pending }
        fi;
#endif
        if :: left == 0 -> bell++ :: else fi;
        left = 0
    od
}

inline collect() {
    d_step {
        for (i : 0 .. N - 1) {
            if
            :: ready[i] ->
                ready[i] = false;
                if
                :: out[i] && !found[i] && env_seq[i] == sent[i] ->
                    found[i] = true; held[i] = true; num_found++; all_found++
                :: else
                fi
            :: else
            fi
        }
    }
}

/* A wait ended by its deadline: as recount in csrc/er_flow.c. */
inline recount() {
    slices++;
    assert(slices <= 2 * DIES + LATE);
    left = pending;
    collect();
    more = left - (asked - all_found);
    if
#ifndef BUG_NO_RECOUNT
#ifndef BUG_NEVER_LOWER
    :: more < 0 -> pending = pending - more; more = 0
#endif
    :: more > 0 && more == excess -> pending = pending - more; more = 0
#endif
    :: else
    fi;
    excess = more;
    if
    :: paused > 0 -> d_step { paused--; pending-- }
    :: true
    fi
}

active proctype caller() {
    byte i; byte seen; byte num_found; byte num_out; byte want; byte took;
    short all_found; short asked; short left; short more; short excess; byte slices;
    byte sent[N]; bool out[N]; bool found[N];
    for (i : 0 .. N - 1) { run worker(i) }
    seen = bell;
    do
    ::
        for (i : 0 .. N - 1) {
            if
#ifdef BUG_SEND_WHAT_IS_HELD
            :: (!out[i] || found[i]) && sent[i] < R ->
                if :: found[i] -> found[i] = false; num_found--; num_out-- :: else fi;
#else
            :: !out[i] && sent[i] < R ->
#endif
                sent[i]++; out[i] = true; num_out++;
                posted[i] = sent[i]
            :: else
            fi
        }
        if :: num_out == 0 -> break :: else fi;
        if :: num_out < K -> want = num_out :: else -> want = K fi;
        do
        ::
            collect();
            if :: num_found >= want -> break :: else fi;
            more = all_found + want - num_found - asked;
            asked = asked + more;
#ifdef BUG_SET_NOT_ADD
            pending = want - num_found; left = pending;
#else
            d_step { pending = pending + more; left = pending };
#endif
#ifndef BUG_NO_SECOND_LOOK
            if
            :: left <= 0 -> collect(); if :: num_found >= want -> break :: else fi
            :: else
            fi;
#endif
            if
            :: bell != seen -> seen = bell
#if DIES > 0
            :: timeout -> recount()
#endif
            fi
        od;
        took = 0;
        for (i : 0 .. N - 1) {
            if
            :: found[i] && took < want ->
                assert(row[i] == sent[i]);
                found[i] = false; held[i] = false; out[i] = false;
                num_found--; num_out--; took++
            :: else
            fi
        }
    od;
    for (i : 0 .. N - 1) { assert(row[i] == R) }
}
