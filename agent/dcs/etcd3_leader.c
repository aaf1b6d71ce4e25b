/* The leader key on etcd v3.
 *
 * Acquire: grant a lease, then one transaction with the compares of rule 1. The holder counts from
 * the send of the grant. If nobody says what became of the transaction, the lease is revoked: after
 * that it cannot succeed any more, or what it made is gone; and the outcome stays unknown to the
 * caller, who reads again.
 *
 * Renew: a keepalive, then a linearizable read of the key. The keepalive counts if the same member
 * answered before it was sent, to it, and to the read, all in the same Raft term: then it had the
 * leader of that term as its leader all the time, and a majority confirmed that term after the
 * keepalive. Otherwise (etcd changed its leader, we changed the member, the ttl changed, or the
 * lease has ended) the key is *let anew*: a lease is granted, and one transaction puts the key on
 * it, comparing epoch and mod revision. Both go through etcd's log, so no bracket is needed.
 *
 *   KEEPALIVE --answered--> READ --bracketed--> done
 *                            |---otherwise---> GRANT --> PUT --> done
 *                            '---key not ours: ERR_CONFLICT
 *
 * A put whose outcome is unknown may still be applied, and would hang the key on a lease that has
 * run for a while. Until another put has gone through, which its compare makes impossible to
 * overtake, no keepalive counts (let_unknown). So it is with a key that this run of the agent has
 * not put on its lease itself: an earlier run may have a put under way, or this one the revocation
 * of a lease whose acquisition was not answered. */
#include "agent/dcs/dcs_etcd3_impl.h"

#include "agent/ha/ha_cluster.h"
#include "base/mem.h"

#include <string.h>

#define LET_AGAIN_MAX 1

/* --- acquire ---------------------------------------------------------------------------------- */

static void lease_taken(struct dcs_etcd3 *dcs, int64_t epoch, const struct etcd_op *op)
{
    dcs->leader_epoch = epoch;
    dcs->leader_lease = op->lease;
    dcs->leader_ttl_s = op->lease_ttl_s;
    dcs->let_unknown = false;
}

static void on_acquired(void *arg, int rc, const struct etcd_answer *answer,
                        const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd3_header header = {0};
    struct error own;

    rc = etcd3_outcome(op, rc, answer, err, &own);
    if (rc == 0) {
        (void)etcd3_header_read(answer->body, &header);
        lease_taken(etcd3_of(op->store), header.revision, op);
        etcd3_written(op, answer);
        return;
    }
    etcd3_revoke(op->store, op->lease);
    etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc, &own);
}

static void on_acquire_granted(void *arg, int rc, const struct etcd_answer *answer,
                               const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd3_txn txn = {0};

    if (!etcd3_granted(op, rc, answer, err)) {
        return;
    }
    op->sent_ms = op->lease_sent_ms;
    txn.compares = op->json;
    op->json = NULL;
    etcd3_put(&txn, op->store, "leader", op->value, op->lease);
    etcd3_put(&txn, op->store, "epoch", op->other, 0);
    switch (op->unfenced) {
    case DCS_UNFENCED_LEAVE: break;
    case DCS_UNFENCED_PUT: etcd3_put(&txn, op->store, "unfenced", op->key, 0); break;
    case DCS_UNFENCED_REMOVE: etcd3_delete(&txn, op->store, "unfenced"); break;
    }
    etcd3_send(op, &txn, on_acquired);
}

int etcd3_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    struct etcd3_txn txn = {0};
    struct buf epoch = BUF_INIT;

    int rc = etcd_store_may_acquire(dcs, acquire, err);
    if (rc != 0) {
        return rc;
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->value = mem_strdup(acquire->holder);
    ha_epoch_value(acquire->holder, acquire->instance, (uint32_t)acquire->timeline, &epoch);
    op->other = buf_take(&epoch);
    op->unfenced = acquire->unfenced;
    op->key = etcd_unfenced_value(store, 0);
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, 0);
    etcd3_compare(&txn, store, "epoch", ETCD3_MOD, acquire->epoch_revision);
    etcd3_compare(&txn, store, "config", ETCD3_MOD, acquire->config_revision);
    etcd3_compare(&txn, store, "sync", ETCD3_MOD, acquire->sync_revision);
    etcd3_compare(&txn, store, "unfenced", ETCD3_MOD, acquire->unfenced_revision);
    for (size_t i = 0; i < acquire->report_count; i++) {
        char *key = mem_printf("reports/%s", acquire->reports[i].member);
        etcd3_compare(&txn, store, key, ETCD3_MOD, acquire->reports[i].revision);
        mem_free(key);
    }
    op->json = txn.compares;
    etcd3_grant(op, acquire->ttl_ms, on_acquire_granted);
    return 0;
}

