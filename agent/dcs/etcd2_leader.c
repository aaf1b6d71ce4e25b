/* The leader key on etcd v2. What is one transaction elsewhere is a chain here, in the order of
 * rule 15 of docs/consensus.md: whoever stops in the middle leaves something that nobody acts on.
 *
 *   acquire: create `leader` -> swap `epoch` -> swap `sync` (same value) -> [put `unfenced`]
 *            -> read all: still as decided? -> ours. Any mismatch: delete `leader` at the revision
 *            that we made
 *            On an order over `unfenced`: that read -> delete `unfenced` -> read all once more. Any
 *            mismatch then: `unfenced` is put again as it was, and `leader` deleted only when it
 *            stands: in between, somebody else might acquire who does not find it
 *   release: `status` -> delete `leader` at its last revision
 *
 * Each renewal is a write that compares the last revision, so one that is late finds another and
 * does nothing; one is under way at a time. What is answered after another epoch has been taken is
 * left alone. */
#include "agent/dcs/dcs_etcd2_impl.h"

#include "agent/ha/ha_cluster.h"
#include "base/mem.h"

#include <string.h>

#define ABORT_MS       2000
#define LOOK_AGAIN_MAX 2
#define PUT_AGAIN_MAX  3

/* --- acquire ---------------------------------------------------------------------------------- */

/* What the decision went by. */
struct claim {
    int64_t epoch_revision;
    int64_t config_revision;
    int64_t sync_revision;
    int64_t unfenced_revision; /* that the key must have at the end, too */
    char *passed;     /* what `unfenced` said; NULL = it was not deleted, or is there again */
    struct error why; /* it was aborted */
    int64_t modified; /* of our `leader`; it was created so */
    int64_t epoch;    /* ours */
    size_t report_count;
    char *report_keys[DCS_REPORTS_MAX];
    int64_t report_revisions[DCS_REPORTS_MAX];
};

static void claim_free(struct etcd_op *op)
{
    struct claim *claim = op->extra;
    for (size_t i = 0; i < claim->report_count; i++) {
        mem_free(claim->report_keys[i]);
    }
    claim->report_count = 0;
    mem_free(claim->passed);
    claim->passed = NULL;
}

static void on_aborted(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    (void)rc; /* it runs out by itself otherwise */
    (void)answer;
    (void)err;
    etcd_op_free(arg);
}

static void claim_remove_leader(const struct etcd_op *op)
{
    const struct claim *claim = op->extra;
    struct error ignored = {0};
    struct etcd_op *removal = etcd_op_new(op->store, ABORT_MS, NULL, NULL, &ignored);
    if (removal != NULL) {
        etcd2_op_delete(removal, "leader", claim->modified, on_aborted);
    }
}

static void on_put_again(void *arg, int rc, const struct etcd_answer *answer,
                         const struct error *err);

/* Takes back what there is of the claim: `unfenced`, then `leader` at the revision that it has.
 * Until then nothing is told: the caller would give the key back by himself. */
static void claim_take_back(struct etcd_op *op)
{
    struct claim *claim = op->extra;
    if (claim->passed != NULL) { /* whoever it speaks of may run, and nobody leads */
        etcd2_op_put(op, "unfenced", claim->passed, claim->unfenced_revision, 0, on_put_again);
        return;
    }
    struct error why = claim->why;
    claim_remove_leader(op);
    claim_free(op);
    etcd_op_end(op, why.code, &why);
}

/* It was put at the revision that it had, as long as nobody had said that it was deleted: a
 * deletion that is applied late finds another. */
static void on_put_again(void *arg, int rc, const struct etcd_answer *answer,
                         const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct error own;
    int64_t revision = 0;

    rc = etcd2_op_result(op, rc, answer, err, &revision, &own);
    if (rc == ERR_NOT_FOUND) {
        claim->unfenced_revision = DCS_ABSENT;
    }
    bool stands = rc == 0 || rc == ERR_CONFLICT; /* as it was, or as somebody has put it since */
    if (stands || rc == ERR_CANCELED || op->tries++ >= PUT_AGAIN_MAX) {
        mem_free(claim->passed);
        claim->passed = NULL;
    }
    claim_take_back(op);
}

