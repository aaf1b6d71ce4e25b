/* PURE: may the agent's program be exchanged at this moment? What runs on does not notice it, as
 * long as it is quick; what the agent is in the middle of would be begun anew, or be lost. */
#ifndef AGENT_REEXEC_HINDRANCE_H
#define AGENT_REEXEC_HINDRANCE_H

#include "agent/ha/ha_snapshot.h"

struct reexec_facts {
    bool stopping;          /* SIGTERM */
    enum ha_job_kind job;   /* that runs; HA_JOB_NONE */
    enum ha_run run;        /* of PostgreSQL */
    bool restart;           /* one was ordered, and has not ended */
    bool executing;         /* a plan */
    bool looking;           /* at the data directory */
    unsigned callbacks;     /* that run */
    bool primary;           /* it runs as one */
    bool paused;            /* nothing is fenced then */
    bool fence_silent;      /* it does not answer, and would not answer the next one either */
    bool disk_stalled;      /* one of those that the agent reads or writes */
    bool acquiring;         /* the leader key */
    bool held;              /* it */
    bool failsafe;          /* all that keeps the primary is the members' word */
    int64_t renewed_ago_ms; /* when the newest renewal was sent that is answered; -1 = none yet */
    int64_t ttl_ms;
};

/* A renewal that is older is not fresh: the next one comes within ttl/6. */
int64_t reexec_fresh_ms(int64_t ttl_ms);

/* In words what stands in the way; NULL = nothing. `leaving`: this is the moment; before, while
 * Raft leadership is not given away yet, no renewal is asked for. */
const char *reexec_hindrance(const struct reexec_facts *facts, bool leaving);

#endif