/* --- renew ------------------------------------------------------------------------------------ */

struct renewal {
    struct etcd3_header before; /* who answered last before the keepalive was sent */
    uint64_t lease;             /* that it was sent for */
    bool kept;                  /* for the whole ttl, by the same one */
};

static bool same_member_and_term(const struct etcd3_header *a, const struct etcd3_header *b)
{
    return a->term != 0 && a->term == b->term && a->member == b->member && a->cluster == b->cluster;
}

/* Whatever keeps an attempt from being made is no word about the key: it is for the deadlines to
 * stop us then, not for this. */
static void renew_failed(struct etcd_op *op, int rc, const struct error *err)
{
    etcd_op_end(op, rc == ERR_UNKNOWN || rc == ERR_CANCELED ? rc : ERR_UNAVAILABLE, err);
}

static void read_leader(struct etcd_op *op);

/* The leader key has been put on op->lease, for an epoch that is still the one we hold. */
static void let_done(struct etcd_op *op)
{
    struct dcs_etcd3 *dcs = etcd3_of(op->store);
    struct error none = {0};
    uint64_t old = dcs->leader_lease;

    lease_taken(dcs, op->epoch, op);
    if (old != op->lease) {
        etcd3_revoke(op->store, old);
    }
    etcd_op_end(op, 0, &none);
}

static void on_let(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd3 *dcs = etcd3_of(op->store);
    bool current = dcs->leader_epoch == op->epoch; /* we may hold another one by now */
    struct error own;

    dcs->letting = false;
    rc = etcd3_outcome(op, rc, answer, err, &own);
    if (rc == 0 && current) {
        let_done(op);
        return;
    }
    if (current && (rc == ERR_UNKNOWN || rc == ERR_CANCELED)) {
        dcs->let_unknown = true;
    } else {
        etcd3_revoke(op->store, op->lease); /* nothing of ours hangs on it */
    }
    if (rc == 0 || (rc == ERR_CONFLICT && !current)) {
        etcd_op_fail(op, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                     (long long)op->epoch);
    } else if (rc == ERR_CONFLICT && op->tries++ < LET_AGAIN_MAX) {
        read_leader(op); /* an earlier put of ours may have come in between */
    } else {
        renew_failed(op, rc, &own);
    }
}

static void on_let_granted(void *arg, int rc, const struct etcd_answer *answer,
                           const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd_store *store = op->store;
    struct etcd3_txn txn = {0};

    if (rc != 0) { /* whatever became of it, nothing hangs on that lease */
        etcd3_of(store)->letting = false;
        etcd_op_end(op, rc == ERR_CANCELED ? rc : ERR_UNAVAILABLE, err);
        return;
    }
    if (!etcd3_granted(op, rc, answer, err)) {
        etcd3_of(store)->letting = false;
        return;
    }
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, op->epoch);
    etcd3_compare(&txn, store, "leader", ETCD3_MOD, op->mod_revision);
    etcd3_put(&txn, store, "leader", store->name, op->lease);
    etcd3_send(op, &txn, on_let);
}

/* A read that is answered late may show the lease of before another renewal let the key anew. It
 * was ours when this one was sent, and its keepalive counts no more: then this one lets the key
 * anew as well, and what it compares tells what has become of the key. */
static void on_leader_read(void *arg, int rc, const struct etcd_answer *answer,
                           const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd3 *dcs = etcd3_of(op->store);
    const struct renewal *renewal = op->extra;
    struct dcs_kv kv = {0};
    struct etcd3_header header = {0};
    struct error none = {0};
    bool ours = false;

    if (rc != 0) {
        renew_failed(op, rc, err);
        return;
    }
    if (!etcd3_heard(op, answer, true)) {
        etcd_op_fail(op, ERR_UNKNOWN, "etcd: the answer is of an older term than another one");
        return;
    }
    if (!etcd3_kv_read(answer->body, op->store->name, &kv, &ours) ||
        kv.create_revision != op->epoch || !ours || dcs->leader_epoch != op->epoch) {
        etcd_op_fail(op, ERR_CONFLICT, "the leader key is gone, or of another epoch or holder");
        return;
    }
    if (dcs->letting) { /* one write of the leader key at a time */
        etcd_op_fail(op, ERR_UNKNOWN, "an earlier renewal is still under way");
        return;
    }
    (void)etcd3_header_read(answer->body, &header);
    bool present = kv.lease == dcs->leader_lease;
    if (!dcs->let_unknown && !present && kv.lease != renewal->lease) {
        etcd_op_fail(op, ERR_CONFLICT, "the leader key hangs on a lease that is not ours");
    } else if (!dcs->let_unknown && present && renewal->kept && renewal->lease == kv.lease &&
               same_member_and_term(&header, &renewal->before)) {
        etcd_op_end(op, 0, &none);
    } else {
        dcs->letting = true;
        op->mod_revision = kv.mod_revision;
        etcd3_grant(op, op->ttl_ms, on_let_granted);
    }
}