/* It has been written, so that nothing else can be said of what was not sent or not answered. */
static void claim_abort(struct etcd_op *op, int rc, const struct error *err)
{
    struct claim *claim = op->extra;
    claim->why = *err;
    claim->why.code = rc == ERR_NOT_FOUND ? ERR_CONFLICT : rc == ERR_UNAVAILABLE ? ERR_UNKNOWN : rc;
    op->until_ms = clock_mono_ms(op->store->clock) + ABORT_MS;
    claim_take_back(op);
}

static bool claim_holds(const struct etcd_op *op, const struct dcs_view *view)
{
    const struct claim *claim = op->extra;
    const struct dcs_kv *leader = dcs_view_get(view, "leader");
    bool holds = leader != NULL && leader->mod_revision == claim->modified &&
                 strcmp(leader->value, op->value) == 0 &&
                 etcd2_revision_of(view, "epoch") == claim->epoch &&
                 etcd2_revision_of(view, "config") == claim->config_revision &&
                 etcd2_revision_of(view, "sync") == claim->sync_revision &&
                 etcd2_revision_of(view, "unfenced") == claim->unfenced_revision;
    for (size_t i = 0; i < claim->report_count; i++) {
        holds =
            holds && etcd2_revision_of(view, claim->report_keys[i]) == claim->report_revisions[i];
    }
    return holds;
}

static void on_claim_read(void *arg, int rc, const struct etcd_answer *answer,
                          const struct error *err);

/* Put, or taken away. */
static void on_unfenced(void *arg, int rc, const struct etcd_answer *answer,
                        const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct error own;

    rc = etcd2_op_result(op, rc, answer, err, &claim->unfenced_revision, &own);
    if (rc != 0) {
        claim_abort(op, rc, &own);
        return;
    }
    if (claim->passed != NULL) {
        claim->unfenced_revision = DCS_ABSENT;
    }
    etcd_op_range(op, on_claim_read);
}

static void on_claim_read(void *arg, int rc, const struct etcd_answer *answer,
                          const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd_store *store = op->store;
    struct dcs_etcd2 *dcs = etcd2_of(store);
    struct claim *claim = op->extra;
    struct error own = *err;
    struct dcs_view *view = etcd_op_view(op, rc, answer, &own);

    if (view == NULL) {
        claim_abort(op, rc == ERR_CANCELED ? rc : ERR_UNKNOWN, &own);
        return;
    }
    bool holds = claim_holds(op, view);
    const struct dcs_kv *unfenced = dcs_view_get(view, "unfenced");
    bool passes = op->unfenced == DCS_UNFENCED_REMOVE && holds && unfenced != NULL;
    if (passes) {
        claim->passed = mem_strdup(unfenced->value);
    }
    etcd_sync_contact(store);
    etcd_sync_install(op, view);
    if (!holds) {
        (void)error_set(&own, ERR_CONFLICT, "the store has changed meanwhile");
        claim_abort(op, ERR_CONFLICT, &own);
        return;
    }
    if (passes) {
        etcd2_op_delete(op, "unfenced", claim->unfenced_revision, on_unfenced);
        return;
    }
    dcs->epoch = claim->epoch;
    dcs->created = claim->modified;
    dcs->modified = claim->modified;
    int64_t epoch = claim->epoch;
    claim_free(op);
    etcd_op_written(op, epoch, epoch);
}

/* The epoch is ours as far as anybody can tell; the read that follows is the last word. */
static void claim_unfenced(struct etcd_op *op)
{
    const struct claim *claim = op->extra;
    char *value = NULL;
    switch (op->unfenced) {
    case DCS_UNFENCED_LEAVE:
    case DCS_UNFENCED_REMOVE: /* not before that read */ etcd_op_range(op, on_claim_read); break;
    case DCS_UNFENCED_PUT:
        value = etcd_unfenced_value(op->store, claim->epoch);
        etcd2_op_put(op, "unfenced", value, claim->unfenced_revision, 0, on_unfenced);
        mem_free(value);
        break;
    }
}

static void on_sync_claimed(void *arg, int rc, const struct etcd_answer *answer,
                            const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct error own;

    rc = etcd2_op_result(op, rc, answer, err, &claim->sync_revision, &own);
    if (rc != 0) {
        claim_abort(op, rc, &own);
        return;
    }
    claim_unfenced(op);
}

