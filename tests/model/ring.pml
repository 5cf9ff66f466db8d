/* SPDX-License-Identifier: MIT
 *
 * A worker's reply goes through a byte ring shorter than the reply. In step with csrc/er_ring.c and
 * with the stall protocol of csrc/er_batch.h.
 *
 *   worker   writes what fits; if nothing does, it samples the command bell, rings the caller bell
 *            and waits for the command bell; at the end it publishes its sequence and rings.
 *   caller   waits for its bell; when that moved on it samples it, then looks for the sequence, drains
 *            the ring and rings the command bell, in any case.
 *
 * Bytes are numbered, so that a byte read too early, too late or twice fails an assertion; a wake-up
 * that is lost ends in "invalid end state". M replies follow one another through the same ring.
 *
 * Every mutant (-DBUG_..., see run.sh) must be caught. Limits: sequential consistency only.
 */
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef LENGTH
#define LENGTH 5
#endif
#ifndef M
#define M 2
#endif
#define TOTAL (LENGTH * M)

byte data[CAPACITY]; byte tail; byte head;
byte env_seq; byte posted;
byte cmd_seq; bool cmd_flag; bool cmd_asleep;
byte cpl_seq; bool cpl_flag; bool cpl_asleep;

inline ring_bell(seq, flag, asleep) {
    d_step { had = flag; seq++; flag = false };                  /* one CAS */
    if :: had -> d_step { had = false; asleep = false } :: else fi
}

/* One turn of a wait; spurious returns are allowed, the callers look again. */
inline wait_bell(seq, flag, asleep, seen) {
    if
    :: atomic { seq == seen -> flag = true }                     /* CAS seen -> seen | flag */
        if
        :: atomic { (seq == seen && flag) -> asleep = true }; !asleep
        :: !(seq == seen && flag)
        fi
    :: seq != seen
    fi
}

/* Bytes k = from+1 .. from+n of the stream. */
inline write_bytes() {
    k = 0;
    do
    :: k < n -> data[(mine + k) % CAPACITY] = mine + k + 1; k++
    :: else -> k = 0; break
    od
}

inline read_bytes() {
    k = 0;
    do
    :: k < n -> assert(data[(mine + k) % CAPACITY] == mine + k + 1); k++
    :: else -> k = 0; break
    od
}

active proctype worker() {
    byte mine; byte at; byte seen; byte room; byte n; byte k; bool had;
    do
    :: at == M -> break
    :: else ->
        seen = cmd_seq;
        if
        :: posted == at -> wait_bell(cmd_seq, cmd_flag, cmd_asleep, seen)
        :: else ->
            d_step { at++; seen = 0 };
            do
            :: mine == at * LENGTH -> break
            :: else ->
                room = CAPACITY - (mine - head);                 /* acquire: ring free */
                if
                :: room == 0 ->                                  /* er_worker_stall */
#ifdef BUG_SAMPLE_AFTER_RING
                    ring_bell(cpl_seq, cpl_flag, cpl_asleep);
                    seen = cmd_seq;
#else
                    seen = cmd_seq;
#ifndef BUG_SILENT_STALL
                    ring_bell(cpl_seq, cpl_flag, cpl_asleep);
#endif
#endif
                    wait_bell(cmd_seq, cmd_flag, cmd_asleep, seen)
                :: else ->
                    if
                    :: room < at * LENGTH - mine -> n = room
                    :: else -> n = at * LENGTH - mine
                    fi;
                    if :: n > 1 -> n = 1 :: skip fi;             /* or in smaller pieces */
#ifdef BUG_TAIL_FIRST
                    tail = mine + n;
                    write_bytes();
#else
                    write_bytes();
                    tail = mine + n;                             /* release: ring data */
#endif
                    mine = mine + n; n = 0
                fi;
                d_step { seen = 0; room = 0 }
            od;
            env_seq = at;                                        /* release: result */
            ring_bell(cpl_seq, cpl_flag, cpl_asleep)
        fi
    od
}

/* Reads all there is. */
inline drain() {
    n = tail - mine;                                             /* acquire: ring data */
    assert(n <= CAPACITY);
#ifdef BUG_HEAD_FIRST
    head = mine + n;
    read_bytes();
#else
    read_bytes();
    head = mine + n;                                             /* release: ring free */
#endif
    drained = (n > 0);
    mine = mine + n; n = 0
}

/* Rings back, whether there was anything or not: a worker that found the ring full just before it
 * was drained has rung after that. */
inline answer() {
#ifdef BUG_SILENT_DRAIN
    skip
#else
#ifdef BUG_ANSWER_ONLY_IF_DRAINED
    if :: drained -> ring_bell(cmd_seq, cmd_flag, cmd_asleep) :: else fi
#else
    ring_bell(cmd_seq, cmd_flag, cmd_asleep)
#endif
#endif
}

active proctype caller() {
    byte r; byte mine; byte seen; byte n; byte k; bool had; bool rung; bool drained;
    do
    :: r == M -> break
    :: else ->
        r++;
        rung = false;
        seen = cpl_seq;
        posted = r;
        ring_bell(cmd_seq, cmd_flag, cmd_asleep);
        do
        ::
#ifdef BUG_LOOK_BEFORE_SAMPLE
            if :: rung -> drain(); answer() :: else fi;
            seen = cpl_seq;
            if :: env_seq == r -> break :: else fi;
#else
            if :: env_seq == r -> break :: else fi;              /* acquire: result */
            if :: rung -> drain(); answer() :: else fi;
#endif
            rung = false;
            wait_bell(cpl_seq, cpl_flag, cpl_asleep, seen);
            if
            :: cpl_seq != seen -> rung = true; seen = cpl_seq    /* before looking */
            :: else
            fi
        od;
        seen = 0; drained = false;
        drain();                                                 /* the rest of the reply */
        assert(mine == r * LENGTH)
    od
}
