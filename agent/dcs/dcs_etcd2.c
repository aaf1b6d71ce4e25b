/* The v2 dialect. One write is one key, so what is one transaction elsewhere is a chain here, in
 * the order of rule 15 of docs/consensus.md: whoever stops in the middle leaves something that
 * nobody acts on.
 *
 *   acquire:   create `leader` -> swap `epoch` -> swap `sync` (same value) -> read all: still as
 * decided? -> ours any mismatch: delete `leader` at the revision that we made withdraw:  swap the
 * report to none -> read `leader` and `epoch`: still that epoch? -> may be followed release:
 * `status` -> delete `leader` at its last revision
 *
 * An epoch is the revision of `epoch`; the view shows it as the create revision of `leader` where
 * both name the same holder and `epoch` is the later one. Each renewal is a write that compares the
 * last revision, so one that is late finds another and does nothing; one is under way at a time. */
#include "agent/dcs/etcd2_codec.h"
#include "agent/dcs/etcd_store.h"
#include "agent/ha/ha_cluster.h"
#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define ABORT_MS       2000
#define LOOK_AGAIN_MAX 2

struct dcs_etcd2 {
    struct etcd_store store;
    int64_t raw_created; /* of `leader` in the view, before the epoch took its place; 0 = it is not
                            there */
    int64_t epoch;       /* that we hold; 0 = none */
    int64_t created;     /* of our `leader` */
    int64_t modified;    /* as we last wrote it */
    bool renewing;
};

static struct dcs_etcd2 *self_of(struct etcd_store *store)
{
    return (struct dcs_etcd2 *)store;
}

/* --- one write -------------------------------------------------------------------------------- */

/* `compare` as in dcs.h. ttl_ms 0 = none. Writes that compare are not repeated. */
static void op_put(struct etcd_op *op, const char *key, const char *value, int64_t compare,
                   int64_t ttl_ms, etcd_done done)
{
    struct buf body = BUF_INIT;
    char *path = etcd2_path(op->store->base, key, NULL);
    etcd2_form(&body, "value", value);
    if (ttl_ms > 0) {
        etcd2_form_number(&body, "ttl", (ttl_ms + 999) / 1000);
    }
    if (compare == DCS_ABSENT) {
        etcd2_form(&body, "prevExist", "false");
    } else if (compare != DCS_ANY) {
        etcd2_form_number(&body, "prevIndex", compare);
    }
    etcd_op_call(op, "PUT", path, &body, compare == DCS_ANY, done);
    mem_free(path);
}

static void op_delete(struct etcd_op *op, const char *key, int64_t compare, etcd_done done)
{
    char query[48] = "";
    struct buf none = BUF_INIT;
    if (compare != DCS_ANY) {
        (void)snprintf(query, sizeof query, "prevIndex=%lld", (long long)compare);
    }
    char *path = etcd2_path(op->store->base, key, compare == DCS_ANY ? NULL : query);
    etcd_op_call(op, "DELETE", path, &none, compare == DCS_ANY, done);
    mem_free(path);
}

/* A key that is not there is a compare that failed. */
static int outcome(int rc)
{
    return rc == ERR_NOT_FOUND ? ERR_CONFLICT : rc;
}

static int64_t modified_of(const struct etcd_answer *answer)
{
    struct etcd2_node node = {0};
    (void)etcd2_node_read(answer->body, &node);
    return node.modified;
}

static void on_written(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    if (rc == 0) {
        int64_t revision = modified_of(answer);
        etcd_sync_contact(op->store);
        etcd_op_written(op, revision, revision);
        return;
    }
    etcd_op_end(op, outcome(rc), err);
}

/* --- plain writes ----------------------------------------------------------------------------- */

static int dcs_etcd2_put(struct dcs *dcs, const char *key, const char *value, int64_t compare,
                         int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    int rc = etcd_key_check(key, err);
    struct etcd_op *op =
        rc != 0 ? NULL : etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return rc != 0 ? rc : ERR_UNAVAILABLE;
    }
    op_put(op, key, value, compare, 0, on_written);
    return 0;
}

