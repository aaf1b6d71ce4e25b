/* What REST serves from: one immutable picture of the node, made by the loop whenever something
 * changed. A health check reads a few fields of it and the clock, so it can hang on nothing.
 * Documents are rendered when the picture is made. */
#ifndef AGENT_API_STATUS_H
#define AGENT_API_STATUS_H

#include "agent/ha/ha_snapshot.h"
#include "base/err.h"

#include <jansson.h>

#define API_RESTART_TEXT_BYTES (ERROR_TEXT_BYTES + 32)

struct api_status {
    int refs;
    /* The lease: 200 on /primary only while the lease clock is below this, and the instance is
     * writable. */
    int64_t lease_valid_until_ms;
    /* The same of the leader of a standby cluster, which is no primary: on /leader, and on
     * /standby-leader while its PostgreSQL runs as a standby. */
    int64_t leads_standby_until_ms;
    bool writable; /* out of recovery, running, and the fence armed for our epoch */
    bool running;  /* state is "running" */
    bool replica;  /* role is "replica" */
    bool streaming;
    bool archive_recovery; /* a standby that does not stream, with a restore_command */
    bool synchronous;      /* synchronous_mode is on or quorum */
    bool sync_standby;     /* a standby that the key sync names, in synchronous_mode on ... */
    bool quorum_standby;   /* ... and quorum */
    bool noloadbalance;
    bool paused;
    bool was_primary; /* role in the document: liveness counts shorter for it */
    uint64_t replayed_lsn;
    uint64_t received_lsn;
    uint64_t leader_lsn; /* last published position of the leader; 0 = unknown */
    int64_t maximum_lag_bytes;
    int64_t ttl_ms;
    int64_t loop_wait_ms;
    int64_t cycle_mono_ms; /* when the HA cycle ran last */
    json_t *tags;          /* effective tags; owned */
    struct ha_cluster cluster;
    unsigned restart_ended; /* number of the last restart that has an outcome; 0 = none */
    bool restart_done;
    char restart_text[API_RESTART_TEXT_BYTES];
    bool initialized; /* a view was had */
    char *document;   /* GET /patroni; owned, like the following; NULL = there is none */
    char *cluster_document;
    char *history;
    char *config;
    char *failsafe; /* the key; NULL = there is none */
};

struct api_status *api_status_new(void); /* zeroed, one reference */
struct api_status *api_status_ref(struct api_status *status);
void api_status_unref(struct api_status *status); /* NULL is accepted */

#endif
