/* The v3 dialect: the view, the plain writes (one transaction each) and the member's own key. The
 * leader key is in etcd3_leader.c. */
#include "agent/dcs/dcs_etcd3_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define MEMBER_TRIES_MAX 3
#define REVOKE_MS        2000

/* --- who speaks ------------------------------------------------------------------------------- */

bool etcd3_heard(struct etcd_op *op, const struct etcd_answer *answer, bool quorum)
{
    struct etcd_store *store = op->store;
    struct dcs_etcd3 *dcs = etcd3_of(store);
    struct etcd3_header header;

    if (etcd_op_is_of_before(op) || !etcd3_header_read(answer->body, &header)) {
        return false;
    }
    if (header.cluster == dcs->last.cluster && header.term < dcs->last.term) {
        if (header.member != dcs->last.member) {
            etcd_client_leave(store->client, answer->url,
                              "answers in an older Raft term than another member did");
        }
        return false;
    }
    dcs->last = header;
    if (quorum) {
        etcd_sync_contact(store);
    }
    return true;
}

/* --- transactions ----------------------------------------------------------------------------- */

char *etcd3_path(const struct etcd_store *store, const char *key)
{
    return mem_printf("%s%s", store->base, key);
}

void etcd3_compare(struct etcd3_txn *txn, const struct etcd_store *store, const char *key,
                   enum etcd3_target target, int64_t revision)
{
    char *path = etcd3_path(store, key);
    etcd3_txn_compare(txn, path, target, revision);
    mem_free(path);
}

void etcd3_put(struct etcd3_txn *txn, const struct etcd_store *store, const char *key,
               const char *value, uint64_t lease)
{
    char *path = etcd3_path(store, key);
    etcd3_txn_put(txn, path, span_str(value), lease);
    mem_free(path);
}

void etcd3_delete(struct etcd3_txn *txn, const struct etcd_store *store, const char *key)
{
    char *path = etcd3_path(store, key);
    etcd3_txn_delete(txn, path);
    mem_free(path);
}

void etcd3_send(struct etcd_op *op, struct etcd3_txn *txn, etcd_done done)
{
    struct buf body = BUF_INIT;
    bool repeatable = txn->compares == NULL;
    etcd3_txn_print(txn, &body);
    etcd3_txn_free(txn);
    etcd_op_call(op, NULL, "/kv/txn", &body, repeatable, done);
}

int etcd3_outcome(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                  const struct error *err, struct error *ret_err)
{
    struct etcd_store *store = op->store;
    struct etcd3_header header;

    *ret_err = *err;
    if (rc != 0) {
        return rc;
    }
    if (etcd_op_is_of_before(op) || !etcd3_header_read(answer->body, &header) ||
        header.revision <= 0 || (store->view != NULL && header.cluster != store->view->cluster)) {
        return error_set(ret_err, ERR_UNKNOWN,
                         "etcd: the answer to a transaction is none of this cluster's");
    }
    (void)etcd3_heard(op, answer, true);
    return etcd3_txn_succeeded(answer->body)
               ? 0
               : error_set(ret_err, ERR_CONFLICT, "the store has changed meanwhile");
}

void etcd3_written(struct etcd_op *op, const struct etcd_answer *answer)
{
    struct etcd3_header header = {0};
    (void)etcd3_header_read(answer->body, &header);
    etcd_op_written(op, header.revision, header.revision);
}

static void on_txn(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct error own;
    rc = etcd3_outcome(op, rc, answer, err, &own);
    if (rc == 0) {
        etcd3_written(op, answer);
    } else {
        etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_REFUSED : rc, &own);
    }
}

/* --- leases ----------------------------------------------------------------------------------- */

void etcd3_grant(struct etcd_op *op, int64_t ttl_ms, etcd_done done)
{
    struct buf body = BUF_INIT;
    op->lease_ttl_s = (ttl_ms + 999) / 1000;
    etcd3_lease_grant(&body, op->lease_ttl_s);
    etcd_op_call(op, NULL, "/lease/grant", &body, true, done);
}

bool etcd3_granted(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                   const struct error *err)
{
    int64_t ttl_s = 0;
    if (rc != 0) { /* whatever became of it, nothing hangs on that lease */
        etcd_op_end(op, rc == ERR_UNKNOWN ? ERR_UNAVAILABLE : rc, err);
        return false;
    }
    if (!etcd3_lease_read(answer->body, &op->lease, &ttl_s) || ttl_s < op->lease_ttl_s) {
        etcd_op_fail(op, ERR_UNAVAILABLE,
                     "etcd: the answer to a lease grant names no lease, or a shorter one");
        return false;
    }
    op->lease_sent_ms = answer->sent_ms;
    (void)etcd3_heard(op, answer, true);
    return true;
}

