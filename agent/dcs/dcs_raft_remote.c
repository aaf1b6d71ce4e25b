/* The view is kept current by one question that is always open: "what is new since this revision?",
 * which a member answers when there is something, or after a heartbeat; either way it has asked a
 * majority first. Without an answer the question is asked again after a pause that grows.
 *
 *   watching --answer--> watching (at once)
 *      |  ^
 *      |  +---pause over--- pausing (50 ms .. 1 s)
 *      +------failure-------^
 *
 * Two connections: what the leader key hangs on has one of its own. A renewal then never waits
 * behind a write that is given more time, and when it is not answered in its own the next one goes
 * to the next member, whatever the other connection thinks of this one.
 *
 * Times: `sent_ms` is read before a command is given to the client, so before every send of it; the
 * answer to a command that a member repeated under one request id is counted from there, too. A
 * renewal is one attempt, as on a member, with the same stamps (dcs_raft.c).
 *
 * A write is answered when the view shows it, or VISIBLE_MS later: whoever goes on from it looks
 * into the view. */
#include "agent/dcs/dcs_raft_remote.h"

#include "agent/dcs/dcs_raft_txn.h"
#include "agent/dcs/dcs_raft_view.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/client.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#define PAUSE_MIN_MS     50
#define PAUSE_MAX_MS     1000
#define WATCH_READ_MS    3000 /* beside the heartbeat: for all members together */
#define VISIBLE_MS       500
#define MEMBER_TRIES_MAX 3
#define CALL_MS_MAX      60000 /* what a raft_client takes */

struct remote {
    struct dcs dcs;
    uv_loop_t *loop;
    struct raft_client *client; /* views, and writes but those below */
    struct raft_client *lease;  /* what ends, makes or renews the lease of the leader key */
    char *base;
    char *name;
    char *certfile; /* NULL = plain text */
    char *keyfile;
    char *cafile;
    const struct clock *clock;
    const struct random *random;
    int64_t heartbeat_ms;
    void (*on_note)(void *arg, enum log_level level, const char *text);
    void *arg;

    struct dcs_view *view; /* NULL before the first */
    int64_t seen_revision; /* of the store, when it was last heard; of the view's cluster */
    int64_t contact_mono_ms;
    int64_t pause_ms; /* of the next failure */
    bool watching;
    int64_t last_stamp;
    uint64_t member_lease; /* of members/<name>, made in this run; 0 = none */
    int64_t member_ttl_ms;
    struct {
        uint64_t cluster;
        int64_t epoch; /* 0 = none */
        uint64_t lease;
    } acquired; /* the leader key in this run, last: the view may not show it yet */
    uint64_t connections;
    uint64_t failures;
    struct list ops;
    uv_timer_t timer;    /* the end of a pause, and of waits for the view */
    int64_t watch_at_ms; /* mono; the end of the pause */
    bool closing;
    int parts; /* timer, clients that still have to close */
};

enum op_kind { OP_WRITE, OP_MEMBER, OP_READ, OP_WATCH };

struct op {
    struct list in_remote;
    struct remote *remote; /* NULL: the dcs is gone, and this was answered */
    enum op_kind kind;
    dcs_done done;
    dcs_read_done read_done;
    void *arg;
    struct dcs_result result; /* of a write: once it was answered */
    bool shows;               /* what it wrote is to be seen in the view */
    int64_t visible_until_ms; /* mono; 0 = not answered yet */
    uint64_t lease;           /* that OP_MEMBER, or an acquisition, makes; 0 = none */
    /* OP_MEMBER: what to write, and how often it was tried. */
    unsigned tries;
    char *key;
    char *value;
    int64_t ttl_ms;
    int64_t until_ms;
};

static struct remote *self_of(struct dcs *dcs)
{
    return (struct remote *)dcs;
}

static int64_t bounded_ms(int64_t timeout_ms)
{
    return timeout_ms < 1 ? 1 : timeout_ms > CALL_MS_MAX ? CALL_MS_MAX : timeout_ms;
}

/* --- operations under way --------------------------------------------------------------------- */

