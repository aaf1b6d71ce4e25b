/* The v2 dialect: the view, the plain writes (one key each) and the withdrawal, which is a chain in
 * the order of rule 15 of docs/consensus.md:
 *
 *   swap the report to none -> read `leader` and `epoch`: still that epoch? -> may be followed
 *
 * The leader key is in etcd2_leader.c. An epoch is the revision of `epoch`; the view shows it as
 * the create revision of `leader` where both name the same holder and `epoch` is the later one. The
 * leader key's own createdIndex stands in its `lease`: it tells one key of that name from the next,
 * and v2 has no lease numbers. */
#include "agent/dcs/dcs_etcd2_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_CLEARED 401 /* the index is older than what etcd remembers */

/* --- one write -------------------------------------------------------------------------------- */

void etcd2_op_put(struct etcd_op *op, const char *key, const char *value, int64_t compare,
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

void etcd2_op_delete(struct etcd_op *op, const char *key, int64_t compare, etcd_done done)
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

int etcd2_op_result(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                    const struct error *err, int64_t *ret_revision, struct error *ret_err)
{
    struct etcd_store *store = op->store;
    struct etcd2_node node = {0};

    *ret_err = *err;
    if (rc != 0) {
        return rc;
    }
    if (etcd_op_is_of_before(op) || !etcd2_node_read(answer->body, &node) || answer->cluster == 0 ||
        (store->view != NULL && answer->cluster != store->view->cluster)) {
        return error_set(ret_err, ERR_UNKNOWN,
                         "etcd: the answer to a write is none of this cluster's");
    }
    etcd_sync_contact(store);
    *ret_revision = node.modified;
    return 0;
}

void etcd2_on_written(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct error own;
    int64_t revision = 0;

    rc = etcd2_op_result(op, rc, answer, err, &revision, &own);
    if (rc == 0) {
        etcd_op_written(op, revision, revision);
    } else { /* a key that is not there is a compare that failed */
        etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_CONFLICT : rc, &own);
    }
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
    etcd2_op_put(op, key, value, compare, 0, etcd2_on_written);
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
    etcd2_on_written(arg, rc, answer, err);
}

/* That it is not there can only be looked at: etcd takes a prevIndex of 0 for none. */
static void on_absence_looked(void *arg, int rc, const struct etcd_answer *answer,
                              const struct error *err)
{
    struct error none = {0};
    (void)answer;
    if (rc == 0) {
        etcd_op_fail(arg, ERR_CONFLICT, "the key is there, and was to be absent");
    } else {
        etcd_op_end(arg, rc == ERR_NOT_FOUND ? 0 : rc, rc == ERR_NOT_FOUND ? &none : err);
    }
}

static void look_for_absence(struct etcd_op *op, const char *key)
{
    struct buf none = BUF_INIT;
    char *path = etcd2_path(op->store->base, key, "quorum=true");
    etcd_op_call(op, "GET", path, &none, true, on_absence_looked);
    mem_free(path);
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
    if (compare == DCS_ABSENT) {
        look_for_absence(op, key);
    } else {
        etcd2_op_delete(op, key, compare, on_removed);
    }
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
    etcd2_op_put(op, key, value, DCS_ANY, ttl_ms, etcd2_on_written);
    mem_free(key);
    return 0;
}

bool etcd2_is_leader_of(const struct dcs_view *view, int64_t epoch)
{
    const struct dcs_kv *leader = view == NULL ? NULL : dcs_view_get(view, "leader");
    return leader != NULL && leader->create_revision == epoch;
}

int64_t etcd2_revision_of(const struct dcs_view *view, const char *key)
{
    const struct dcs_kv *kv = view == NULL ? NULL : dcs_view_get(view, key);
    return kv == NULL ? DCS_ABSENT : kv->mod_revision;
}