static void on_revoked(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    (void)rc;
    (void)answer;
    (void)err;
    etcd_op_free(arg);
}

void etcd3_revoke(struct etcd_store *store, uint64_t lease)
{
    struct buf body = BUF_INIT;
    struct error err = {0};
    struct etcd_op *op = lease == 0 ? NULL : etcd_op_new(store, REVOKE_MS, NULL, NULL, &err);
    if (op != NULL) {
        etcd3_lease_id(&body, lease);
        etcd_op_call(op, NULL, "/lease/revoke", &body, true, on_revoked);
    }
}

/* --- plain writes ----------------------------------------------------------------------------- */

static int write_key(struct dcs *base, const char *key, const char *value, int64_t wanted,
                     int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)base;
    struct etcd3_txn txn = {0};
    int rc = etcd_key_check(key, err);
    struct etcd_op *op = rc != 0 ? NULL : etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return rc != 0 ? rc : ERR_UNAVAILABLE;
    }
    if (wanted != DCS_ANY) {
        etcd3_compare(&txn, store, key, ETCD3_MOD, wanted);
    }
    if (value != NULL) {
        etcd3_put(&txn, store, key, value, 0);
    } else {
        etcd3_delete(&txn, store, key);
    }
    etcd3_send(op, &txn, on_txn);
    return 0;
}

static int dcs_etcd3_put(struct dcs *dcs, const char *key, const char *value, int64_t wanted,
                         int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    return write_key(dcs, key, value, wanted, timeout_ms, done, arg, err);
}

static int dcs_etcd3_remove(struct dcs *dcs, const char *key, int64_t wanted, int64_t timeout_ms,
                            dcs_done done, void *arg, struct error *err)
{
    return write_key(dcs, key, NULL, wanted, timeout_ms, done, arg, err);
}

static int dcs_etcd3_put_status(struct dcs *dcs, int64_t epoch, const char *status,
                                int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    struct etcd3_txn txn = {0};
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, epoch);
    etcd3_put(&txn, store, "status", status, 0);
    etcd3_send(op, &txn, on_txn);
    return 0;
}

static int dcs_etcd3_put_sync(struct dcs *dcs, int64_t epoch, const char *value, int64_t revision,
                              int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    struct etcd3_txn txn = {0};
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, epoch);
    etcd3_compare(&txn, store, "sync", ETCD3_MOD, revision);
    if (value != NULL) {
        etcd3_put(&txn, store, "sync", value, 0);
    } else {
        etcd3_delete(&txn, store, "sync");
    }
    etcd3_send(op, &txn, on_txn);
    return 0;
}

static int dcs_etcd3_put_unfenced(struct dcs *dcs, int64_t epoch, int64_t timeout_ms, dcs_done done,
                                  void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    struct etcd3_txn txn = {0};
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    char *value = etcd_unfenced_value(store, epoch);
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, epoch);
    etcd3_put(&txn, store, "unfenced", value, 0);
    mem_free(value);
    etcd3_send(op, &txn, on_txn);
    return 0;
}

static int dcs_etcd3_withdraw(struct dcs *dcs, const char *name, int64_t report_revision,
                              int64_t epoch, int64_t timeout_ms, dcs_done done, void *arg,
                              struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    struct etcd3_txn txn = {0};
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    char *key = mem_printf("reports/%s", name);
    etcd3_compare(&txn, store, key, ETCD3_MOD, report_revision);
    etcd3_compare(&txn, store, "leader", ETCD3_CREATE, epoch);
    etcd3_put(&txn, store, key, "none", 0);
    mem_free(key);
    etcd3_send(op, &txn, on_txn);
    return 0;
}

/* --- the member's own key --------------------------------------------------------------------- */

static void member_step(struct etcd_op *op);

static void on_member_put(void *arg, int rc, const struct etcd_answer *answer,
                          const struct error *err)
{
    struct etcd_op *op = arg;
    struct error own;
    rc = etcd3_outcome(op, rc, answer, err, &own);
    if (rc == ERR_NOT_FOUND && op->tries++ < MEMBER_TRIES_MAX) { /* the lease ended in between */
        etcd3_of(op->store)->member_lease = 0;
        member_step(op);
    } else if (rc == 0) {
        etcd3_written(op, answer);
    } else {
        etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc, &own);
    }
}