static struct op *op_new(struct remote *remote, enum op_kind kind, void *arg)
{
    struct op *op = mem_new(struct op);
    op->remote = remote;
    op->kind = kind;
    op->arg = arg;
    op->result.sent_ms = clock_lease_ms(remote->clock);
    list_append(&remote->ops, &op->in_remote);
    return op;
}

static void op_free(struct op *op)
{
    list_remove(&op->in_remote);
    mem_free(op->key);
    mem_free(op->value);
    mem_free(op);
}

static void op_answer(struct op *op, int rc, const struct error *err)
{
    if (op->remote == NULL || op->kind == OP_WATCH) {
        return;
    }
    if (op->kind == OP_READ) {
        op->read_done(op->arg, rc, NULL, err);
        return;
    }
    op->result.rc = rc;
    if (op->result.answered_ms == 0) {
        op->result.answered_ms = clock_lease_ms(op->remote->clock);
    }
    op->done(op->arg, &op->result, err);
}

/* Taken out first: the callback may close us, and whoever is in the list then is answered there. */
static void op_end(struct op *op, int rc, const struct error *err)
{
    list_remove(&op->in_remote);
    list_init(&op->in_remote);
    op_answer(op, rc, err);
    op_free(op);
}

static int not_open(const struct remote *remote, struct error *err)
{
    return remote->closing ? error_set(err, ERR_CANCELED, "the store was closed") : 0;
}

/* --- view ------------------------------------------------------------------------------------- */

static void timer_arm(struct remote *remote);

static void changed(struct remote *remote)
{
    if (!remote->closing && remote->dcs.on_change != NULL) {
        remote->dcs.on_change(remote->dcs.on_change_arg);
    }
}

/* Those whose write the view has come to show, or that have waited long enough. */
static void visible_tell(struct remote *remote)
{
    struct error none = {0};
    int64_t now = clock_mono_ms(remote->clock);
    for (bool again = true; again && !remote->closing;) {
        again = false; /* a callback may do anything to the list */
        LIST_EACH(item, &remote->ops)
        {
            struct op *op = LIST_OWNER(item, struct op, in_remote);
            if (op->visible_until_ms == 0 ||
                (op->result.revision > remote->seen_revision && now < op->visible_until_ms)) {
                continue;
            }
            op_end(op, 0, &none);
            again = true;
            break;
        }
    }
}

/* An answer that a majority stands behind. Borrowed. True: the view is another one now. */
static bool take_view(struct remote *remote, const struct raft_client_view *found)
{
    const struct dcs_view *before = remote->view;
    bool same_store = before != NULL && before->cluster == found->cluster;
    remote->contact_mono_ms = clock_mono_ms(remote->clock);
    if (same_store && found->revision > remote->seen_revision) {
        remote->seen_revision = found->revision;
    } else if (same_store && found->revision <= before->revision) {
        return false; /* two questions, and the older answer came later */
    }
    if (found->same) {
        return false;
    }
    remote->seen_revision = found->revision > remote->seen_revision || !same_store
                                ? found->revision
                                : remote->seen_revision;
    if (!same_store) {
        remote->member_lease = 0;
    }
    dcs_view_unref(remote->view);
    remote->view = dcs_raft_view_of_kvs(found->kvs, found->count, found->cluster, found->revision,
                                        remote->base);
    return true;
}

static int certificates_read(struct remote *remote, struct error *err)
{
    if (remote->certfile == NULL) {
        return 0;
    }
    int rc =
        raft_client_use_tls(remote->client, remote->certfile, remote->keyfile, remote->cafile, err);
    return rc != 0 ? rc
                   : raft_client_use_tls(remote->lease, remote->certfile, remote->keyfile,
                                         remote->cafile, err);
}

static void watch(struct remote *remote);

