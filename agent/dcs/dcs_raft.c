/* The store in this process as the agent's dcs. Reads of the view come from this member's own copy;
 * every write is one command through the log, and its answer comes when this member has applied it.
 * Who writes the leader key is decided by compares inside the command, never by what the view said.
 *
 * Times: `sent_ms` is read right before the first send of a command and `answered_ms` right after
 * the apply, both on the lease clock (docs/consensus.md). A renewal is one attempt under one
 * request id: an answer to a repeated id might speak of a renewal that was applied long ago. */
#include "agent/dcs/dcs_raft.h"

#include "agent/dcs/dcs_raft_txn.h"
#include "agent/dcs/dcs_raft_view.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/node.h"

#include <stdio.h>
#include <string.h>

#define MEMBER_TRIES_MAX 3
#define FORMAT_MS        1000 /* for opening format 2 of the store, before somebody asks again */
#define CATCH_UP_MS      1000 /* of one question for what is committed; then it is asked again */

struct dcs_raft {
    struct dcs dcs;
    struct raft_node *node;
    char *base;
    char *name;
    const struct clock *clock;
    const struct random *random;
    struct dcs_view *view;    /* newest built; NULL before the first */
    int64_t checked_revision; /* everything up to it is in `view`; -1 = nothing is */
    bool untold;              /* `view` is newer than what on_change has told of */
    bool caught_up;           /* a read was answered: the store is not the one of a while ago */
    bool catching_up;
    bool has_leader;
    int64_t last_stamp;
    int64_t contact_mono_ms;
    struct list ops;
};

enum op_kind { OP_WRITE, OP_READ, OP_CATCH_UP };

struct op {
    struct list in_dcs;
    struct dcs_raft *dcs; /* NULL: the dcs is gone, and this was answered */
    enum op_kind kind;
    dcs_done done;
    dcs_read_done read_done;
    void *arg;
    int64_t sent_ms;
    /* put_member: what to write, and how often it was tried. */
    unsigned tries;
    char *key;
    char *value;
    int64_t ttl_ms;
    int64_t until_ms;
};

static struct dcs_raft *self_of(struct dcs *dcs)
{
    return (struct dcs_raft *)dcs;
}

/* --- operations under way --------------------------------------------------------------------- */

static struct op *op_new(struct dcs_raft *dcs, enum op_kind kind, void *arg)
{
    struct op *op = mem_new(struct op);
    op->dcs = dcs;
    op->kind = kind;
    op->arg = arg;
    list_append(&dcs->ops, &op->in_dcs);
    return op;
}

static void op_free(struct op *op)
{
    list_remove(&op->in_dcs);
    mem_free(op->key);
    mem_free(op->value);
    mem_free(op);
}

static void op_answer(struct op *op, int rc, int64_t revision, const struct error *err)
{
    if (op->dcs == NULL || op->kind == OP_CATCH_UP) {
        return;
    }
    if (op->kind == OP_READ) {
        op->read_done(op->arg, rc, NULL, err);
        return;
    }
    struct dcs_result result = {.rc = rc,
                                .revision = revision,
                                .sent_ms = op->sent_ms,
                                .answered_ms = clock_lease_ms(op->dcs->clock)};
    op->done(op->arg, &result, err);
}

static void on_write_done(void *arg, int rc, const struct store_result *result)
{
    struct op *op = arg;
    struct error err = {0};
    int outcome = raft_outcome(rc, result, &err);
    op_answer(op, outcome, rc == 0 ? result->revision : 0, &err);
    op_free(op);
}

static int ready(const struct dcs_raft *dcs, struct error *err)
{
    return dcs->node != NULL
               ? 0
               : error_set(err, ERR_UNAVAILABLE, "the member has not joined a group yet");
}