static void member_put(struct etcd_op *op)
{
    struct etcd_store *store = op->store;
    uint64_t lease = etcd3_of(store)->member_lease;
    struct etcd3_txn txn = {0};
    const struct dcs_kv *kv = store->view == NULL ? NULL : dcs_view_get(store->view, op->key);
    if (kv != NULL && kv->lease == lease && strcmp(kv->value, op->value) == 0) {
        etcd_op_written(op, kv->mod_revision, 0);
        return;
    }
    etcd3_put(&txn, store, op->key, op->value, lease);
    etcd3_send(op, &txn, on_member_put);
}

static void on_member_granted(void *arg, int rc, const struct etcd_answer *answer,
                              const struct error *err)
{
    struct etcd_op *op = arg;
    struct dcs_etcd3 *dcs = etcd3_of(op->store);
    if (etcd3_granted(op, rc, answer, err)) {
        dcs->member_lease = op->lease;
        dcs->member_ttl_s = op->lease_ttl_s;
        member_put(op);
    }
}

static void on_member_kept(void *arg, int rc, const struct etcd_answer *answer,
                           const struct error *err)
{
    struct etcd_op *op = arg;
    uint64_t lease = 0;
    int64_t ttl_s = 0;

    if (rc != 0 && rc != ERR_NOT_FOUND) {
        etcd_op_end(op, rc, err);
        return;
    }
    if (rc != 0 || !etcd3_lease_read(answer->body, &lease, &ttl_s) || ttl_s == 0) {
        etcd3_of(op->store)->member_lease = 0;
        member_step(op);
        return;
    }
    member_put(op);
}

static void member_step(struct etcd_op *op)
{
    struct dcs_etcd3 *dcs = etcd3_of(op->store);
    struct buf body = BUF_INIT;

    if (dcs->member_lease == 0 || dcs->member_ttl_s != (op->ttl_ms + 999) / 1000) {
        /* Another ttl is another lease; the key moves over, and the old one runs out. */
        etcd3_grant(op, op->ttl_ms, on_member_granted);
        return;
    }
    etcd3_lease_id(&body, dcs->member_lease);
    etcd_op_call(op, NULL, "/lease/keepalive", &body, true, on_member_kept);
}

static int dcs_etcd3_put_member(struct dcs *dcs, const char *name, const char *value,
                                int64_t ttl_ms, int64_t timeout_ms, dcs_done done, void *arg,
                                struct error *err)
{
    struct etcd_op *op = etcd_op_new((struct etcd_store *)dcs, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->key = mem_printf("members/%s", name);
    op->value = mem_strdup(value);
    op->ttl_ms = ttl_ms;
    member_step(op);
    return 0;
}

/* --- the view --------------------------------------------------------------------------------- */

static void face_range(struct etcd_op *op, struct etcd_call *call, char **ret_path,
                       struct buf *body)
{
    const struct etcd3_header *last = &etcd3_of(op->store)->last;
    (void)ret_path;
    op->known_member = last->member;
    op->known_term = last->term;
    etcd3_range_prefix(body, op->store->base);
    *call = (struct etcd_call){.path = "/kv/range", .body = buf_span(body), .repeatable = true};
}

/* A member's term never falls; one whose term did, with the keys of before or without them, has
 * lost all that it knew: etcd is back from a backup. */
static bool term_fell(const struct etcd_op *op, const struct etcd3_header *header)
{
    return header->cluster == op->known_cluster && header->member == op->known_member &&
           header->term < op->known_term;
}

static struct dcs_view *face_view_of(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                                     struct error *err)
{
    struct etcd_store *store = op->store;
    struct etcd3_header header;

    if (rc != 0) {
        return NULL;
    }
    if (etcd3_header_read(answer->body, &header) &&
        (term_fell(op, &header) || etcd_sync_began_anew(op, header.cluster, header.revision))) {
        op->anew = true;
        etcd3_of(store)->last = (struct etcd3_header){0}; /* its terms began anew, too */
    }
    if (!etcd3_heard(op, answer, true)) {
        (void)error_set(err, ERR_UNAVAILABLE,
                        "etcd: the answer is of an older term than another one");
        return NULL;
    }
    return etcd3_view_read(answer->body, store->base, err);
}

static void face_watch(const struct etcd_store *store, struct etcd_call *call, char **ret_path,
                       struct buf *body)
{
    (void)ret_path;
    etcd3_watch(body, store->base, store->view->revision + 1);
    *call = (struct etcd_call){.path = "/watch", .body = buf_span(body)};
}

static struct dcs_kv kv_copy(const struct dcs_kv *kv)
{
    struct dcs_kv copy = *kv;
    copy.key = mem_strdup(kv->key);
    copy.value = mem_memdup(kv->value, kv->value_len);
    return copy;
}

static struct dcs_view *view_with(const struct dcs_view *old, const struct etcd3_event *event)
{
    struct dcs_view *view = dcs_view_new(old->count + 1);
    size_t count = 0;
    bool placed = event->deleted;