static void on_watched(void *arg, int rc, const struct raft_client_view *found,
                       const struct error *err)
{
    struct op *op = arg;
    struct remote *remote = op->remote;
    op_free(op);
    if (remote == NULL || remote->closing) {
        return;
    }
    remote->watching = false;
    if (rc == 0) {
        remote->pause_ms = 0;
        (void)take_view(remote, found);
        watch(remote);
    } else {
        int64_t pause_ms = remote->pause_ms * 2;
        pause_ms = pause_ms < PAUSE_MIN_MS   ? PAUSE_MIN_MS
                   : pause_ms > PAUSE_MAX_MS ? PAUSE_MAX_MS
                                             : pause_ms;
        if (remote->pause_ms == 0 && remote->on_note != NULL) {
            char *text = mem_printf("raft: no answer of the group: %s; asking again", err->text);
            remote->on_note(remote->arg, LOG_LEVEL_WARNING, text);
            mem_free(text);
        }
        remote->failures++;
        (void)certificates_read(remote, NULL); /* it may have been one of them */
        remote->pause_ms = pause_ms;
        /* Half of it by chance: after a loss of the majority not all clients come at once. */
        int64_t half_ms = pause_ms / 2;
        remote->watch_at_ms = clock_mono_ms(remote->clock) + half_ms +
                              (int64_t)(random_next(remote->random) % (uint64_t)(half_ms + 1));
    }
    visible_tell(remote);
    timer_arm(remote);
    changed(remote); /* also when nothing is new: the time of the last contact is */
}

