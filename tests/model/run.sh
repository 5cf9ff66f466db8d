#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks the models with spin: the good ones must hold, the mutants must be caught, and for the
# right reason.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${CC:=cc}"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
cd "$temporary"

if ! command -v spin >/dev/null; then
    echo "spin is not installed: https://spinroot.com, or the package spin" >&2
    exit 77
fi

bad=0
runs=0

# check good|deadlock|assertion MODEL [-DOPTION ...]
check() {
    expected=$1
    model=$2
    shift 2
    runs=$((runs + 1))
    rm -f pan* output
    spin -a "$@" "$here/$model.pml" >output 2>&1 && [ -f pan.c ] || { cat output; exit 1; }
    $CC -O1 -w -DSAFETY -DMEMLIM=2048 -o pan pan.c
    timeout -k 5 60 ./pan -m1000000 >output 2>&1 || true
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' output)
    if grep -q 'max search depth too small\|reached -DMEMLIM\|Search not completed' output &&
        ! grep -q '^pan:1:' output; then
        found="incomplete"
    elif grep -q '^pan:1: invalid end state' output; then
        found=deadlock
    elif grep -q '^pan:1: assertion violated' output; then
        found=assertion
    elif grep -q 'errors: 0' output; then
        found=good
    else
        found="unfinished"
    fi
    verdict=ok
    if [ "$found" != "$expected" ]; then
        verdict="WRONG, should be: $expected"
        bad=$((bad + 1))
    fi
    printf '%-9s %-48s %10s states  %-10s %s\n' "$model" "$*" "${states:-?}" "$found" "$verdict"
}

check good doorbell
check good doorbell -DN=3 -DR=2
check good doorbell -DKILL=2
check good doorbell -DN=3 -DR=1 -DKILL=2
check good doorbell -DSTALL=2 -DR=1
check good doorbell -DSTALL=1 -DKILL=1 -DR=2
# flag and sequence of a bell in two words
check deadlock doorbell -DBUG_SPLIT_FLAG
# a sleeper does not compare the word once more
check deadlock doorbell -DBUG_NO_RECHECK
# a caller whose wait timed out does not look who died
check deadlock doorbell -DKILL=1 -DBUG_NO_DEATH_CHECK
# marks are counted, not sequences: late ones pass for results
check assertion doorbell -DKILL=1 -DBUG_COUNT_BITS
# the watermark is set after commands were posted: counts get lost
check deadlock doorbell -DBUG_RESET_LATE
# an env's sequence is published before its result
check assertion doorbell -DKILL=1 -DBUG_SEQUENCE_FIRST
# the caller drains, then samples its bell: a ring in between is lost
check deadlock doorbell -DSTALL=1 -DBUG_LOOK_BEFORE_SAMPLE
# a worker that stalls samples the command bell after it rang: the answer may have come
check deadlock doorbell -DSTALL=1 -DBUG_SAMPLE_AFTER_RING

check good ring
check good ring -DCAPACITY=1 -DLENGTH=4
check good ring -DCAPACITY=4 -DLENGTH=7
check good ring -DCAPACITY=8 -DLENGTH=3
# the head is published before the bytes are read
check assertion ring -DBUG_HEAD_FIRST
# the tail is published before the bytes are written
check assertion ring -DBUG_TAIL_FIRST
# a worker that stalls samples the command bell after it rang: the answer may have come
check deadlock ring -DBUG_SAMPLE_AFTER_RING
# a worker stalls without a ring; a caller drains without one, or rings only if there was something
check deadlock ring -DBUG_SILENT_STALL
check deadlock ring -DBUG_SILENT_DRAIN
check deadlock ring -DBUG_ANSWER_ONLY_IF_DRAINED
# as above, for the bytes themselves
check deadlock ring -DBUG_LOOK_BEFORE_SAMPLE

