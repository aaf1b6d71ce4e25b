/* dcs.h for the command line: reads and plain writes through a raft_client. What needs to be a
 * member (leader key, leases) is refused: a command line holds nothing. */
#include "agent/dcs/dcs_raft.h"

#include "agent/dcs/dcs_raft_view.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "raft/client.h"

#include <string.h>

struct dcs_client {
    struct dcs dcs;
    struct raft_client *client;
    char *base;
    struct dcs_view *view; /* of the last read */
    size_t pending;
    bool freed;
};

struct op {
    struct dcs_client *dcs;
    dcs_done done;
    dcs_read_done read_done;
    void *arg;
    int64_t sent_ms;
};

static struct dcs_client *self_of(struct dcs *dcs)
{
    return (struct dcs_client *)dcs;
}

static void dcs_release(struct dcs_client *dcs)
{
    if (dcs->freed && dcs->pending == 0) {
        dcs_view_unref(dcs->view);
        mem_free(dcs->base);
        mem_free(dcs);
    }
}

static void op_free(struct op *op)
{
    struct dcs_client *dcs = op->dcs;
    mem_free(op);
    dcs->pending--;
    dcs_release(dcs);
}

static struct op *op_new(struct dcs_client *dcs, void *arg)
{
    struct op *op = mem_new(struct op);
    op->dcs = dcs;
    op->arg = arg;
    op->sent_ms = clock_lease_ms(clock_real());
    dcs->pending++;
    return op;
}

static struct dcs_view *dcs_client_view(struct dcs *base)
{
    struct dcs_client *dcs = self_of(base);
    return dcs->view != NULL ? dcs_view_ref(dcs->view) : NULL;
}

static void on_read_done(void *arg, int rc, const struct raft_client_view *found,
                         const struct error *err)
{
    struct op *op = arg;
    struct dcs_client *dcs = op->dcs;
    struct dcs_view *view = NULL;
    if (rc == 0) {
        view = dcs_raft_view_of_kvs(found->kvs, found->count, found->cluster, found->revision,
                                    dcs->base);
        dcs_view_unref(dcs->view);
        dcs->view = dcs_view_ref(view);
    }
    op->read_done(op->arg, rc, view, err);
    dcs_view_unref(view);
    op_free(op);
}

