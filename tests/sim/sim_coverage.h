/* What a run of many seeds has hit at all. A checker that looks at something that never happens
 * checks nothing: what stayed at zero fails a run of the standard seeds, by name. */
#ifndef TESTS_SIM_COVERAGE_H
#define TESTS_SIM_COVERAGE_H

#include "base/buf.h"

#include <stdbool.h>

enum sim_message_fate { SIM_MESSAGE_DROPPED, SIM_MESSAGE_DOUBLED, SIM_MESSAGE_FATES };

/* X(constant, name): states of the models that the checkers are about. */
#define SIM_STATES(X)                                                               \
    X(COMMIT_WAITED, "a commit waited and was confirmed")                           \
    X(COMMIT_AT_ONCE, "a commit was answered at once in a synchronous mode")        \
    X(COMMIT_CANCELED, "a wait for a standby was canceled")                         \
    X(WALSENDER_LATE, "a walsender answered with an older setting")                 \
    X(RECEIVER_LATE, "a walreceiver connected after its service file was replaced") \
    X(SLOT_HELD, "a slot was held by the walsender of before")                      \
    X(CASCADE, "a standby received from a standby")                                 \
    X(POSITION_NULL, "a standby was asked that had flushed nothing in this start")  \
    X(ORPHAN_COMMIT, "a backend committed without a postmaster")                    \
    X(TWO_WRITERS, "two primaries were writable where that is not checked")         \
    X(PROMOTION_REPLAYS, "a promotion waited for replay")                           \
    X(LATE_THAW, "a frozen primary thawed when another one led")                    \
    X(ASYNC_LOSS, "an asynchronous failover lost commits")                          \
    X(SYNC_FAILOVER, "a failover in a synchronous mode lost none")                  \
    X(PAUSED, "the cluster was paused")                                             \
    X(EARLY_FAILOVER, "a silent primary was replaced before its lease had ended")   \
    X(DEPOSED_WRITES, "a primary that was deposed was writable beside the next")    \
    X(ALARM_TAKEN_BACK, "a report of a silent primary was withdrawn, it lived")     \
    X(UNFENCED, "a primary ran unfenced beyond the end of its lease")               \
    X(UNFENCED_ALONE, "a primary ran unfenced without an agent")                    \
    X(ADOPTED, "the fence was told of a server that others had started")            \
    X(ADOPTED_PRIMARY, "a server that others had started was promoted")             \
    X(ADOPTED_KILLED, "the fence killed a server that others had started")          \
    X(SILENT_STOP, "a stop ended without a word of a fence that stood still")       \
    X(SILENT_KILL, "an agent killed what its fence stood still for")                \
    X(SILENT_END, "a fence that stood still was ended")

enum sim_state {
#define STATE(constant, name) SIM_STATE_##constant,
    SIM_STATES(STATE)
#undef STATE
        SIM_STATE_COUNT
};

void sim_coverage_state(enum sim_state state);
void sim_coverage_step(unsigned step); /* enum ha_sync_step */
void sim_coverage_message(struct span frame, enum sim_message_fate fate);
/* All of it; false if something that ought to be hit was not: it is named. */
bool sim_coverage_print(bool verbose);

#endif