check good flow
check good flow -DN=2 -DR=3 -DK=1
check good flow -DN=3 -DR=2 -DK=3
check good flow -DN=4 -DR=1 -DK=3
check good flow -DDIES=1
check good flow -DDIES=2 -DN=2 -DR=3 -DK=1
check good flow -DDIES=2 -DN=2 -DR=4
check good flow -DDIES=1 -DLATE=1 -DN=2 -DR=4
# the count is read and stored in two operations
check deadlock flow -DBUG_SPLIT_COUNT
# what is asked for is stored, not added: results of the meantime get lost
check deadlock flow -DBUG_SET_NOT_ADD
# results that came before they were asked for ring nobody
check deadlock flow -DBUG_NO_SECOND_LOOK
# an env is published and marked before its result is there
check assertion flow -DBUG_MARK_FIRST
# an env is sent again while its row is not yet read
check assertion flow -DBUG_SEND_WHAT_IS_HELD
# nobody counts for the dead: every wait from then on ends by its deadline
check assertion flow -DDIES=1 -DR=4 -DBUG_NO_RECOUNT
# who was counted for went on after all, and nobody takes it back
check assertion flow -DDIES=1 -DLATE=1 -DR=6 -DBUG_NEVER_LOWER

check good slots
check good slots -DK=3
check good slots -DSLOTS=1
check good slots -DW=1 -DR=3
# rows of a slice are marked before all of them are stored
check assertion slots -DBUG_MARK_SLICE_FIRST
# who counts several envs at once rings only if that is all that was asked for
check deadlock slots -DBUG_RING_AT_ZERO_ONLY
# a slot is taken and stays idle
check assertion slots -DBUG_TAKEN_TWICE
# a slot is given back: when who had some of it drops that, when all were taken, when some were
check assertion slots -DBUG_LEASE_ALONE
check assertion slots -DBUG_FORGET_LEASE
check assertion slots -DBUG_LEFT_AT_FIRST

check good rollout
check good rollout -DT=1 -DROUNDS=3
check good rollout -DT=3 -DRAISES=2
# the last observations become the first ones: never, or when the next step is under way
check assertion rollout -DBUG_NOT_CARRIED
check assertion rollout -DT=1 -DBUG_CARRIED_AFTER_POST
# a full rollout goes round for actions that do not fit
check assertion rollout -DBUG_ROUND_BEFORE_ACTIONS
# a step is taken before all of its rows are there
check assertion rollout -DBUG_NOT_WAITED_FOR
# a step that raised counts; the one after it is valid; the one before it is not cut
check assertion rollout -DBUG_LOST_ROW_COUNTS
check assertion rollout -DBUG_VALID_AFTER_LOSS
check assertion rollout -DBUG_NOT_CUT

check good restart
check good restart -DKILL=0 -DGIVE_UP=1
check good restart -DKILL=2 -DR=1
# what was counted of a worker that died before it counted itself is waited for
check deadlock restart -DBUG_COUNTED_STAY_PENDING
# an env's sequence is published before all results of its slice
check assertion restart -DBUG_SEQUENCE_FIRST
# what a dead worker had finished, and nobody had counted, is not taken off what is waited for
check deadlock restart -DBUG_EXCUSED_ARE_PENDING
# results that were complete, but not marked, when their worker died are counted by nobody
check deadlock restart -DBUG_NOBODY_EXCUSED
# a command is posted to the successor before the ring is emptied; or the ring is not emptied
check deadlock restart -DBUG_POSTED_BEFORE_EMPTIED
check assertion restart -DBUG_RING_KEEPS_COMMANDS
# a successor does again what was done, while its caller holds the results
check assertion restart -DBUG_ALWAYS_OWES
# a successor attaches before the batch that has its envs' last observations is handed out
check assertion restart -DBUG_TOLD_TOO_EARLY
# a worker that was just killed is replaced before it has ended: it may write yet
check assertion restart -DKILL=0 -DGIVE_UP=1 -DBUG_NOT_WAITED_FOR

echo "$runs runs, $bad wrong"
[ $bad -eq 0 ]
