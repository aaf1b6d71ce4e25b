/* Operations as chains of calls. What compares is sent once: sent again, its own first copy would
 * make it fail. A write that was answered with yes is told when the view shows it, so that the next
 * decision is not made on what was there before; the watch brings it within a millisecond or so,
 * and after VISIBLE_MS it is told all the same. */
#include "agent/dcs/etcd_store.h"

#include "agent/ha/ha_cluster.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VISIBLE_MS    300
#define KEY_BYTES_MAX 1024

static struct etcd_store *self_of(struct dcs *dcs)
{
    return (struct etcd_store *)dcs;
}

char *etcd_unfenced_value(const struct etcd_store *store, int64_t revision)
{
    char text[HA_EPOCH_BYTES];
    uint64_t cluster = store->view == NULL ? 0 : store->view->cluster;
    ha_epoch_print((struct ha_epoch){cluster, revision}, text);
    return mem_strdup(text);
}

int etcd_key_check(const char *key, struct error *err)
{
    return key[0] != '\0' && strlen(key) <= KEY_BYTES_MAX
               ? 0
               : error_set(err, ERR_INVALID, "key '%.64s': empty, or longer than %d bytes", key,
                           KEY_BYTES_MAX);
}

/* --- an operation ----------------------------------------------------------------------------- */

struct etcd_op *etcd_op_new(struct etcd_store *store, int64_t timeout_ms, dcs_done done, void *arg,
                            struct error *err)
{
    if (store->closing) {
        (void)error_set(err, ERR_UNAVAILABLE, "etcd: the store is being closed");
        return NULL;
    }
    struct etcd_op *op = mem_new(struct etcd_op);
    op->store = store;
    op->kind = ETCD_OP_WRITE;
    op->done = done;
    op->arg = arg;
    op->until_ms = clock_mono_ms(store->clock) + timeout_ms;
    op->sent_ms = clock_lease_ms(store->clock);
    list_append(&store->ops, &op->in_store);
    return op;
}

void etcd_op_free(struct etcd_op *op)
{
    list_remove(&op->in_store);
    json_decref(op->json);
    mem_free(op->key);
    mem_free(op->value);
    mem_free(op->other);
    mem_free(op->extra);
    mem_free(op);
}

void etcd_op_end(struct etcd_op *op, int rc, const struct error *err)
{
    if (op->kind == ETCD_OP_READ) {
        op->read_done(op->arg, rc, rc == 0 ? op->store->view : NULL, err);
    } else if (op->done != NULL) {
        struct dcs_result result = {.rc = rc,
                                    .revision = rc == 0 ? op->revision : 0,
                                    .sent_ms = op->sent_ms,
                                    .answered_ms = clock_lease_ms(op->store->clock)};
        op->done(op->arg, &result, err);
    }
    etcd_op_free(op);
}

void etcd_op_fail(struct etcd_op *op, int rc, const char *fmt, ...)
{
    struct error err = {.code = rc};
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err.text, sizeof err.text, fmt, args);
    va_end(args);
    etcd_op_end(op, rc, &err);
}

void etcd_op_written(struct etcd_op *op, int64_t revision, int64_t visible)
{
    struct etcd_store *store = op->store;
    struct error none = {0};

    op->revision = revision;
    op->visible = visible;
    if (store->heartbeat_ms == 0 || (store->view != NULL && store->view->revision >= visible)) {
        etcd_op_end(op, 0, &none);
        return;
    }
    op->answered = true;
    op->visible_until_ms = clock_mono_ms(store->clock) + VISIBLE_MS;
    etcd_sync_kick(store, VISIBLE_MS);
}

/* Whoever is told may do anything, this included: each one is taken off the list that is walked
 * before. */
void etcd_ops_visible(struct etcd_store *store)
{
    int64_t revision = store->view == NULL ? -1 : store->view->revision;
    int64_t now_ms = clock_mono_ms(store->clock);
    struct list due;

    list_init(&due);
    LIST_EACH(item, &store->ops)
    {
        struct etcd_op *op = LIST_OWNER(item, struct etcd_op, in_store);
        if (op->unsent != NULL ||
            (op->answered && (op->visible <= revision || now_ms >= op->visible_until_ms))) {
            list_remove(item);
            list_append(&due, item);
        }
    }
    while (!list_empty(&due)) {
        struct etcd_op *op = LIST_OWNER(list_first(&due), struct etcd_op, in_store);
        list_remove(&op->in_store);
        list_append(&store->ops, &op->in_store);
        if (op->unsent != NULL) {
            etcd_done done = op->unsent;
            struct error err = op->err;
            op->unsent = NULL;
            done(op, ERR_UNAVAILABLE, NULL, &err);
        } else {
            struct error none = {0};
            etcd_op_end(op, 0, &none);
        }
    }
}

static void op_send(struct etcd_op *op, struct etcd_call *call, etcd_done done)
{
    int64_t left_ms = op->until_ms - clock_mono_ms(op->store->clock);
    call->timeout_ms = left_ms > 1 ? left_ms : 1;
    op->beginnings = op->store->beginnings;
    if (op->store->closing) { /* the client may be gone: told when the store is */
        (void)error_set(&op->err, ERR_CANCELED, "the store was closed");
        op->unsent = done;
    } else if (etcd_client_call(op->store->client, call, done, op, &op->err) != 0) {
        op->unsent = done; /* told from the timer: never inside the call that asked */
        etcd_sync_kick(op->store, 0);
    }
}

void etcd_op_call(struct etcd_op *op, const char *method, const char *path, struct buf *body,
                  bool repeatable, etcd_done done)
{
    struct etcd_call call = {
        .method = method, .path = path, .body = buf_span(body), .repeatable = repeatable};
    op_send(op, &call, done);
    buf_free(body);
}