static void on_removed(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct error none = {0};
    if (rc == ERR_NOT_FOUND && op->mod_revision == DCS_ANY) {
        etcd_op_end(op, 0, &none); /* it is not there, which was the wish */
        return;
    }
    on_written(arg, rc, answer, err);
}

static int dcs_etcd2_remove(struct dcs *dcs, const char *key, int64_t compare, int64_t timeout_ms,
                            dcs_done done, void *arg, struct error *err)
{
    int rc = etcd_key_check(key, err);
    struct etcd_op *op =
        rc != 0 ? NULL : etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return rc != 0 ? rc : ERR_UNAVAILABLE;
    }
    op->mod_revision = compare;
    op_delete(op, key, compare, on_removed);
    return 0;
}

static int dcs_etcd2_put_member(struct dcs *dcs, const char *name, const char *value,
                                int64_t ttl_ms, int64_t timeout_ms, dcs_done done, void *arg,
                                struct error *err)
{
    struct etcd_op *op = etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    char *key = mem_printf("members/%s", name);
    op_put(op, key, value, DCS_ANY, ttl_ms, on_written);
    mem_free(key);
    return 0;
}

static bool is_leader_of(const struct dcs_view *view, int64_t epoch)
{
    const struct dcs_kv *leader = view == NULL ? NULL : dcs_view_get(view, "leader");
    return leader != NULL && leader->create_revision == epoch;
}

static int64_t revision_of(const struct dcs_view *view, const char *key)
{
    const struct dcs_kv *kv = view == NULL ? NULL : dcs_view_get(view, key);
    return kv == NULL ? DCS_ABSENT : kv->mod_revision;
}