static void watch(struct remote *remote)
{
    struct raft_client_watch question = {
        .cluster = remote->view != NULL ? remote->view->cluster : 0,
        .revision = remote->view != NULL ? remote->seen_revision : 0,
        .hold_ms = remote->heartbeat_ms,
        .prefix = span_str(remote->base),
    };
    struct op *op = op_new(remote, OP_WATCH, NULL);
    struct error err = {0};
    int rc = raft_client_watch(remote->client, &question, remote->heartbeat_ms + WATCH_READ_MS,
                               on_watched, op, &err);
    remote->watching = rc == 0;
    if (rc != 0) {
        op_free(op);
        remote->watch_at_ms = clock_mono_ms(remote->clock) + PAUSE_MAX_MS;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct remote *remote = timer->data;
    if (!remote->watching && clock_mono_ms(remote->clock) >= remote->watch_at_ms) {
        watch(remote);
    }
    visible_tell(remote);
    if (!remote->closing) {
        timer_arm(remote);
    }
}

static void timer_arm(struct remote *remote)
{
    int64_t due_ms = remote->watching ? INT64_MAX : remote->watch_at_ms;
    LIST_EACH(item, &remote->ops)
    {
        const struct op *op = LIST_OWNER(item, struct op, in_remote);
        if (op->visible_until_ms != 0 && op->visible_until_ms < due_ms) {
            due_ms = op->visible_until_ms;
        }
    }
    if (remote->closing || due_ms == INT64_MAX) {
        (void)uv_timer_stop(&remote->timer);
        return;
    }
    int64_t left_ms = due_ms - clock_mono_ms(remote->clock);
    uv_update_time(remote->loop);
    (void)uv_timer_start(&remote->timer, on_timer, left_ms > 0 ? (uint64_t)left_ms : 0, 0);
}

static struct dcs_view *remote_view(struct dcs *dcs)
{
    struct remote *remote = self_of(dcs);
    return remote->view != NULL ? dcs_view_ref(remote->view) : NULL;
}

static int64_t remote_contact(struct dcs *dcs)
{
    return self_of(dcs)->contact_mono_ms;
}

static void on_read(void *arg, int rc, const struct raft_client_view *found,
                    const struct error *err)
{
    struct op *op = arg;
    struct remote *remote = op->remote;
    if (remote == NULL) {
        op_free(op);
        return;
    }
    if (rc != 0) {
        op_end(op, rc, err);
        return;
    }
    bool is_new = take_view(remote, found);
    struct dcs_view *view = dcs_view_ref(remote->view);
    list_remove(&op->in_remote);
    list_init(&op->in_remote);
    op->read_done(op->arg, 0, view, err);
    dcs_view_unref(view);
    op_free(op);
    visible_tell(remote);
    if (is_new) {
        changed(remote);
    }
}

static int remote_read(struct dcs *dcs, int64_t timeout_ms, dcs_read_done done, void *arg,
                       struct error *err)
{
    struct remote *remote = self_of(dcs);
    int rc = not_open(remote, err);
    if (rc != 0) {
        return rc;
    }
    struct op *op = op_new(remote, OP_READ, arg);
    op->read_done = done;
    rc = raft_client_read_prefix(remote->client, span_str(remote->base), bounded_ms(timeout_ms),
                                 on_read, op, err);
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

/* --- writes ----------------------------------------------------------------------------------- */

/* A member that refused in its own words has said more than the code. */
static int outcome_of(int rc, const struct store_result *result, const struct error *why,
                      struct error *err)
{
    if (rc == 0) {
        return raft_outcome(0, result, err);
    }
    *err = *why;
    /* Nothing was written; whoever asked knows no other word for it. */
    return rc == ERR_PERMISSION || rc == ERR_LIMIT ? ERR_UNAVAILABLE : rc;
}

static void write_end(struct op *op, int rc, const struct store_result *result,
                      const struct error *why)
{
    struct remote *remote = op->remote;
    struct error err = {0};
    int outcome = outcome_of(rc, result, why, &err);
    op->result.answered_ms = clock_lease_ms(remote->clock);
    op->result.revision = rc == 0 ? result->revision : 0;
    if (rc == 0) {
        remote->contact_mono_ms = clock_mono_ms(remote->clock);
    }
    if (outcome == 0 && op->shows && op->result.revision > remote->seen_revision) {
        op->visible_until_ms = clock_mono_ms(remote->clock) + VISIBLE_MS;
        timer_arm(remote);
        return;
    }
    op_end(op, outcome, &err);
}

static void on_written(void *arg, int rc, const struct store_result *result,
                       const struct error *why)
{
    struct op *op = arg;
    struct remote *remote = op->remote;
    if (remote == NULL) {
        op_free(op);
        return;
    }
    if (rc == 0 && result->code == 0 && op->lease != 0) {
        remote->acquired.cluster = remote->view->cluster; /* which it was decided on, and names */
        remote->acquired.epoch = result->revision;
        remote->acquired.lease = op->lease;
    }
    write_end(op, rc, result, why);
}

struct call {
    int64_t timeout_ms;
    dcs_done done;
    void *arg;
    uint64_t lease; /* of an acquisition */
};

static int command_send(struct remote *remote, struct raft_client *by,
                        const struct store_command *command, const struct call *call,
                        struct error *err)
{
    int rc = not_open(remote, err);
    if (rc != 0) {
        return rc;
    }
    struct op *op = op_new(remote, OP_WRITE, call->arg);
    op->done = call->done;
    op->lease = call->lease;
    op->shows = command->type == STORE_TXN; /* a renewal changes no key */
    rc = raft_client_command_as(by, command, bounded_ms(call->timeout_ms), on_written, op, err);
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

/* Frees `txn`. `rc`: of its making. */
static int txn_send(struct remote *remote, struct raft_client *by, int rc, struct raft_txn *txn,
                    const struct call *call, struct error *err)
{
    struct store_command command = raft_txn_command(txn);
    rc = rc != 0 ? rc : command_send(remote, by, &command, call, err);
    raft_txn_free(txn);
    return rc;
}

/* --- the leader key --------------------------------------------------------------------------- */

/* The store's id is part of what is written. */
static int ready(const struct remote *remote, struct error *err)
{
    int rc = not_open(remote, err);
    return rc != 0 ? rc
           : remote->view != NULL
               ? 0
               : error_set(err, ERR_UNAVAILABLE, "no member of the group has answered yet");
}

/* A view of before an acquisition says nothing of it: the member that makes the views may stand
 * still, or be cut off, when the one that the lease hangs on is not. */
static int held_lease(const struct remote *remote, int64_t epoch, uint64_t *ret_lease,
                      struct error *err)
{
    const struct dcs_view *view = remote->view;
    if (remote->acquired.epoch == epoch && remote->acquired.cluster == view->cluster &&
        view->revision < epoch) {
        *ret_lease = remote->acquired.lease;
        return 0;
    }
    const struct dcs_kv *kv = dcs_view_get(view, "leader");
    if (kv == NULL || kv->create_revision != epoch || kv->lease == 0) {
        return error_set(err, ERR_CONFLICT, "the leader key is not that of epoch %lld any more",
                         (long long)epoch);
    }
    *ret_lease = kv->lease;
    return 0;
}

static int remote_acquire(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                          dcs_done done, void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    int rc = ready(remote, err);
    if (rc == 0 && acquire->deposes != 0) {
        rc = error_set(err, ERR_UNSUPPORTED, "a client of the group deposes nobody");
    }
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    call.lease = raft_lease_id_new(remote->random);
    rc = raft_txn_acquire(&txn, acquire, remote->view->cluster, call.lease,
                          raft_stamp_next(remote->clock, &remote->last_stamp), err);
    return txn_send(remote, remote->lease, rc, &txn, &call, err);
}

/* Whether the holder is silent on the Raft port only members can say. */
static int remote_can_depose(struct dcs *dcs, struct error *err)
{
    (void)dcs;
    return error_set(err, ERR_UNSUPPORTED, "a client of the group deposes nobody");
}

static int remote_renew(struct dcs *dcs, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms,
                        dcs_done done, void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    struct store_command command = {.type = STORE_LEASE_RENEW, .ttl_ms = ttl_ms};
    int rc = ready(remote, err);
    if (rc == 0) {
        rc = held_lease(remote, epoch, &command.lease, err);
    }
    if (rc != 0) {
        return rc;
    }
    command.stamp = raft_stamp_next(remote->clock, &remote->last_stamp);
    return command_send(remote, remote->lease, &command, &call, err);
}

static int remote_release(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                          dcs_done done, void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    uint64_t lease = 0;
    int rc = ready(remote, err);
    if (rc == 0) {
        rc = held_lease(remote, epoch, &lease, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    raft_txn_release(&txn, epoch, lease, status);
    return txn_send(remote, remote->lease, 0, &txn, &call, err);
}

static int remote_put_status(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                             dcs_done done, void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    raft_txn_status(&txn, epoch, status);
    return txn_send(remote, remote->client, 0, &txn, &call, err);
}

static int remote_put_sync(struct dcs *dcs, int64_t epoch, const char *value, int64_t revision,
                           int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    raft_txn_sync(&txn, epoch, value, revision);
    return txn_send(remote, remote->client, 0, &txn, &call, err);
}

static int remote_put_unfenced(struct dcs *dcs, int64_t epoch, int64_t timeout_ms, dcs_done done,
                               void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    int rc = ready(remote, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    raft_txn_unfenced(&txn, epoch, remote->view->cluster);
    return txn_send(remote, remote->client, 0, &txn, &call, err);
}

/* --- other keys ------------------------------------------------------------------------------- */

static int write_key(struct dcs *dcs, const char *key, const char *value, int64_t compare,
                     const struct call *call, struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    int rc = raft_txn_key(&txn, key, value, compare, err);
    return txn_send(remote, remote->client, rc, &txn, call, err);
}

static int remote_put(struct dcs *dcs, const char *key, const char *value, int64_t compare,
                      int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    return write_key(dcs, key, value, compare, &call, err);
}

static int remote_remove(struct dcs *dcs, const char *key, int64_t compare, int64_t timeout_ms,
                         dcs_done done, void *arg, struct error *err)
{
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    return write_key(dcs, key, NULL, compare, &call, err);
}

static int remote_withdraw(struct dcs *dcs, const char *name, int64_t report_revision,
                           int64_t epoch, int64_t timeout_ms, dcs_done done, void *arg,
                           struct error *err)
{
    struct remote *remote = self_of(dcs);
    struct call call = {.timeout_ms = timeout_ms, .done = done, .arg = arg};
    struct raft_txn txn;
    raft_txn_init(&txn, remote->base);
    int rc = raft_txn_withdraw(&txn, name, report_revision, epoch, err);
    return txn_send(remote, remote->client, rc, &txn, &call, err);
}

/* --- the member's own key --------------------------------------------------------------------- */

static void on_member(void *arg, int rc, const struct store_result *result,
                      const struct error *why);

/* Renewed where the view shows the same value on a lease of this run, else on a new lease. */
static int member_send(struct op *op, struct error *err)
{
    struct remote *remote = op->remote;
    const struct dcs_kv *kv = remote->view != NULL ? dcs_view_get(remote->view, op->key) : NULL;
    uint64_t old = kv != NULL && kv->lease == remote->member_lease ? remote->member_lease : 0;
    int64_t left_ms = bounded_ms(op->until_ms - clock_mono_ms(remote->clock));
    if (old != 0 && remote->member_ttl_ms == op->ttl_ms && strcmp(kv->value, op->value) == 0) {
        struct store_command command = {
            .type = STORE_LEASE_RENEW, .lease = old, .ttl_ms = op->ttl_ms};
        op->lease = old;
        op->shows = false;
        return raft_client_command_as(remote->client, &command, left_ms, on_member, op, err);
    }
    struct raft_txn txn;
    op->lease = raft_lease_id_new(remote->random);
    op->shows = true;
    raft_txn_init(&txn, remote->base);
    raft_txn_member(&txn, op->key, op->value, op->lease, old, op->ttl_ms);
    struct store_command command = raft_txn_command(&txn);
    int rc = raft_client_command_as(remote->client, &command, left_ms, on_member, op, err);
    raft_txn_free(&txn);
    return rc;
}

/* The old lease ended between our look and the apply: then without it. */
static void on_member(void *arg, int rc, const struct store_result *result, const struct error *why)
{
    struct op *op = arg;
    struct remote *remote = op->remote;
    if (remote == NULL) {
        op_free(op);
        return;
    }
    bool lease_gone = rc == 0 && result->code == ERR_NOT_FOUND;
    if (rc == 0 && result->code == 0) {
        remote->member_lease = op->lease;
        remote->member_ttl_ms = op->ttl_ms;
    }
    if (!lease_gone || remote->closing || op->tries >= MEMBER_TRIES_MAX) {
        write_end(op, rc, result, why);
        return;
    }
    op->tries++;
    remote->member_lease = 0;
    struct error err = {0};
    rc = member_send(op, &err);
    if (rc != 0) {
        op_end(op, rc, &err);
    }
}

static int remote_put_member(struct dcs *dcs, const char *name, const char *value, int64_t ttl_ms,
                             int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    struct remote *remote = self_of(dcs);
    int rc = not_open(remote, err);
    if (rc != 0) {
        return rc;
    }
    struct op *op = op_new(remote, OP_MEMBER, arg);
    op->done = done;
    op->key = mem_printf("members/%s", name);
    op->value = mem_strdup(value);
    op->ttl_ms = ttl_ms;
    op->until_ms = clock_mono_ms(remote->clock) + timeout_ms;
    rc = raft_key_check(remote->base, op->key, err);
    rc = rc != 0 ? rc : member_send(op, err);
    if (rc != 0) {
        op_free(op);
    }
    return rc;
}

/* --- life ------------------------------------------------------------------------------------- */

static void part_closed(void *arg)
{
    struct remote *remote = arg;
    ASSERT(remote->parts > 0);
    remote->parts--;
    if (remote->parts > 0) {
        return;
    }
    dcs_view_unref(remote->view);
    mem_free(remote->base);
    mem_free(remote->name);
    mem_free(remote->certfile);
    mem_free(remote->keyfile);
    mem_free(remote->cafile);
    mem_free(remote);
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void remote_free(struct dcs *dcs)
{
    struct remote *remote = self_of(dcs);
    struct error err = {0};
    error_set(&err, ERR_CANCELED, "the store was closed");
    remote->closing = true;
    while (!list_empty(&remote->ops)) {
        struct op *op = LIST_OWNER(list_first(&remote->ops), struct op, in_remote);
        bool answered = op->visible_until_ms != 0;
        list_remove(&op->in_remote);
        list_init(&op->in_remote);
        op_answer(op, answered ? 0 : ERR_CANCELED, &err);
        op->remote = NULL;
        if (answered) {
            op_free(op); /* else the client still holds it, and frees it with its callback */
        }
    }
    remote->parts = 1 + (remote->client != NULL) + (remote->lease != NULL);
    uv_close((uv_handle_t *)&remote->timer, on_timer_closed);
    if (remote->client != NULL) {
        raft_client_close(remote->client, part_closed, remote);
    }
    if (remote->lease != NULL) {
        raft_client_close(remote->lease, part_closed, remote);
    }
}

static const struct dcs_ops remote_ops = {.view = remote_view,
                                          .read = remote_read,
                                          .acquire = remote_acquire,
                                          .can_depose = remote_can_depose,
                                          .renew = remote_renew,
                                          .release = remote_release,
                                          .put_status = remote_put_status,
                                          .put_sync = remote_put_sync,
                                          .put_unfenced = remote_put_unfenced,
                                          .put = remote_put,
                                          .remove = remote_remove,
                                          .put_member = remote_put_member,
                                          .withdraw = remote_withdraw,
                                          .contact_mono_ms = remote_contact,
                                          .free = remote_free};

static void note(struct remote *remote, enum log_level level, const char *what, const char *text)
{
    if (remote->on_note != NULL && !remote->closing) {
        char *line = mem_printf("raft: %s%s", what, text);
        remote->on_note(remote->arg, level, line);
        mem_free(line);
    }
}

static void on_connected(void *arg, const char *address)
{
    struct remote *remote = arg;
    remote->connections++;
    note(remote, LOG_LEVEL_INFO, "this node is a client of the member at ", address);
}

static void on_warning(void *arg, const char *text)
{
    note(arg, LOG_LEVEL_WARNING, "", text);
}

/* The other connection goes the same ways, and its warnings would be the same. */
static void on_lease_connected(void *arg, const char *address)
{
    struct remote *remote = arg;
    (void)address;
    remote->connections++;
}

static int client_new(struct remote *remote, const struct dcs_raft_remote_config *config,
                      const struct raft_client_events *events, struct raft_client **ret_client,
                      struct error *err)
{
    struct raft_client *client = NULL;
    int rc = raft_client_new(remote->loop, config->addresses, config->address_count,
                             config->password, &client, err);
    if (rc != 0) {
        return rc;
    }
    *ret_client = client;
    raft_client_set_events(client, events);
    rc = raft_client_set_name(client, remote->name, err);
    if (rc == 0 && remote->certfile != NULL) {
        rc = raft_client_use_tls(client, remote->certfile, remote->keyfile, remote->cafile, err);
    }
    return rc;
}

static char *copy_of(const char *text)
{
    return text == NULL ? NULL : mem_strdup(text);
}

int dcs_raft_remote_new(struct uv_loop_s *loop, const struct dcs_raft_remote_config *config,
                        struct dcs **ret_dcs, struct error *err)
{
    struct remote *remote = mem_new(struct remote);
    struct raft_client_events events = {
        .on_connected = on_connected, .on_warning = on_warning, .arg = remote};
    struct raft_client_events lease_events = {.on_connected = on_lease_connected, .arg = remote};
    remote->dcs.ops = &remote_ops;
    remote->loop = loop;
    remote->base = mem_strdup(config->dcs.base);
    remote->name = mem_strdup(config->dcs.name);
    remote->certfile = copy_of(config->certfile);
    remote->keyfile = copy_of(config->keyfile);
    remote->cafile = copy_of(config->cafile);
    remote->clock = config->dcs.clock;
    remote->random = config->dcs.random;
    remote->heartbeat_ms = config->heartbeat_ms;
    remote->on_note = config->on_note;
    remote->arg = config->arg;
    remote->seen_revision = -1;
    remote->contact_mono_ms = -1;
    list_init(&remote->ops);
    int rc = uv_timer_init(loop, &remote->timer);
    ASSERT(rc == 0);
    remote->timer.data = remote;
    rc = client_new(remote, config, &events, &remote->client, err);
    rc = rc != 0 ? rc : client_new(remote, config, &lease_events, &remote->lease, err);
    if (rc != 0) {
        remote_free(&remote->dcs);
        return rc;
    }
    watch(remote);
    timer_arm(remote);
    *ret_dcs = &remote->dcs;
    return 0;
}

int dcs_raft_remote_reload(struct dcs *dcs, struct error *err)
{
    return certificates_read(self_of(dcs), err);
}

void dcs_raft_remote_status(const struct dcs *dcs, struct dcs_raft_remote_status *ret_status)
{
    const struct remote *remote = (const struct remote *)dcs;
    *ret_status = (struct dcs_raft_remote_status){.connections = remote->connections,
                                                  .failures = remote->failures,
                                                  .revision = remote->seen_revision};
    (void)raft_client_connected(remote->client, ret_status->address, sizeof ret_status->address);
}
