/* dcs.h on a real etcd: `dcs_etcd3` through the JSON gateway of its v3 API (etcd 3.3 and newer),
 * `dcs_etcd2` through its v2 keys API (off by default since 3.4, gone in 3.6).
 *
 * v3: etcd keeps a lease alive through its leader alone, without asking a majority, so one that has
 * been cut off goes on saying yes while the others elect a new one and let the lease run out. A
 * renewal therefore counts only when it stands between two answers of the same member in the same
 * Raft term, the second one to a linearizable read (docs/etcd.md).
 *
 * v2: there are no transactions, so the leader key and `epoch` are two writes and an epoch is the
 * revision of the second (rule 15 of docs/consensus.md). The view shows it as the create revision
 * of `leader`. A ttl hangs on the wall clock of etcd's hosts. */
#ifndef AGENT_DCS_ETCD_H
#define AGENT_DCS_ETCD_H

#include "agent/dcs/dcs.h"
#include "agent/dcs/etcd_client.h"

struct dcs_etcd_config {
    const char *base;               /* "/<namespace>/<scope>/"; copied */
    const char *name;               /* this member; copied */
    struct etcd_client_config etcd; /* dialect, on_switch, on_note and arg are the dcs's own */
    /* A quorum read at least so often, for contact_mono_ms. 0: for a command line, which reads and
     * puts only: nothing is watched, and the view is that of the last read. */
    int64_t heartbeat_ms;
    void (*on_note)(void *arg, enum log_level level, const char *text); /* may be NULL */
    void *arg;
};

int dcs_etcd3_new(uv_loop_t *loop, const struct dcs_etcd_config *config, struct dcs **ret_dcs,
                  struct error *err) MUST_CHECK;
int dcs_etcd2_new(uv_loop_t *loop, const struct dcs_etcd_config *config, struct dcs **ret_dcs,
                  struct error *err) MUST_CHECK;

#endif
