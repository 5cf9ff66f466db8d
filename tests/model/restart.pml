/* SPDX-License-Identifier: MIT
 *
 * Workers that die at any instruction, and processes in their places: `on_worker_death="restart"`. In
 * step with csrc/er_batch.c (er_caller_replace, er_caller_excuse) and pool/restarting.py.
 *
 * A caller, two workers of two envs each, R batches; bells as in doorbell.pml. A batch is stored in one
 * of two slots in turn, so that the last one stays whole.
 *
 *   -DKILL=n     up to n processes are killed, at any point: the second worker and its successors (the
 *                first one is like it). The caller looks
 *                who died when a wait has timed out. It empties the rings of the dead; if its results
 *                are not all there, its successor is sent the command again; else what it did not
 *                count itself is counted, and the successor attaches when that batch was handed out:
 *                it is told the last observations.
 *   -DGIVE_UP=n  up to n times the caller kills one that takes too long. Kills take effect later.
 *
 * Checked: a batch that is handed out has the results of one incarnation for each slice, those of the
 * batch before stay as they are until then, a successor is told the last batch, and nobody gets
 * a command twice; every wait ends: the
 * caller's may time out only after a death that nobody has noticed, or if a successor can be attached.
 *
 * Every mutant (-DBUG_..., see run.sh) must be caught. Limits: sequential consistency only.
 */
#define N 2
#ifndef R
#define R 2
#endif
#ifndef KILL
#define KILL 1
#endif
#ifndef GIVE_UP
#define GIVE_UP 0
#endif
#define E (2 * N)
#define RING 4

byte cmd_seq;  bool cmd_flag;  bool cmd_asleep[N];      /* command bell */
byte cpl_seq;  bool cpl_flag;  bool cpl_asleep;         /* caller bell  */
byte ring[N * RING]; byte head[N]; byte tail[N];        /* command rings */
byte obs[2 * E]; byte env_seq[E]; bool ready[E];
short pending;
byte inc[N];                                            /* which process is the worker, from 0 */
byte dead[N];                                           /* incarnations that have ended */
byte killed[N];                                         /* incarnations that the caller has killed */
byte kills = KILL;
byte built[N]; byte attached[N]; byte told[N];          /* of successors: incarnation; a batch */
bool over;

#define SLOT(r, env) ((r) % 2 * E + (env))
#define ENDS(i) dead[i] = k + 1; goto out
#define MAY_DIE(i)                                                          \
    if :: atomic { i == 1 && kills > 0 && !over -> kills--; ENDS(i) }   \
       :: atomic { killed[i] == k + 1 -> ENDS(i) }                          \
       :: killed[i] != k + 1 fi

#define UNNOTICED(i) (dead[i] == inc[i] + 1)
#define CAN_ATTACH(i) (inc[i] > 0 && built[i] == inc[i] && attached[i] != inc[i] && WAITS_NOT(i))
#ifdef BUG_TOLD_TOO_EARLY
#define WAITS_NOT(i) true
#else
#define WAITS_NOT(i) (after[i] != r)
#endif

inline ring_command_bell() {
    d_step { had = cmd_flag; cmd_seq++; cmd_flag = false };      /* one CAS */
    if
    :: had -> d_step { had = false; for (j : 0 .. N - 1) { cmd_asleep[j] = false } j = 0 }
    :: else
    fi
}

/* A worker takes a command: the release of the ring's head is apart. */
inline wait_for_command(i) {
    do
    :: over -> goto out
    :: else ->
        seen = cmd_seq;
        if
        :: head[i] != tail[i] -> break
        :: else ->
            if
            :: atomic { cmd_seq == seen -> cmd_flag = true }
            :: cmd_seq != seen
            fi;
            if
            :: atomic { (cmd_seq == seen && cmd_flag) -> cmd_asleep[i] = true };
                if
                :: !cmd_asleep[i] || over
                :: atomic { i == 1 && kills > 0 && !over -> kills--; ENDS(i) }
                :: atomic { killed[i] == k + 1 -> ENDS(i) }
                fi
            :: !(cmd_seq == seen && cmd_flag)
            fi
        fi
    od;
    seen = 0
}

proctype worker(byte i; byte k) {
    byte seen; byte at; byte last; bool had; short left; bool first = (k > 0);
    if
    :: k > 0 ->
        MAY_DIE(i);
        built[i] = k;
        do                                               /* its channel says when to attach */
        :: attached[i] == k || over -> break
        :: atomic { i == 1 && kills > 0 && !over -> kills--; ENDS(i) }
        :: atomic { killed[i] == k + 1 -> ENDS(i) }
        od
    :: else
    fi;
    do
    ::
        wait_for_command(i);
        MAY_DIE(i);
        d_step { at = ring[i * RING + head[i] % RING]; head[i]++ };
        assert(!first || told[i] == at - 1);
        assert(at > last);
        d_step { first = false; last = at };
        MAY_DIE(i);
#ifdef BUG_SEQUENCE_FIRST
        env_seq[2 * i] = at;
        MAY_DIE(i);
        obs[SLOT(at, 2 * i)] = at + 8 * k;
        obs[SLOT(at, 2 * i + 1)] = at + 8 * k;
        MAY_DIE(i);
#else
        obs[SLOT(at, 2 * i)] = at + 8 * k;
        MAY_DIE(i);
        obs[SLOT(at, 2 * i + 1)] = at + 8 * k;
        MAY_DIE(i);
        env_seq[2 * i] = at;
        MAY_DIE(i);
#endif
        env_seq[2 * i + 1] = at;
        MAY_DIE(i);
        d_step { ready[2 * i] = true; ready[2 * i + 1] = true };
        MAY_DIE(i);
        d_step { pending = pending - 2; left = pending };
        MAY_DIE(i);
        if
        :: left <= 0 ->
            d_step { left = 0; had = cpl_flag; cpl_seq++; cpl_flag = false };
            MAY_DIE(i);
            if :: had -> d_step { had = false; cpl_asleep = false } :: else fi
        :: else -> left = 0
        fi;
        at = 0
    od;
out:
    skip
}

