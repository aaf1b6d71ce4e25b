/* What the files of dcs_etcd3 share. */
#ifndef AGENT_DCS_ETCD3_IMPL_H
#define AGENT_DCS_ETCD3_IMPL_H

#include "agent/dcs/etcd3_codec.h"
#include "agent/dcs/etcd_store.h"

struct dcs_etcd3 {
    struct etcd_store store;
    struct etcd3_header last; /* of the last answer: which member, in which term */
    struct dcs_view *telling; /* the view as the watch's answer that is being read makes it */
    uint64_t member_lease;
    int64_t member_ttl_s;
    int64_t leader_epoch; /* that the three below are of; 0 = none */
    uint64_t leader_lease;
    int64_t leader_ttl_s; /* as we asked for it */
    bool let_unknown;     /* the key may be put on a lease that we have not heard of */
    bool letting;         /* the leader key is being put on a new lease */
};

static inline struct dcs_etcd3 *etcd3_of(struct etcd_store *store)
{
    return (struct dcs_etcd3 *)store;
}

/* --- dcs_etcd3.c ------------------------------------------------------------------------------ */
/* Any answer: notes who spoke. `quorum`: a majority stands behind it. False: it is of an older term
 * than one seen before, by the same cluster, or of a store that is gone, and not to be believed
 * where it matters when it was given. Its member is left, unless it was the same one that spoke
 * before: then it is just late. */
bool etcd3_heard(struct etcd_op *op, const struct etcd_answer *answer, bool quorum);
char *etcd3_path(const struct etcd_store *store, const char *key); /* mem_free */
void etcd3_compare(struct etcd3_txn *txn, const struct etcd_store *store, const char *key,
                   enum etcd3_target target, int64_t revision);
void etcd3_put(struct etcd3_txn *txn, const struct etcd_store *store, const char *key,
               const char *value, uint64_t lease);
void etcd3_delete(struct etcd3_txn *txn, const struct etcd_store *store, const char *key);
/* Frees `txn`. Repeated where it compares nothing. */
void etcd3_send(struct etcd_op *op, struct etcd3_txn *txn, etcd_done done);
/* A grant into op->lease; then etcd3_granted with the answer. False: the op was ended. */
void etcd3_grant(struct etcd_op *op, int64_t ttl_ms, etcd_done done);
bool etcd3_granted(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                   const struct error *err);
/* Best effort: a lease that nothing hangs on any more. */
void etcd3_revoke(struct etcd_store *store, uint64_t lease);
/* What became of a transaction: 0 = applied; ERR_CONFLICT = a compare failed; ERR_UNKNOWN also for
 * an answer that is none of the view's cluster. `ret_err` says why not. */
int etcd3_outcome(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                  const struct error *err, struct error *ret_err);
/* It was applied. */
void etcd3_written(struct etcd_op *op, const struct etcd_answer *answer);

/* --- etcd3_leader.c --------------------------------------------------------------------------- */
int etcd3_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err);
int etcd3_renew(struct dcs *dcs, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms, dcs_done done,
                void *arg, struct error *err);
int etcd3_release(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err);

#endif