    view->cluster = old->cluster;
    view->revision = event->kv.mod_revision;
    for (size_t i = 0; i < old->count; i++) {
        int order = strcmp(event->kv.key, old->kvs[i].key);
        if (order <= 0 && !placed) {
            view->kvs[count++] = kv_copy(&event->kv);
            placed = true;
        }
        if (order != 0) {
            view->kvs[count++] = kv_copy(&old->kvs[i]);
        }
    }
    if (!placed) {
        view->kvs[count++] = kv_copy(&event->kv);
    }
    view->count = count;
    return view;
}

/* A revision comes whole in one answer, its events in order: everything is told up to the last one
 * named. What a range has told already is passed over. */
static void on_event(void *arg, const struct etcd3_event *event)
{
    struct etcd_store *store = arg;
    struct dcs_etcd3 *dcs = etcd3_of(store);
    if (event->kv.mod_revision > store->view->revision) {
        struct dcs_view *next = view_with(dcs->telling == NULL ? store->view : dcs->telling, event);
        dcs_view_unref(dcs->telling);
        dcs->telling = next;
    }
}

/* All of an answer, or nothing: half a revision would be taken for a whole one. */
static enum etcd_watch_news face_on_object(struct etcd_store *store, const json_t *object,
                                           char *ret_why)
{
    struct dcs_etcd3 *dcs = etcd3_of(store);
    struct etcd3_watch_answer answer;

    enum etcd3_failure failure = etcd3_watch_read(object, &answer, ret_why);
    if (failure != ETCD3_OK || answer.canceled || answer.header.cluster != store->view->cluster) {
        if (ret_why[0] == '\0') {
            (void)snprintf(ret_why, ERROR_TEXT_BYTES, "%s",
                           failure != ETCD3_OK            ? "it cannot be read"
                           : answer.compact_revision != 0 ? "compacted"
                           : answer.canceled              ? "canceled"
                                                          : "of another cluster");
        }
        return WATCH_BROKEN;
    }
    bool whole = etcd3_watch_events(object, store->base, on_event, store);
    struct dcs_view *view = dcs->telling;
    dcs->telling = NULL;
    if (!whole) {
        dcs_view_unref(view);
        (void)snprintf(ret_why, ERROR_TEXT_BYTES, "an event cannot be read");
        return WATCH_BROKEN;
    }
    if (view == NULL) {
        return WATCH_NOTHING;
    }
    dcs_view_unref(store->view);
    store->view = view;
    return WATCH_CHANGED;
}

static void face_forget(struct etcd_store *store)
{
    struct dcs_etcd3 *dcs = etcd3_of(store);
    dcs->member_lease = 0;
    dcs->leader_epoch = 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static const struct dcs_ops ops = {.view = etcd_store_view,
                                   .read = etcd_store_read,
                                   .acquire = etcd3_acquire,
                                   .can_depose = etcd_store_can_depose,
                                   .renew = etcd3_renew,
                                   .release = etcd3_release,
                                   .put_status = dcs_etcd3_put_status,
                                   .put_sync = dcs_etcd3_put_sync,
                                   .put_unfenced = dcs_etcd3_put_unfenced,
                                   .put = dcs_etcd3_put,
                                   .remove = dcs_etcd3_remove,
                                   .put_member = dcs_etcd3_put_member,
                                   .withdraw = dcs_etcd3_withdraw,
                                   .contact_mono_ms = etcd_store_contact,
                                   .free = etcd_store_free};

static const struct etcd_face face = {.dialect = ETCD_V3,
                                      .ops = &ops,
                                      .bytes = sizeof(struct dcs_etcd3),
                                      .range = face_range,
                                      .view_of = face_view_of,
                                      .watch = face_watch,
                                      .on_object = face_on_object,
                                      .forget = face_forget};

int dcs_etcd3_new(uv_loop_t *loop, const struct dcs_etcd_config *config, struct dcs **ret_dcs,
                  struct error *err)
{
    return etcd_store_new(loop, config, &face, ret_dcs, err);
}