inline post(i, r) {
    d_step { ring[i * RING + tail[i] % RING] = r; tail[i]++ }
}

/* Takes all marks at once, then counts what has the batch's sequence. */
inline collect() {
    d_step {
        for (i : 0 .. E - 1) {
            if
            :: ready[i] ->
                ready[i] = false;
                if :: !counted[i] && env_seq[i] == r -> counted[i] = true; done++ :: else fi
            :: else
            fi
        }
        i = 0
    }
}

/* The slice is counted as far as it was not. */
inline excuse(i) {
    d_step {
        for (j : 2 * i .. 2 * i + 1) {
            if :: !counted[j] -> counted[j] = true; done++; excused++; env_seq[j] = r :: else fi
        }
        j = 0
    };
#ifndef BUG_EXCUSED_ARE_PENDING
#ifdef BUG_COUNTED_STAY_PENDING
    pending = pending - excused;
#else
    pending = pending - 2;
#endif
#endif
    excused = 0
}

/* A process that has ended, or was just killed, gets a successor. */
inline bury(i) {
#ifndef BUG_NOT_WAITED_FOR
    UNNOTICED(i);
#endif
    cmd_asleep[i] = false;
#ifdef BUG_POSTED_BEFORE_EMPTIED
    if :: env_seq[2 * i] != r -> post(i, r) :: else fi;
#endif
#ifndef BUG_RING_KEEPS_COMMANDS
    head[i] = tail[i];
#endif
    after[i] = 0;
    if
#ifdef BUG_ALWAYS_OWES
    :: true ->
#else
    :: env_seq[2 * i] != r ->
#endif
#ifndef BUG_POSTED_BEFORE_EMPTIED
        post(i, r);
#endif
        answers[i] = inc[i] + 1
#ifndef BUG_ALWAYS_OWES
    :: else ->
#ifndef BUG_NOBODY_EXCUSED
        excuse(i);
#endif
        after[i] = r
#endif
    fi;
    inc[i]++;
    run worker(i, inc[i]);
    ring_command_bell()
}

inline advance() {
    for (i : 0 .. N - 1) {
        if
        :: CAN_ATTACH(i) -> told[i] = handed; attached[i] = inc[i]
        :: else
        fi
    }
}

active proctype caller() {
    byte r; byte i; byte j; byte seen; byte done; byte excused; byte handed;
    byte give_ups = GIVE_UP;
    bool had; bool timed_out;
    bool counted[E]; byte held[E]; byte after[N];
    byte answers[N];                                     /* whose results the batch has */
    for (i : 0 .. N - 1) { run worker(i, 0) }
    do
    :: r == R -> break
    :: else ->
        d_step {
            r++; done = 0;
            for (i : 0 .. E - 1) { counted[i] = false }
            for (i : 0 .. N - 1) { answers[i] = inc[i] }
            i = 0
        };
        pending = E;
        seen = cpl_seq;
        for (i : 0 .. N - 1) { post(i, r) }
        ring_command_bell();
        do
        ::
            collect();
            if :: done == E -> break :: else fi;
            timed_out = false;
            do                                                   /* the wait */
            :: cpl_seq != seen -> break
            :: else ->
                if
                :: atomic { cpl_seq == seen -> cpl_flag = true }
                :: cpl_seq != seen -> break
                fi;
                if
                :: atomic { (cpl_seq == seen && cpl_flag) -> cpl_asleep = true };
                    if
                    :: !cpl_asleep
                    :: atomic { UNNOTICED(1) -> cpl_asleep = false; timed_out = true };
                        break
                    :: atomic { CAN_ATTACH(1) -> cpl_asleep = false; timed_out = true };
                        break
                    :: atomic { give_ups > 0 -> cpl_asleep = false; timed_out = true };
                        break
                    fi
                :: !(cpl_seq == seen && cpl_flag)
                fi
            od;
            if
            :: !timed_out -> seen = cpl_seq
            :: else ->
                collect();
                if :: done == E -> break :: else fi;
                for (i : 0 .. N - 1) {
                    if
                    :: UNNOTICED(i) -> bury(i)
                    :: !UNNOTICED(i) && i == 1 && give_ups > 0 && !counted[2 * i] ->
                        if
                        :: give_ups--; killed[i] = inc[i] + 1; bury(i)
                        :: skip
                        fi
                    :: else
                    fi
                };
                advance()
            fi
        od;
        skip;
        d_step {
            seen = 0; timed_out = false;
            for (i : 0 .. E - 1) {
                assert(r == 1 || obs[SLOT(r - 1, i)] == held[i]);
                assert(obs[SLOT(r, i)] == r + 8 * answers[i / 2]);
                held[i] = obs[SLOT(r, i)]
            }
            i = 0; handed = r
        }
    od;
    over = true
}
