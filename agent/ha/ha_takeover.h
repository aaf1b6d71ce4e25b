/* PURE. How long the takeovers of this node took, phase by phase, and what they came from: for the
 * metrics. It follows the snapshots of the cycle and decides nothing. */
#ifndef AGENT_HA_TAKEOVER_H
#define AGENT_HA_TAKEOVER_H

#include "agent/ha/ha_snapshot.h"

/* X(constant, word). Why another node led no longer. With an etcd as the store nobody tells whether
 * a lease ended or was given back: EXPIRED. */
#define HA_TAKEOVER_CAUSES(X)                                                           \
    X(HA_TAKEOVER_EXPIRED, "expired")   /* nothing was heard of its node any more */    \
    X(HA_TAKEOVER_RELEASED, "released") /* it gave the key back, on nobody's request */ \
    X(HA_TAKEOVER_DEPOSED, "deposed")   /* `early_failover` */                          \
    X(HA_TAKEOVER_SWITCHOVER, "switchover")                                             \
    X(HA_TAKEOVER_FAILOVER, "failover") /* by hand, to a candidate */

enum ha_takeover_cause {
#define HA_TAKEOVER_ENUM(name, word) name,
    HA_TAKEOVER_CAUSES(HA_TAKEOVER_ENUM)
#undef HA_TAKEOVER_ENUM
        HA_TAKEOVER_CAUSE_COUNT
};

/* X(constant, word) */
#define HA_TAKEOVER_PHASES(X)                                                                      \
    X(HA_PHASE_LEASE, "lease")         /* last sign of the old leader's node -> its key is gone */ \
    X(HA_PHASE_ELECTION, "election")   /* -> the key is ours */                                    \
    X(HA_PHASE_PROMOTION, "promotion") /* -> PostgreSQL takes writes */

enum ha_takeover_phase {
#define HA_TAKEOVER_ENUM(name, word) name,
    HA_TAKEOVER_PHASES(HA_TAKEOVER_ENUM)
#undef HA_TAKEOVER_ENUM
        HA_PHASE_COUNT
};

struct ha_takeovers { /* zeroed: none yet */
    struct {
        uint64_t count;
        int64_t sum_ms[HA_PHASE_COUNT];
    } by_cause[HA_TAKEOVER_CAUSE_COUNT];

    /* The one that may come, or is under way. */
    char leader[HA_NAME_BYTES]; /* who led last, another node; "" = nobody, or we */
    int64_t heard_mono_ms;      /* its node; HA_NEVER */
    bool gone;                  /* its key is gone, since ... */
    int64_t gone_mono_ms;
    bool taking; /* the key is ours, in `epoch`, and PostgreSQL takes no writes yet */
    struct ha_epoch epoch;
    int64_t acquired_mono_ms;
    enum ha_takeover_cause cause;
};

/* Of each cycle, in order. */
void ha_takeovers_look(struct ha_takeovers *takeovers, const struct ha_snapshot *s);

const char *ha_takeover_cause_name(enum ha_takeover_cause cause);
const char *ha_takeover_phase_name(enum ha_takeover_phase phase);

#endif