static int dcs_etcd2_put_status(struct dcs *dcs, int64_t epoch, const char *status,
                                int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    if (!etcd2_is_leader_of(store->view, epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    etcd2_op_put(op, "status", status, etcd2_revision_of(store->view, "status"), 0,
                 etcd2_on_written);
    return 0;
}

static int dcs_etcd2_put_sync(struct dcs *dcs, int64_t epoch, const char *value, int64_t revision,
                              int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    const struct etcd_store *store = (const struct etcd_store *)dcs;
    if (!etcd2_is_leader_of(store->view, epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    return value != NULL ? dcs_etcd2_put(dcs, "sync", value, revision, timeout_ms, done, arg, err)
                         : dcs_etcd2_remove(dcs, "sync", revision, timeout_ms, done, arg, err);
}

/* --- a key that counts only while another stands ---------------------------------------------- */

/* After the key has been written everything is read: only if it holds then, the write counts. */
static void end_if(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                   const struct error *err,
                   bool (*holds)(const struct etcd_op *op, const struct dcs_view *view))
{
    struct etcd_store *store = op->store;
    struct error own = *err;
    struct dcs_view *view = etcd_op_view(op, rc, answer, &own);

    if (view == NULL) { /* the key stands, and nobody knows whether what it was written for does */
        etcd_op_end(op, ERR_UNKNOWN, &own);
        return;
    }
    bool same = holds(op, view);
    etcd_sync_contact(store);
    etcd_sync_install(op, view);
    if (same) {
        etcd_op_written(op, op->mod_revision, op->mod_revision);
    } else {
        etcd_op_fail(op, ERR_CONFLICT, "the store has changed meanwhile");
    }
}

static void read_after_put(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                           const struct error *err, etcd_done on_read)
{
    struct error own;

    rc = etcd2_op_result(op, rc, answer, err, &op->mod_revision, &own);
    if (rc != 0) {
        etcd_op_end(op, rc == ERR_NOT_FOUND ? ERR_CONFLICT : rc, &own);
        return;
    }
    etcd_op_range(op, on_read);
}

/* --- withdraw --------------------------------------------------------------------------------- */

static bool epoch_stands(const struct etcd_op *op, const struct dcs_view *view)
{
    return etcd2_is_leader_of(view, op->epoch);
}

static void on_withdraw_read(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    end_if(arg, rc, answer, err, epoch_stands);
}

static void on_withdrawn(void *arg, int rc, const struct etcd_answer *answer,
                         const struct error *err)
{
    read_after_put(arg, rc, answer, err, on_withdraw_read);
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
    etcd2_op_put(op, op->key, "none", report_revision, 0, on_withdrawn);
    return 0;
}

/* --- unfenced --------------------------------------------------------------------------------- */

/* A candidate looks for the key after it has swapped `epoch`: so either it finds the key, or we
 * find its epoch. */
static bool epoch_and_key_stand(const struct etcd_op *op, const struct dcs_view *view)
{
    return etcd2_revision_of(view, "epoch") == op->epoch &&
           etcd2_revision_of(view, "unfenced") == op->mod_revision;
}

static void on_unfenced_read(void *arg, int rc, const struct etcd_answer *answer,
                             const struct error *err)
{
    end_if(arg, rc, answer, err, epoch_and_key_stand);
}

static void on_unfenced_put(void *arg, int rc, const struct etcd_answer *answer,
                            const struct error *err)
{
    read_after_put(arg, rc, answer, err, on_unfenced_read);
}

static int dcs_etcd2_put_unfenced(struct dcs *dcs, int64_t epoch, int64_t timeout_ms, dcs_done done,
                                  void *arg, struct error *err)
{
    struct etcd_store *store = (struct etcd_store *)dcs;
    if (!etcd2_is_leader_of(store->view, epoch)) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    struct etcd_op *op = etcd_op_new(store, timeout_ms, done, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->epoch = epoch;
    op->value = etcd_unfenced_value(store, epoch);
    etcd2_op_put(op, "unfenced", op->value, DCS_ANY, 0, on_unfenced_put);
    return 0;
}

/* --- the view --------------------------------------------------------------------------------- */

static void face_range(struct etcd_op *op, struct etcd_call *call, char **ret_path,
                       struct buf *body)
{
    (void)body;
    *ret_path = etcd2_path(op->store->base, "", "recursive=true&quorum=true");
    *call = (struct etcd_call){.method = "GET", .path = *ret_path, .repeatable = true};
}

/* The epoch takes the place of the leader key's create revision: see the head of this file. */
static void show_epoch(struct dcs_view *view)
{
    struct dcs_kv *leader = (struct dcs_kv *)(uintptr_t)dcs_view_get(view, "leader");
    const struct dcs_kv *epoch = dcs_view_get(view, "epoch");

    if (leader == NULL) {
        return;
    }
    leader->lease = (uint64_t)leader->create_revision;
    if (epoch == NULL || epoch->mod_revision < leader->create_revision) {
        return;
    }
    json_t *value = json_loads(epoch->value, 0, NULL);
    const char *holder = json_string_value(json_object_get(value, "holder"));
    if (holder != NULL && strcmp(holder, leader->value) == 0) {
        leader->create_revision = epoch->mod_revision;
    }
    json_decref(value);
}

static struct dcs_view *face_view_of(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                                     struct error *err)
{
    if (answer == NULL || (rc != 0 && rc != ERR_NOT_FOUND)) {
        return NULL;
    }
    struct dcs_view *view = etcd2_view_read(rc == 0 ? answer->body : NULL, op->store->base,
                                            answer->index, answer->cluster, err);
    if (view != NULL) {
        show_epoch(view);
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
    if (json_object_get(object, "node") != NULL ||
        json_integer_value(json_object_get(object, "errorCode")) == EVENTS_CLEARED) {
        return WATCH_READ_AGAIN;
    }
    if (etcd2_outcome(0, object, ret_why) != 0 && ret_why[0] == '\0') {
        (void)snprintf(ret_why, ERROR_TEXT_BYTES, "it is none of etcd's");
    }
    return WATCH_BROKEN;
}

static void face_forget(struct etcd_store *store)
{
    etcd2_of(store)->epoch = 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static const struct dcs_ops ops = {.view = etcd_store_view,
                                   .read = etcd_store_read,
                                   .acquire = etcd2_acquire,
                                   .can_depose = etcd_store_can_depose,
                                   .renew = etcd2_renew,
                                   .release = etcd2_release,
                                   .put_status = dcs_etcd2_put_status,
                                   .put_sync = dcs_etcd2_put_sync,
                                   .put_unfenced = dcs_etcd2_put_unfenced,
                                   .put = dcs_etcd2_put,
                                   .remove = dcs_etcd2_remove,
                                   .put_member = dcs_etcd2_put_member,
                                   .withdraw = dcs_etcd2_withdraw,
                                   .contact_mono_ms = etcd_store_contact,
                                   .free = etcd_store_free};

static const struct etcd_face face = {.dialect = ETCD_V2,
                                      .ops = &ops,
                                      .bytes = sizeof(struct dcs_etcd2),
                                      .range = face_range,
                                      .view_of = face_view_of,
                                      .watch = face_watch,
                                      .on_object = face_on_object,
                                      .forget = face_forget};

int dcs_etcd2_new(uv_loop_t *loop, const struct dcs_etcd_config *config, struct dcs **ret_dcs,
                  struct error *err)
{
    return etcd_store_new(loop, config, &face, ret_dcs, err);
}
