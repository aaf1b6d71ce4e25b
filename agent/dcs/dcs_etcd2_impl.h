/* What the files of dcs_etcd2 share. */
#ifndef AGENT_DCS_ETCD2_IMPL_H
#define AGENT_DCS_ETCD2_IMPL_H

#include "agent/dcs/etcd2_codec.h"
#include "agent/dcs/etcd_store.h"

struct dcs_etcd2 {
    struct etcd_store store;
    int64_t epoch;    /* that we hold; 0 = none. The two below are of its leader key */
    int64_t created;  /* in etcd, not as the view shows it */
    int64_t modified; /* as we last wrote it */
    bool renewing;
};

static inline struct dcs_etcd2 *etcd2_of(struct etcd_store *store)
{
    return (struct dcs_etcd2 *)store;
}

/* --- dcs_etcd2.c ------------------------------------------------------------------------------ */
/* `compare` as in dcs.h. ttl_ms 0 = none. Writes that compare are not repeated. */
void etcd2_op_put(struct etcd_op *op, const char *key, const char *value, int64_t compare,
                  int64_t ttl_ms, etcd_done done);
void etcd2_op_delete(struct etcd_op *op, const char *key, int64_t compare, etcd_done done);
/* What became of a write: 0 with its revision; ERR_UNKNOWN also for a yes without one, or of
 * another cluster than the view's. `ret_err` says why not. */
int etcd2_op_result(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                    const struct error *err, int64_t *ret_revision, struct error *ret_err);
/* Ends a write whose only effect is that. */
void etcd2_on_written(void *arg, int rc, const struct etcd_answer *answer, const struct error *err);
bool etcd2_is_leader_of(const struct dcs_view *view, int64_t epoch);
int64_t etcd2_revision_of(const struct dcs_view *view, const char *key); /* DCS_ABSENT */

/* --- etcd2_leader.c --------------------------------------------------------------------------- */
int etcd2_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err);
int etcd2_renew(struct dcs *dcs, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms, dcs_done done,
                void *arg, struct error *err);
int etcd2_release(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err);

#endif