static int dcs_etcd2_put_status(struct dcs *dcs, int64_t epoch, const char *status,
                                int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    if (!is_leader_of(store->view, epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op_put(op, "status", status, revision_of(store->view, "status"), 0, on_written);
    return 0;
}

/* --- withdraw --------------------------------------------------------------------------------- */

static void on_withdraw_read(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd_store *store = op->store;
    struct error own = *err;
    struct dcs_view *view = store->face->view_of(store, rc, answer, &own);

    if (view == NULL) { /* `none` stands, and nobody knows whether that epoch does */
        etcd_op_end(op, ERR_UNKNOWN, &own);
        return;
    }
    bool same = is_leader_of(view, op->epoch);
    etcd_sync_contact(store);
    etcd_sync_install(store, view);
    if (same) {
        etcd_op_written(op, op->mod_revision, op->mod_revision);
    } else {
        etcd_op_fail(op, ERR_CONFLICT, "the store has changed meanwhile");
    }
}

static void on_withdrawn(void *arg, int rc, const struct etcd_answer *answer,
                         const struct error *err)
{
    struct etcd_op *op = arg;
    if (rc != 0) {
        etcd_op_end(op, outcome(rc), err);
        return;
    }
    op->mod_revision = modified_of(answer);
    etcd_op_range(op, on_withdraw_read);
}

static int dcs_etcd2_withdraw(struct dcs *dcs, const char *name, int64_t report_revision,
                              int64_t epoch, int64_t timeout_ms, dcs_done done, void *arg,
                              struct error *err)
{
    struct etcd_op *op = etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->epoch = epoch;
    op->key = mem_printf("reports/%s", name);
    op_put(op, op->key, "none", report_revision, 0, on_withdrawn);
    return 0;
}

/* --- acquire ---------------------------------------------------------------------------------- */

/* What the decision went by. */
struct claim {
    int64_t epoch_revision;
    int64_t config_revision;
    int64_t sync_revision;
    int64_t created; /* of our `leader` */
    int64_t modified;
    int64_t epoch; /* ours */
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
}

static void on_aborted(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    (void)rc; /* it runs out by itself otherwise */
    (void)answer;
    (void)err;
    etcd_op_free(arg);
}

/* Takes the half-made claim back, at the revision that it has. */
static void claim_abort(struct etcd_op *op, int rc, const struct error *err)
{
    const struct claim *claim = op->extra;
    struct error ignored = {0};
    struct etcd_op *removal = etcd_op_new(op->store, ABORT_MS, NULL, NULL, &ignored);
    if (removal != NULL) {
        op_delete(removal, "leader", claim->modified, on_aborted);
    }
    claim_free(op);
    etcd_op_end(op, outcome(rc), err);
}

static bool claim_holds(const struct etcd_op *op, const struct dcs_view *view)
{
    const struct claim *claim = op->extra;
    const struct dcs_kv *leader = dcs_view_get(view, "leader");
    bool holds =
        leader != NULL && leader->mod_revision == claim->modified &&
        strcmp(leader->value, op->value) == 0 && revision_of(view, "epoch") == claim->epoch &&
        revision_of(view, "config") == claim->config_revision &&
        revision_of(view, "sync") == claim->sync_revision && dcs_view_get(view, "unfenced") == NULL;
    for (size_t i = 0; i < claim->report_count; i++) {
        holds = holds && revision_of(view, claim->report_keys[i]) == claim->report_revisions[i];
    }
    return holds;
}

static void on_claim_read(void *arg, int rc, const struct etcd_answer *answer,
                          const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd_store *store = op->store;
    struct dcs_etcd2 *dcs = self_of(store);
    struct claim *claim = op->extra;
    struct error own = *err;
    struct dcs_view *view = store->face->view_of(store, rc, answer, &own);

    if (view == NULL) {
        claim_abort(op, rc == ERR_CANCELED ? rc : ERR_UNKNOWN, &own);
        return;
    }
    bool holds = claim_holds(op, view);
    etcd_sync_contact(store);
    etcd_sync_install(store, view);
    if (!holds) {
        (void)error_set(&own, ERR_CONFLICT, "the store has changed meanwhile");
        claim_abort(op, ERR_CONFLICT, &own);
        return;
    }
    dcs->epoch = claim->epoch;
    dcs->created = claim->created;
    dcs->modified = claim->modified;
    int64_t epoch = claim->epoch;
    claim_free(op);
    etcd_op_written(op, epoch, epoch);
}

static void on_sync_claimed(void *arg, int rc, const struct etcd_answer *answer,
                            const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    if (rc != 0) {
        claim_abort(op, rc, err);
        return;
    }
    claim->sync_revision = modified_of(answer);
    etcd_op_range(op, on_claim_read);
}

static void on_epoch_claimed(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct error own = {0};
    const struct dcs_kv *sync =
        op->store->view == NULL ? NULL : dcs_view_get(op->store->view, "sync");

    if (rc != 0) {
        claim_abort(op, rc, err);
        return;
    }
    claim->epoch = modified_of(answer);
    if (claim->sync_revision == DCS_ABSENT) {
        etcd_op_range(op, on_claim_read);
    } else if (sync == NULL || sync->mod_revision != claim->sync_revision) {
        (void)error_set(&own, ERR_CONFLICT, "the store has changed meanwhile");
        claim_abort(op, ERR_CONFLICT, &own);
    } else {
        op_put(op, "sync", sync->value, claim->sync_revision, 0, on_sync_claimed);
    }
}

static void on_leader_claimed(void *arg, int rc, const struct etcd_answer *answer,
                              const struct error *err)
{
    struct etcd_op *op = arg;
    struct claim *claim = op->extra;
    struct etcd2_node node = {0};

    if (rc != 0 || !etcd2_node_read(answer->body, &node)) {
        claim_free(op);
        etcd_op_end(op, rc == 0 ? ERR_UNKNOWN : outcome(rc), err);
        return;
    }
    op->sent_ms = answer->sent_ms;
    claim->created = node.created;
    claim->modified = node.modified;
    op_put(op, "epoch", op->other, claim->epoch_revision, 0, on_epoch_claimed);
}

static int dcs_etcd2_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                             dcs_done done, void *arg, struct error *err)
{
    struct buf epoch = BUF_INIT;

    if (acquire->report_count > DCS_REPORTS_MAX || acquire->ttl_ms <= 0) {
        return error_set(err, ERR_INVALID, "acquisition with %zu reports and a ttl of %lld ms",
                         acquire->report_count, (long long)acquire->ttl_ms);
    }
    struct etcd_op *op = etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    struct claim *claim = mem_new(struct claim);
    op->extra = claim;
    op->value = mem_strdup(acquire->holder);
    ha_epoch_value(acquire->holder, (uint32_t)acquire->timeline, &epoch);
    op->other = buf_take(&epoch);
    claim->epoch_revision = acquire->epoch_revision;
    claim->config_revision = acquire->config_revision;
    claim->sync_revision = acquire->sync_revision;
    for (size_t i = 0; i < acquire->report_count; i++) {
        claim->report_keys[i] = mem_printf("reports/%s", acquire->reports[i].member);
        claim->report_revisions[i] = acquire->reports[i].revision;
    }
    claim->report_count = acquire->report_count;
    op_put(op, "leader", op->value, DCS_ABSENT, acquire->ttl_ms, on_leader_claimed);
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
    dcs->created = dcs->raw_created;
    dcs->modified = leader->mod_revision;
    return true;
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
    struct dcs_etcd2 *dcs = self_of(op->store);
    struct etcd2_node node;
    if (rc != 0 || !etcd2_node_read(answer->body, &node) || node.created != dcs->created ||
        strcmp(node.value, op->store->name) != 0) {
        return false;
    }
    dcs->modified = node.modified;
    return true;
}

static void lost(struct etcd_op *op)
{
    self_of(op->store)->epoch = 0;
    etcd_op_fail(op, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                 (long long)op->epoch);
}

static void renew_send(struct etcd_op *op);

static void on_renew_looked(void *arg, int rc, const struct etcd_answer *answer,
                            const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd2 *dcs = self_of(op->store);
    if (still_ours(op, rc, answer) && op->tries++ < LOOK_AGAIN_MAX) {
        renew_send(op);
        return;
    }
    dcs->renewing = false;
    if (rc == 0 || rc == ERR_NOT_FOUND) {
        lost(op);
    } else {
        etcd_op_end(op, ERR_UNKNOWN, err);
    }
}

static void on_renewed(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd2 *dcs = self_of(op->store);
    struct error none = {0};

    if (rc == ERR_CONFLICT) {
        look_again(op, on_renew_looked);
        return;
    }
    dcs->renewing = false;
    if (rc == ERR_NOT_FOUND) {
        lost(op);
    } else if (rc == 0) {
        dcs->modified = modified_of(answer);
        etcd_sync_contact(op->store);
        etcd_op_end(op, 0, &none);
    } else {
        etcd_op_end(op, rc, err);
    }
}

static void renew_send(struct etcd_op *op)
{
    op_put(op, "leader", op->store->name, self_of(op->store)->modified, op->ttl_ms, on_renewed);
}

static int dcs_etcd2_renew(struct dcs *base, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms,
                           dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct dcs_etcd2 *dcs = self_of(store);

    if (store->view == NULL) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: nothing has been read yet");
    }
    if (!held(dcs, epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    if (dcs->renewing) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: an earlier renewal is still under way");
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

static void on_deleted(void *arg, int rc, const struct etcd_answer *answer,
                       const struct error *err);

static void release_send(struct etcd_op *op)
{
    op_delete(op, "leader", self_of(op->store)->modified, on_deleted);
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
        etcd_op_end(op, ERR_UNKNOWN, err);
    }
}

static void on_deleted(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    if (rc == ERR_CONFLICT) {
        look_again(op, on_release_looked);
    } else if (rc == ERR_NOT_FOUND) {
        lost(op);
    } else {
        if (rc == 0) {
            self_of(op->store)->epoch = 0;
        }
        on_written(op, rc, answer, err);
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

static int dcs_etcd2_release(struct dcs *base, int64_t epoch, const char *status,
                             int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    if (!held(self_of(store), epoch)) {
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
    } else {
        op_put(op, "status", status, DCS_ANY, 0, on_release_status);
    }
    return 0;
}

/* --- the view --------------------------------------------------------------------------------- */

static void face_range(const struct etcd_store *store, struct etcd_call *call, char **ret_path,
                       struct buf *body)
{
    (void)body;
    *ret_path = etcd2_path(store->base, "", "recursive=true&quorum=true");
    *call = (struct etcd_call){.method = "GET", .path = *ret_path, .repeatable = true};
}

/* The epoch takes the place of the leader key's create revision: see the head of this file. */
static void show_epoch(struct dcs_etcd2 *dcs, struct dcs_view *view)
{
    struct dcs_kv *leader = (struct dcs_kv *)(uintptr_t)dcs_view_get(view, "leader");
    const struct dcs_kv *epoch = dcs_view_get(view, "epoch");
    dcs->raw_created = leader == NULL ? 0 : leader->create_revision;
    if (leader == NULL || epoch == NULL || epoch->mod_revision < leader->create_revision) {
        return;
    }
    json_t *value = json_loads(epoch->value, 0, NULL);
    const char *holder = json_string_value(json_object_get(value, "holder"));
    if (holder != NULL && strcmp(holder, leader->value) == 0) {
        leader->create_revision = epoch->mod_revision;
    }
    json_decref(value);
}

static struct dcs_view *face_view_of(struct etcd_store *store, int rc,
                                     const struct etcd_answer *answer, struct error *err)
{
    if (answer == NULL || (rc != 0 && rc != ERR_NOT_FOUND)) {
        return NULL;
    }
    struct dcs_view *view = etcd2_view_read(rc == 0 ? answer->body : NULL, store->base,
                                            answer->index, answer->cluster, err);
    if (view != NULL) {
        show_epoch(self_of(store), view);
    }
    return view;
}

static void face_watch(const struct etcd_store *store, struct etcd_call *call, char **ret_path,
                       struct buf *body)
{
    char query[64];
    (void)body;
    (void)snprintf(query, sizeof query, "wait=true&recursive=true&waitIndex=%lld",
                   (long long)store->view->revision + 1);
    *ret_path = etcd2_path(store->base, "", query);
    *call = (struct etcd_call){.method = "GET", .path = *ret_path};
}

/* One event ends the stream, and there may be more: everything is read. So it is when the index is
 * too old. */
static enum etcd_watch_news face_on_object(struct etcd_store *store, const json_t *object,
                                           char *ret_why)
{
    (void)store;
    (void)object;
    (void)ret_why;
    return WATCH_READ_AGAIN;
}

static void face_forget(struct etcd_store *store)
{
    self_of(store)->epoch = 0;
}

static void face_free(struct etcd_store *store)
{
    mem_free(store);
}

/* --- life ------------------------------------------------------------------------------------- */

static const struct etcd_face face = {.range = face_range,
                                      .view_of = face_view_of,
                                      .watch = face_watch,
                                      .on_object = face_on_object,
                                      .forget = face_forget,
                                      .free = face_free};

static const struct dcs_ops ops = {.view = etcd_store_view,
                                   .read = etcd_store_read,
                                   .acquire = dcs_etcd2_acquire,
                                   .renew = dcs_etcd2_renew,
                                   .release = dcs_etcd2_release,
                                   .put_status = dcs_etcd2_put_status,
                                   .put = dcs_etcd2_put,
                                   .remove = dcs_etcd2_remove,
                                   .put_member = dcs_etcd2_put_member,
                                   .withdraw = dcs_etcd2_withdraw,
                                   .contact_mono_ms = etcd_store_contact,
                                   .free = etcd_store_free};

int dcs_etcd2_new(uv_loop_t *loop, const struct dcs_etcd_config *config, struct dcs **ret_dcs,
                  struct error *err)
{
    struct dcs_etcd2 *dcs = mem_new(struct dcs_etcd2);
    struct dcs_etcd_config copy = *config;
    copy.etcd.dialect = ETCD_V2;
    int rc = etcd_store_init(&dcs->store, loop, &copy, &face, &ops, err);
    if (rc != 0) {
        mem_free(dcs);
        return rc;
    }
    *ret_dcs = &dcs->store.dcs;
    return 0;
}