static void on_epoch_claimed(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct error own = {0};
    const struct dcs_kv *sync =
        op->store->view == NULL ? NULL : dcs_view_get(op->store->view, "sync");

    rc = etcd2_op_result(op, rc, answer, err, &claim->epoch, &own);
    if (rc != 0) {
        claim_abort(op, rc, &own);
    } else if (claim->sync_revision == DCS_ABSENT) {
        claim_unfenced(op);
    } else if (sync == NULL || sync->mod_revision != claim->sync_revision) {
        (void)error_set(&own, ERR_CONFLICT, "the store has changed meanwhile");
        claim_abort(op, ERR_CONFLICT, &own);
    } else {
        etcd2_op_put(op, "sync", sync->value, claim->sync_revision, 0, on_sync_claimed);
    }
}

static void on_leader_claimed(void *arg, int rc, const struct etcd_answer *answer,
                              const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct error own;

    rc = etcd2_op_result(op, rc, answer, err, &claim->modified, &own);
    if (rc != 0) {
        claim_free(op);
        etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_CONFLICT : rc, &own);
        return;
    }
    op->sent_ms = answer->sent_ms;
    etcd2_op_put(op, "epoch", op->other, claim->epoch_revision, 0, on_epoch_claimed);
}

int etcd2_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err)
{
    struct buf epoch = BUF_INIT;

    int rc = etcd_store_may_acquire(dcs, acquire, err);
    if (rc != 0) {
        return rc;
    }
    struct etcd_op *op = etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    struct claim *claim = mem_new(struct claim);
    op->extra = claim;
    op->value = mem_strdup(acquire->holder);
    ha_epoch_value(acquire->holder, acquire->instance, (uint32_t)acquire->timeline, &epoch);
    op->other = buf_take(&epoch);
    claim->epoch_revision = acquire->epoch_revision;
    claim->config_revision = acquire->config_revision;
    claim->sync_revision = acquire->sync_revision;
    claim->unfenced_revision = acquire->unfenced_revision;
    op->unfenced = acquire->unfenced;
    for (size_t i = 0; i < acquire->report_count; i++) {
        claim->report_keys[i] = mem_printf("reports/%s", acquire->reports[i].member);
        claim->report_revisions[i] = acquire->reports[i].revision;
    }
    claim->report_count = acquire->report_count;
    etcd2_op_put(op, "leader", op->value, DCS_ABSENT, acquire->ttl_ms, on_leader_claimed);
    return 0;
}

/* --- renew, release --------------------------------------------------------------------------- */

/* The epoch is ours as far as the view knows; after a restart of the agent its numbers come from
 * there. */
static bool held(struct dcs_etcd2 *dcs, int64_t epoch)
{
    struct etcd_store *store = &dcs->store;
    const struct dcs_kv *leader = store->view == NULL ? NULL : dcs_view_get(store->view, "leader");
    if (dcs->epoch == epoch) {
        return true;
    }
    if (leader == NULL || leader->create_revision != epoch ||
        strcmp(leader->value, store->name) != 0) {
        return false;
    }
    dcs->epoch = epoch;
    dcs->created = (int64_t)leader->lease;
    dcs->modified = leader->mod_revision;
    return true;
}

/* False: an acquisition that has stopped before its `epoch`. It is no epoch, and not gone on with.
 * (Where no epoch was ever written, the key is one that somebody else's agent made.) */
static bool is_established(const struct dcs_etcd2 *dcs, int64_t epoch)
{
    const struct dcs_kv *kv =
        dcs->store.view == NULL ? NULL : dcs_view_get(dcs->store.view, "epoch");
    return kv == NULL || kv->mod_revision >= epoch;
}

static void look_again(struct etcd_op *op, etcd_done done)
{
    struct buf none = BUF_INIT;
    char *path = etcd2_path(op->store->base, "leader", "quorum=true");
    etcd_op_call(op, "GET", path, &none, true, done);
    mem_free(path);
}

/* A compare failed: an earlier write of ours may have been applied without our hearing of it. True:
 * it was, and `modified` is that of the key now. */
static bool still_ours(struct etcd_op *op, int rc, const struct etcd_answer *answer)
{
    struct dcs_etcd2 *dcs = etcd2_of(op->store);
    struct etcd2_node node;
    if (rc != 0 || dcs->epoch != op->epoch || !etcd2_node_read(answer->body, &node) ||
        node.created != dcs->created || strcmp(node.value, op->store->name) != 0) {
        return false;
    }
    dcs->modified = node.modified;
    return true;
}

static void lost(struct etcd_op *op)
{
    struct dcs_etcd2 *dcs = etcd2_of(op->store);
    if (dcs->epoch == op->epoch) {
        dcs->epoch = 0;
    }
    etcd_op_fail(op, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                 (long long)op->epoch);
}