void etcd_op_range(struct etcd_op *op, etcd_done done)
{
    struct etcd_call call = {0};
    struct buf body = BUF_INIT;
    char *path = NULL;
    const struct dcs_view *known = op->store->view;
    op->known_cluster = known == NULL ? 0 : known->cluster;
    op->known_revision = known == NULL ? 0 : known->revision;
    op->anew = false;
    op->store->face->range(op, &call, &path, &body);
    op_send(op, &call, done);
    buf_free(&body);
    mem_free(path);
}

bool etcd_op_is_of_before(const struct etcd_op *op)
{
    return op->beginnings != op->store->beginnings;
}

struct dcs_view *etcd_op_view(struct etcd_op *op, int rc, const struct etcd_answer *answer,
                              struct error *err)
{
    if (rc == 0 && etcd_op_is_of_before(op)) {
        (void)error_set(err, ERR_UNAVAILABLE, "etcd: the answer is of a store that is gone");
        return NULL;
    }
    return op->store->face->view_of(op, rc, answer, err);
}

/* --- the contract's reads --------------------------------------------------------------------- */

struct dcs_view *etcd_store_view(struct dcs *dcs)
{
    struct etcd_store *store = self_of(dcs);
    return store->view == NULL ? NULL : dcs_view_ref(store->view);
}

/* A lease of etcd's has no owner: nobody could end it and be sure that it was not renewed since. */
int etcd_store_can_depose(struct dcs *dcs, struct error *err)
{
    (void)dcs;
    return error_set(err, ERR_UNSUPPORTED,
                     "with an etcd as the store no lease is ended before its time");
}

int etcd_store_may_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, struct error *err)
{
    if (acquire->deposes != 0) {
        return etcd_store_can_depose(dcs, err);
    }
    if (acquire->report_count > DCS_REPORTS_MAX || acquire->ttl_ms <= 0) {
        return error_set(err, ERR_INVALID, "acquisition with %zu reports and a ttl of %lld ms",
                         acquire->report_count, (long long)acquire->ttl_ms);
    }
    return 0;
}

int64_t etcd_store_contact(struct dcs *dcs)
{
    return self_of(dcs)->contact_mono_ms;
}

static void on_read(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd_store *store = op->store;
    struct error own = *err;
    struct dcs_view *view = etcd_op_view(op, rc, answer, &own);

    if (view != NULL) {
        etcd_sync_contact(store);
        etcd_sync_install(op, view);
    }
    /* A read that failed has done nothing, whatever became of the request. */
    etcd_op_end(op,
                view != NULL                              ? 0
                : rc == ERR_CANCELED || rc == ERR_REFUSED ? rc
                                                          : ERR_UNAVAILABLE,
                &own);
}

int etcd_store_read(struct dcs *dcs, int64_t timeout_ms, dcs_read_done done, void *arg,
                    struct error *err)
{
    struct etcd_op *op = etcd_op_new(self_of(dcs), timeout_ms, NULL, arg, err);
    if (op == NULL) {
        return ERR_UNAVAILABLE;
    }
    op->kind = ETCD_OP_READ;
    op->read_done = done;
    etcd_op_range(op, on_read);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_client_closed(void *arg)
{
    struct etcd_store *store = arg;
    struct error err = {0};

    (void)error_set(&err, ERR_CANCELED, "the store was closed");
    while (!list_empty(&store->ops)) { /* applied and waiting for the view, or never sent */
        struct etcd_op *op = LIST_OWNER(list_first(&store->ops), struct etcd_op, in_store);
        etcd_done unsent = op->unsent;
        op->unsent = NULL;
        if (unsent != NULL) {
            unsent(op, ERR_CANCELED, NULL, &err);
        } else {
            struct error none = {0};
            etcd_op_end(op, op->answered ? 0 : ERR_CANCELED, op->answered ? &none : &err);
        }
    }
    dcs_view_unref(store->view);
    mem_free(store->base);
    mem_free(store->name);
    mem_free(store); /* all of the dialect's own struct */
}

static void on_sync_stopped(uv_handle_t *handle)
{
    struct etcd_store *store = handle->data;
    etcd_client_free(store->client, on_client_closed, store);
}

void etcd_store_free(struct dcs *dcs)
{
    struct etcd_store *store = self_of(dcs);
    store->closing = true;
    etcd_sync_stop(store, on_sync_stopped);
}

static void on_switch(void *arg)
{
    struct etcd_store *store = arg;
    if (!store->closing) {
        etcd_sync_kick(store, 0);
    }
}

static void on_note(void *arg, enum log_level level, const char *text)
{
    struct etcd_store *store = arg;
    if (store->on_note != NULL) {
        store->on_note(store->note_arg, level, text);
    }
}

int etcd_store_new(uv_loop_t *loop, const struct dcs_etcd_config *config,
                   const struct etcd_face *face, struct dcs **ret_dcs, struct error *err)
{
    struct etcd_store *store = mem_alloc(face->bytes);
    struct etcd_client_config client = config->etcd;

    client.dialect = face->dialect;
    client.on_switch = on_switch;
    client.on_note = on_note;
    client.arg = store;
    store->dcs.ops = face->ops;
    store->face = face;
    store->clock = config->etcd.clock;
    store->heartbeat_ms = config->heartbeat_ms;
    store->on_note = config->on_note;
    store->note_arg = config->arg;
    store->contact_mono_ms = -1;
    list_init(&store->ops);
    int rc = etcd_client_new(loop, &client, &store->client, err);
    if (rc != 0) {
        mem_free(store);
        return rc;
    }
    store->base = mem_strdup(config->base);
    store->name = mem_strdup(config->name);
    etcd_sync_start(loop, store);
    *ret_dcs = &store->dcs;
    return 0;
}