static void read_leader(struct etcd_op *op)
{
    struct buf body = BUF_INIT;
    char *path = etcd3_path(op->store, "leader");
    etcd3_range_key(&body, path);
    mem_free(path);
    etcd_op_call(op, NULL, "/kv/range", &body, true, on_leader_read);
}

/* A lease that is not there may be so to one member only (its leader is new and has not caught up);
 * the read says what has become of the key. */
static void on_kept(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    const struct dcs_etcd3 *dcs = etcd3_of(op->store);
    struct renewal *renewal = op->extra;
    struct etcd3_header header = {0};
    uint64_t lease = 0;
    int64_t ttl_s = 0;
    int64_t wanted_s = (op->ttl_ms + 999) / 1000;

    if (rc != 0 && rc != ERR_NOT_FOUND) {
        renew_failed(op, rc, err);
        return;
    }
    if (rc == 0) {
        (void)etcd3_header_read(answer->body, &header);
        renewal->kept = etcd3_lease_read(answer->body, &lease, &ttl_s) && lease == renewal->lease &&
                        dcs->leader_ttl_s == wanted_s && ttl_s >= wanted_s &&
                        same_member_and_term(&header, &renewal->before);
        (void)etcd3_heard(op, answer, false);
    }
    read_leader(op);
}

int etcd3_renew(struct dcs *base, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms, dcs_done done,
                void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct dcs_etcd3 *dcs = etcd3_of(store);
    const struct dcs_kv *kv = store->view == NULL ? NULL : dcs_view_get(store->view, "leader");

    if (store->view == NULL) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: nothing has been read yet");
    }
    if (store->view->revision >= epoch && (kv == NULL || kv->create_revision != epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    if (dcs->letting) {
        /* The key is about to hang on another lease, which began earlier: nothing that is sent now
         * may count. */
        return error_set(err, ERR_UNAVAILABLE, "etcd: an earlier renewal is still under way");
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    if (dcs->leader_epoch != epoch) { /* an earlier run of this agent acquired it */
        dcs->leader_epoch = epoch;
        dcs->leader_lease = kv == NULL ? 0 : kv->lease;
        dcs->let_unknown = true;
    }
    struct renewal *renewal = mem_new(struct renewal);
    renewal->before = dcs->last;
    renewal->lease = dcs->leader_lease;
    op->extra = renewal;
    op->epoch = epoch;
    op->ttl_ms = ttl_ms;
    if (dcs->let_unknown) {
        read_leader(op);
        return 0;
    }
    struct buf body = BUF_INIT;
    etcd3_lease_id(&body, dcs->leader_lease);
    etcd_op_call(op, NULL, "/lease/keepalive", &body, true, on_kept);
    return 0;
}

/* --- release ---------------------------------------------------------------------------------- */

static void on_released(void *arg, int rc, const struct etcd_answer *answer,
                        const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd3 *dcs = etcd3_of(op->store);
    struct error own;

    rc = etcd3_outcome(op, rc, answer, err, &own);
    if (dcs->leader_epoch == op->epoch && (rc == 0 || rc == ERR_CONFLICT)) {
        etcd3_revoke(op->store, dcs->leader_lease);
        dcs->leader_epoch = 0;
    }
    if (rc == 0) {
        etcd3_written(op, answer);
    } else if (rc == ERR_CONFLICT) {
        etcd_op_fail(op, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                     (long long)op->epoch);
    } else {
        etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_REFUSED : rc, &own);
    }
}

int etcd3_release(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    struct etcd3_txn txn = {0};
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->epoch = epoch;
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, epoch);
    etcd3_delete(&txn, store, "leader");
    if (status != NULL) {
        etcd3_put(&txn, store, "status", status, 0);
    }
    etcd3_send(op, &txn, on_released);
    return 0;
}