/* Whatever keeps an attempt from being made is no word about the key: it is for the deadlines to
 * stop us then, not for this. */
static void renew_end(struct etcd_op *op, int rc, const struct error *err)
{
    etcd2_of(op->store)->renewing = false;
    if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND) {
        lost(op);
    } else {
        etcd_op_end(op, rc == 0 || rc == ERR_UNKNOWN || rc == ERR_CANCELED ? rc : ERR_UNAVAILABLE,
                    err);
    }
}

static void renew_send(struct etcd_op *op);

static void on_renew_looked(void *arg, int rc, const struct etcd_answer *answer,
                            const struct error *err)
{
    struct etcd_op *op = arg;
    if (still_ours(op, rc, answer)) {
        if (op->tries++ < LOOK_AGAIN_MAX) {
            renew_send(op);
        } else {
            etcd2_of(op->store)->renewing = false;
            etcd_op_fail(op, ERR_UNAVAILABLE, "the leader key changes under its renewal");
        }
        return;
    }
    renew_end(op, rc == 0 ? ERR_CONFLICT : rc, err);
}

static void on_renewed(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd2 *dcs = etcd2_of(op->store);
    struct error own;
    int64_t revision = 0;

    rc = etcd2_op_result(op, rc, answer, err, &revision, &own);
    if (rc == ERR_CONFLICT) {
        look_again(op, on_renew_looked);
        return;
    }
    if (rc == 0 && dcs->epoch != op->epoch) {
        rc = ERR_CONFLICT; /* we hold another one by now, or none */
    } else if (rc == 0) {
        dcs->modified = revision;
    }
    renew_end(op, rc, &own);
}

static void renew_send(struct etcd_op *op)
{
    etcd2_op_put(op, "leader", op->store->name, etcd2_of(op->store)->modified, op->ttl_ms,
                 on_renewed);
}

int etcd2_renew(struct dcs *base, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms, dcs_done done,
                void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct dcs_etcd2 *dcs = etcd2_of(store);

    if (store->view == NULL) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: nothing has been read yet");
    }
    if (dcs->renewing) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: an earlier renewal is still under way");
    }
    if ((dcs->epoch != epoch && !is_established(dcs, epoch)) || !held(dcs, epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->epoch = epoch;
    op->ttl_ms = ttl_ms;
    dcs->renewing = true;
    renew_send(op);
    return 0;
}

/* --- release ---------------------------------------------------------------------------------- */

static void on_deleted(void *arg, int rc, const struct etcd_answer *answer,
                       const struct error *err);

static void release_send(struct etcd_op *op)
{
    struct dcs_etcd2 *dcs = etcd2_of(op->store);
    if (dcs->epoch != op->epoch) {
        lost(op);
        return;
    }
    etcd2_op_delete(op, "leader", dcs->modified, on_deleted);
}

static void on_release_looked(void *arg, int rc, const struct etcd_answer *answer,
                              const struct error *err)
{
    struct etcd_op *op = arg;
    if (still_ours(op, rc, answer) && op->tries++ < LOOK_AGAIN_MAX) {
        release_send(op);
    } else if (rc == 0 || rc == ERR_NOT_FOUND) {
        lost(op);
    } else {
        etcd_op_end(op, rc == ERR_CANCELED ? rc : ERR_UNKNOWN, err);
    }
}

static void on_deleted(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd2 *dcs = etcd2_of(op->store);

    if (rc == ERR_CONFLICT) {
        look_again(op, on_release_looked);
    } else if (rc == ERR_NOT_FOUND) {
        lost(op);
    } else {
        if (rc == 0 && dcs->epoch == op->epoch) {
            dcs->epoch = 0;
        }
        etcd2_on_written(op, rc, answer, err);
    }
}

static void on_release_status(void *arg, int rc, const struct etcd_answer *answer,
                              const struct error *err)
{
    (void)rc; /* without it a switchover waits for a report instead */
    (void)answer;
    (void)err;
    release_send(arg);
}

int etcd2_release(struct dcs *base, int64_t epoch, const char *status, int64_t timeout_ms,
                  dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    if (!held(etcd2_of(store), epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->epoch = epoch;
    if (status == NULL) {
        release_send(op);
    } else { /* compared: one that comes late must not take the place of a later one */
        etcd2_op_put(op, "status", status, etcd2_revision_of(store->view, "status"), 0,
                     on_release_status);
    }
    return 0;
}