static int dcs_client_read(struct dcs *base, int64_t timeout_ms, dcs_read_done done, void *arg,
                           struct error *err)
{
    struct dcs_client *dcs = self_of(base);
    struct op *op = op_new(dcs, arg);
    op->read_done = done;
    int rc = raft_client_read_prefix(dcs->client, span_str(dcs->base), timeout_ms, on_read_done, op,
                                     err);
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

static void on_command_done(void *arg, int rc, const struct store_result *found,
                            const struct error *err)
{
    struct op *op = arg;
    struct dcs_result result = {
        .rc = rc, .sent_ms = op->sent_ms, .answered_ms = clock_lease_ms(clock_real())};
    struct error why = *err;
    if (rc == 0) {
        result.revision = found->revision;
        result.rc = found->code == ERR_NOT_FOUND ? ERR_CONFLICT : found->code;
        if (result.rc != 0) {
            error_set(&why, result.rc, "%s",
                      result.rc == ERR_CONFLICT ? "the store has changed meanwhile"
                                                : "the store refused the command");
        }
    }
    op->done(op->arg, &result, &why);
    op_free(op);
}

static int write_key(struct dcs *base, const char *key, const struct store_op *template,
                     int64_t compare, int64_t timeout_ms, dcs_done done, void *arg,
                     struct error *err)
{
    struct dcs_client *dcs = self_of(base);
    char *full = mem_printf("%s%s", dcs->base, key);
    struct store_op change = *template;
    change.key = span_str(full);
    struct store_compare guard = {
        .target = STORE_CMP_MOD, .relation = STORE_EQUAL, .key = change.key, .number = compare};
    struct store_command command = {.type = STORE_TXN,
                                    .compares = &guard,
                                    .compare_count = compare != DCS_ANY,
                                    .success = &change,
                                    .success_count = 1};
    struct op *op = op_new(dcs, arg);
    op->done = done;
    int rc = key[0] == '\0' ? error_set(err, ERR_INVALID, "an empty key") : 0;
    if (rc == 0) {
        rc = raft_client_command(dcs->client, &command, timeout_ms, on_command_done, op, err);
    }
    if (rc != 0) {
        op_free(op);
    }
    mem_free(full);
    return rc;
}

static int dcs_client_put(struct dcs *base, const char *key, const char *value, int64_t compare,
                          int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct store_op put = {.type = STORE_OP_PUT, .value = span_str(value)};
    return write_key(base, key, &put, compare, timeout_ms, done, arg, err);
}

static int dcs_client_remove(struct dcs *base, const char *key, int64_t compare, int64_t timeout_ms,
                             dcs_done done, void *arg, struct error *err)
{
    struct store_op delete = {.type = STORE_OP_DELETE};
    return write_key(base, key, &delete, compare, timeout_ms, done, arg, err);
}

static int not_for_clients(struct error *err)
{
    return error_set(err, ERR_UNSUPPORTED, "only a member holds keys with a lease");
}

static int dcs_client_acquire(struct dcs *base, const struct dcs_acquire *acquire,
                              int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    (void)base, (void)acquire, (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_can_depose(struct dcs *base, struct error *err)
{
    (void)base;
    return not_for_clients(err);
}

static int dcs_client_renew(struct dcs *base, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms,
                            dcs_done done, void *arg, struct error *err)
{
    (void)base, (void)epoch, (void)ttl_ms, (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_release(struct dcs *base, int64_t epoch, const char *status,
                              int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    (void)base, (void)epoch, (void)status, (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_put_status(struct dcs *base, int64_t epoch, const char *status,
                                 int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    (void)base, (void)epoch, (void)status, (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_put_sync(struct dcs *base, int64_t epoch, const char *value, int64_t revision,
                               int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    (void)base, (void)epoch, (void)value, (void)revision;
    (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_put_unfenced(struct dcs *base, int64_t epoch, int64_t timeout_ms,
                                   dcs_done done, void *arg, struct error *err)
{
    (void)base, (void)epoch, (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_withdraw(struct dcs *base, const char *name, int64_t report_revision,
                               int64_t epoch, int64_t timeout_ms, dcs_done done, void *arg,
                               struct error *err)
{
    (void)base, (void)name, (void)report_revision, (void)epoch;
    (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

static int dcs_client_put_member(struct dcs *base, const char *name, const char *value,
                                 int64_t ttl_ms, int64_t timeout_ms, dcs_done done, void *arg,
                                 struct error *err)
{
    (void)base, (void)name, (void)value, (void)ttl_ms, (void)timeout_ms, (void)done, (void)arg;
    return not_for_clients(err);
}

/* What is under way ends with the raft_client, which is closed before or after. */
static void dcs_client_free(struct dcs *base)
{
    struct dcs_client *dcs = self_of(base);
    dcs->freed = true;
    dcs_release(dcs);
}

static const struct dcs_ops dcs_client_ops = {.view = dcs_client_view,
                                              .read = dcs_client_read,
                                              .acquire = dcs_client_acquire,
                                              .can_depose = dcs_client_can_depose,
                                              .renew = dcs_client_renew,
                                              .release = dcs_client_release,
                                              .put_status = dcs_client_put_status,
                                              .put_sync = dcs_client_put_sync,
                                              .put_unfenced = dcs_client_put_unfenced,
                                              .put = dcs_client_put,
                                              .remove = dcs_client_remove,
                                              .put_member = dcs_client_put_member,
                                              .withdraw = dcs_client_withdraw,
                                              .free = dcs_client_free};

struct dcs *dcs_raft_client_new(struct raft_client *client, const char *base)
{
    ASSERT(client != NULL);
    struct dcs_client *dcs = mem_new(struct dcs_client);
    dcs->dcs.ops = &dcs_client_ops;
    dcs->client = client;
    dcs->base = mem_strdup(base);
    return &dcs->dcs;
}