static int propose(struct dcs_raft *dcs, const struct store_command *command, int64_t timeout_ms,
                   unsigned attempts_max, dcs_done done, void *arg, struct error *err)
{
    struct op *op = op_new(dcs, OP_WRITE, arg);
    op->done = done;
    op->sent_ms = clock_lease_ms(dcs->clock);
    int rc =
        raft_node_propose(dcs->node, command, timeout_ms, attempts_max, on_write_done, op, err);
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

/* --- transactions ----------------------------------------------------------------------------- */

static int txn_propose(struct dcs_raft *dcs, struct raft_txn *txn, int64_t timeout_ms,
                       dcs_done done, void *arg, struct error *err)
{
    struct store_command command = raft_txn_command(txn);
    int rc = propose(dcs, &command, timeout_ms, 0, done, arg, err);
    raft_txn_free(txn);
    return rc;
}

/* --- view ------------------------------------------------------------------------------------- */

static void view_refresh(struct dcs_raft *dcs)
{
    const struct store *store = raft_node_store(dcs->node);
    dcs_view_unref(dcs->view);
    struct raft_status status;
    raft_node_status(dcs->node, &status);
    dcs->view = dcs_raft_view_of_store(store, status.cluster, dcs->base);
    dcs->checked_revision = store_revision(store);
    dcs->untold = true;
}

static bool on_event(void *arg, const struct store_event *event)
{
    bool *any = arg;
    (void)event;
    *any = true;
    return false;
}

/* Whether something below the base path changed since the view was built. */
static bool view_is_stale(const struct dcs_raft *dcs)
{
    const struct store *store = raft_node_store(dcs->node);
    int64_t revision = store_revision(store);
    if (dcs->view == NULL || revision < dcs->checked_revision) {
        return true;
    }
    if (revision == dcs->checked_revision) {
        return false;
    }
    bool any = false;
    int rc =
        store_history_each(store, dcs->checked_revision + 1, span_str(dcs->base), on_event, &any);
    return rc != 0 || any;
}

static void catch_up(struct dcs_raft *dcs);

static void on_caught_up(void *arg, int rc, const struct store_result *result)
{
    struct op *op = arg;
    struct dcs_raft *dcs = op->dcs;
    (void)result;
    op_free(op);
    if (dcs == NULL) {
        return;
    }
    dcs->catching_up = false;
    if (dcs->node == NULL || dcs->caught_up) {
        return;
    }
    if (rc != 0) {
        catch_up(dcs);
        return;
    }
    dcs->caught_up = true;
    dcs_raft_changed(&dcs->dcs);
}

/* What the disk had at the start is of any time before, and what is missing the others may have
 * acted on since. One answered read says that it is all here. */
static void catch_up(struct dcs_raft *dcs)
{
    if (dcs->node == NULL || dcs->caught_up || dcs->catching_up) {
        return;
    }
    struct op *op = op_new(dcs, OP_CATCH_UP, NULL);
    dcs->catching_up = raft_node_read(dcs->node, CATCH_UP_MS, on_caught_up, op, NULL) == 0;
    if (!dcs->catching_up) {
        op_free(op); /* the node is stopping */
    }
}

static struct dcs_view *dcs_raft_view(struct dcs *base)
{
    struct dcs_raft *dcs = self_of(base);
    catch_up(dcs);
    if (dcs->node != NULL && dcs->caught_up && view_is_stale(dcs)) {
        view_refresh(dcs);
    }
    return dcs->view != NULL ? dcs_view_ref(dcs->view) : NULL;
}

void dcs_raft_changed(struct dcs *base)
{
    struct dcs_raft *dcs = self_of(base);
    if (dcs->node == NULL) {
        return;
    }
    struct raft_status status;
    raft_node_status(dcs->node, &status);
    bool has_leader = status.leader != 0;
    bool changed = has_leader != dcs->has_leader;
    dcs->has_leader = has_leader;
    catch_up(dcs);
    if (!dcs->caught_up) {
        dcs->untold = false;
    } else if (view_is_stale(dcs)) {
        view_refresh(dcs);
    } else {
        dcs->checked_revision = store_revision(raft_node_store(dcs->node));
    }
    changed = changed || dcs->untold;
    dcs->untold = false;
    if (changed && dcs->dcs.on_change != NULL) {
        dcs->dcs.on_change(dcs->dcs.on_change_arg);
    }
}

static void on_read_done(void *arg, int rc, const struct store_result *result)
{
    struct op *op = arg;
    struct dcs_raft *dcs = op->dcs;
    (void)result;
    if (rc != 0 || dcs == NULL || dcs->node == NULL) {
        struct error err = {0};
        rc = error_set(&err, rc != 0 ? rc : ERR_CANCELED, "reading from the group: %s",
                       err_name(rc));
        op_answer(op, rc, 0, &err);
    } else {
        struct error none = {0};
        dcs->caught_up = true;
        struct dcs_view *view = dcs_raft_view(&dcs->dcs);
        op->read_done(op->arg, 0, view, &none);
        dcs_view_unref(view);
    }
    op_free(op);
}

static int dcs_raft_read(struct dcs *base, int64_t timeout_ms, dcs_read_done done, void *arg,
                         struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct op *op = op_new(dcs, OP_READ, arg);
    op->read_done = done;
    rc = raft_node_read(dcs->node, timeout_ms, on_read_done, op, err);
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

/* --- the leader key --------------------------------------------------------------------------- */

static uint64_t cluster_id(const struct dcs_raft *dcs)
{
    struct raft_status status;
    raft_node_status(dcs->node, &status);
    return status.cluster;
}

/* The lease of the leader key if it still is that of `epoch`. */
static int held_lease(const struct dcs_raft *dcs, int64_t epoch, uint64_t *ret_lease,
                      struct error *err)
{
    char *key = mem_printf("%sleader", dcs->base);
    struct store_kv kv;
    bool found = store_get(raft_node_store(dcs->node), span_str(key), &kv);
    mem_free(key);
    if (!found || kv.create_revision != epoch || kv.lease == 0) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    *ret_lease = kv.lease;
    return 0;
}

static int dcs_raft_acquire(struct dcs *base, const struct dcs_acquire *acquire, int64_t timeout_ms,
                            dcs_done done, void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    rc = raft_txn_acquire(&txn, acquire, cluster_id(dcs), raft_lease_id_new(dcs->random),
                          raft_stamp_next(dcs->clock, &dcs->last_stamp), err);
    struct store_command command = raft_txn_command(&txn);
    if (rc == 0 && acquire->deposes != 0) {
        command.type = STORE_DEPOSE;
        rc = held_lease(dcs, acquire->deposes, &command.lease, err);
    }
    rc = rc != 0 ? rc : propose(dcs, &command, timeout_ms, 0, done, arg, err);
    raft_txn_free(&txn);
    return rc;
}

static int dcs_raft_put_unfenced(struct dcs *base, int64_t epoch, int64_t timeout_ms, dcs_done done,
                                 void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    raft_txn_unfenced(&txn, epoch, cluster_id(dcs));
    return txn_propose(dcs, &txn, timeout_ms, done, arg, err);
}

static void on_format_opened(void *arg, int rc, const struct store_result *result)
{
    (void)arg; /* whoever asks again finds it open */
    (void)rc;
    (void)result;
}

/* The command is one of format 2 of the store. */
static int dcs_raft_can_depose(struct dcs *base, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0 || store_format(raft_node_store(dcs->node)) > 1) {
        return rc;
    }
    rc = raft_node_open_format_2(dcs->node, FORMAT_MS, on_format_opened, NULL, err);
    return rc != 0 ? rc : error_set(err, ERR_BUSY, "format 2 of the store is being opened");
}

static int dcs_raft_renew(struct dcs *base, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms,
                          dcs_done done, void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    struct store_command command = {.type = STORE_LEASE_RENEW, .ttl_ms = ttl_ms};
    int rc = ready(dcs, err);
    if (rc == 0) {
        rc = held_lease(dcs, epoch, &command.lease, err);
    }
    if (rc != 0) {
        return rc;
    }
    command.stamp = raft_stamp_next(dcs->clock, &dcs->last_stamp);
    return propose(dcs, &command, timeout_ms, 1, done, arg, err);
}

static int dcs_raft_release(struct dcs *base, int64_t epoch, const char *status, int64_t timeout_ms,
                            dcs_done done, void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    uint64_t lease = 0;
    int rc = ready(dcs, err);
    if (rc == 0) {
        rc = held_lease(dcs, epoch, &lease, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    raft_txn_release(&txn, epoch, lease, status);
    return txn_propose(dcs, &txn, timeout_ms, done, arg, err);
}

static int dcs_raft_put_status(struct dcs *base, int64_t epoch, const char *status,
                               int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    raft_txn_status(&txn, epoch, status);
    return txn_propose(dcs, &txn, timeout_ms, done, arg, err);
}

static int dcs_raft_put_sync(struct dcs *base, int64_t epoch, const char *value, int64_t revision,
                             int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    raft_txn_sync(&txn, epoch, value, revision);
    return txn_propose(dcs, &txn, timeout_ms, done, arg, err);
}

/* --- other keys ------------------------------------------------------------------------------- */

/* `value` NULL: the key is removed. */
static int write_key(struct dcs *base, const char *key, const char *value, int64_t compare,
                     int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    rc = raft_txn_key(&txn, key, value, compare, err);
    if (rc != 0) {
        raft_txn_free(&txn);
        return rc;
    }
    return txn_propose(dcs, &txn, timeout_ms, done, arg, err);
}

static int dcs_raft_put(struct dcs *base, const char *key, const char *value, int64_t compare,
                        int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    return write_key(base, key, value, compare, timeout_ms, done, arg, err);
}

static int dcs_raft_remove(struct dcs *base, const char *key, int64_t compare, int64_t timeout_ms,
                           dcs_done done, void *arg, struct error *err)
{
    return write_key(base, key, NULL, compare, timeout_ms, done, arg, err);
}

static int dcs_raft_withdraw(struct dcs *base, const char *name, int64_t report_revision,
                             int64_t epoch, int64_t timeout_ms, dcs_done done, void *arg,
                             struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, dcs->base);
    rc = raft_txn_withdraw(&txn, name, report_revision, epoch, err);
    if (rc != 0) {
        raft_txn_free(&txn);
        return rc;
    }
    return txn_propose(dcs, &txn, timeout_ms, done, arg, err);
}

/* --- the member's own key --------------------------------------------------------------------- */

/* The lease that the key hangs on now, if it can be renewed instead of replaced. 0 = none. */
static uint64_t member_lease(const struct dcs_raft *dcs, const char *key, const char *value,
                             int64_t ttl_ms, bool *ret_value_same)
{
    char *full = mem_printf("%s%s", dcs->base, key);
    const struct store *store = raft_node_store(dcs->node);
    struct store_kv kv;
    struct store_lease lease;
    bool found = store_get(store, span_str(full), &kv) && kv.lease != 0 &&
                 store_lease_get(store, kv.lease, &lease);
    mem_free(full);
    if (!found || (lease.flags & STORE_LEASE_HOLDER) != 0 ||
        !span_equal_str(lease.owner, dcs->name)) {
        return 0;
    }
    *ret_value_same = span_equal_str(kv.value, value) && lease.ttl_ms == ttl_ms;
    return kv.lease;
}

static void on_member_done(void *arg, int rc, const struct store_result *result);

static int member_grant(struct dcs_raft *dcs, struct op *op, struct error *err)
{
    struct raft_txn txn;
    bool same = false;
    uint64_t old = member_lease(dcs, op->key, op->value, op->ttl_ms, &same);
    raft_txn_init(&txn, dcs->base);
    raft_txn_member(&txn, op->key, op->value, raft_lease_id_new(dcs->random), old, op->ttl_ms);
    struct store_command command = raft_txn_command(&txn);
    int64_t left_ms = op->until_ms - clock_mono_ms(dcs->clock);
    int rc = raft_node_propose(dcs->node, &command, left_ms > 1 ? left_ms : 1, 0, on_member_done,
                               op, err);
    raft_txn_free(&txn);
    return rc;
}

/* The old lease ended between our look and the apply (it ran out, or another put replaced it): look
 * again. */
static void on_member_done(void *arg, int rc, const struct store_result *result)
{
    struct op *op = arg;
    struct dcs_raft *dcs = op->dcs;
    bool lease_gone = rc == 0 && result->code == ERR_NOT_FOUND;
    if (!lease_gone || dcs == NULL || dcs->node == NULL || op->tries >= MEMBER_TRIES_MAX) {
        on_write_done(arg, rc, result);
        return;
    }
    op->tries++;
    struct error err = {0};
    rc = member_grant(dcs, op, &err);
    if (rc != 0) {
        op_answer(op, rc, 0, &err);
        op_free(op);
    }
}

static int dcs_raft_put_member(struct dcs *base, const char *name, const char *value,
                               int64_t ttl_ms, int64_t timeout_ms, dcs_done done, void *arg,
                               struct error *err)
{
    struct dcs_raft *dcs = self_of(base);
    int rc = ready(dcs, err);
    if (rc != 0) {
        return rc;
    }
    struct op *op = op_new(dcs, OP_WRITE, arg);
    op->done = done;
    op->key = mem_printf("members/%s", name);
    op->value = mem_strdup(value);
    op->ttl_ms = ttl_ms;
    op->until_ms = clock_mono_ms(dcs->clock) + timeout_ms;
    op->sent_ms = clock_lease_ms(dcs->clock);
    bool same = false;
    uint64_t lease = member_lease(dcs, op->key, value, ttl_ms, &same);
    rc = raft_key_check(dcs->base, op->key, err);
    if (rc == 0 && lease != 0 && same) {
        struct store_command command = {
            .type = STORE_LEASE_RENEW, .lease = lease, .ttl_ms = ttl_ms};
        rc = raft_node_propose(dcs->node, &command, timeout_ms, 0, on_member_done, op, err);
    } else if (rc == 0) {
        rc = member_grant(dcs, op, err);
    }
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

/* --- life ------------------------------------------------------------------------------------- */

static void dcs_raft_free(struct dcs *base)
{
    struct dcs_raft *dcs = self_of(base);
    struct error err = {0};
    error_set(&err, ERR_CANCELED, "the store was closed");
    while (!list_empty(&dcs->ops)) {
        struct op *op = LIST_OWNER(list_first(&dcs->ops), struct op, in_dcs);
        list_remove(&op->in_dcs); /* the node still holds it and frees it with its callback */
        op_answer(op, ERR_CANCELED, 0, &err);
        op->dcs = NULL;
    }
    dcs_view_unref(dcs->view);
    mem_free(dcs->base);
    mem_free(dcs->name);
    mem_free(dcs);
}

/* What is decided now is decided with a majority as long as this member knows of a leader. */
static int64_t dcs_raft_contact(struct dcs *base)
{
    struct dcs_raft *dcs = self_of(base);
    struct raft_status status;
    if (dcs->node != NULL) {
        raft_node_status(dcs->node, &status);
        if (status.leader != 0) {
            dcs->contact_mono_ms = clock_mono_ms(dcs->clock);
        }
    }
    return dcs->contact_mono_ms;
}

static const struct dcs_ops dcs_raft_ops = {.withdraw = dcs_raft_withdraw,
                                            .view = dcs_raft_view,
                                            .read = dcs_raft_read,
                                            .acquire = dcs_raft_acquire,
                                            .can_depose = dcs_raft_can_depose,
                                            .renew = dcs_raft_renew,
                                            .release = dcs_raft_release,
                                            .put_status = dcs_raft_put_status,
                                            .put_sync = dcs_raft_put_sync,
                                            .put_unfenced = dcs_raft_put_unfenced,
                                            .put = dcs_raft_put,
                                            .remove = dcs_raft_remove,
                                            .put_member = dcs_raft_put_member,
                                            .contact_mono_ms = dcs_raft_contact,
                                            .free = dcs_raft_free};

struct dcs *dcs_raft_new(struct raft_node *node, const struct dcs_raft_config *config)
{
    struct dcs_raft *dcs = mem_new(struct dcs_raft);
    dcs->dcs.ops = &dcs_raft_ops;
    dcs->node = node;
    dcs->base = mem_strdup(config->base);
    dcs->name = mem_strdup(config->name);
    dcs->clock = config->clock;
    dcs->random = config->random;
    dcs->checked_revision = -1;
    dcs->contact_mono_ms = -1;
    list_init(&dcs->ops);
    return &dcs->dcs;
}

void dcs_raft_set_node(struct dcs *base, struct raft_node *node)
{
    struct dcs_raft *dcs = self_of(base);
    dcs->node = node;
    dcs->has_leader = false;
    dcs->checked_revision = -1;
    if (node != NULL) {
        dcs->caught_up = false;
        dcs_view_unref(dcs->view);
        dcs->view = NULL;
    }
}
