/* The view: one linearizable range, then a watch from the revision after it. Whatever goes wrong
 * with the watch (the member changes, the revision is compacted, the stream is cut or silent) ends
 * in the same thing: a new range and a new watch.
 *
 *   RANGE --answered--> WATCH --ended--> RANGE          (reading; watch != NULL)
 *
 * Besides, a range is read every heartbeat, whatever else is asked: it is what says that a majority
 * is still there, and it finds out a watch that has gone silent (BEHIND_MAX ranges that knew more
 * than the view, and not a word of the watch between them). */
#include "agent/dcs/etcd_store.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define READ_MS    3000
#define AGAIN_MS   200 /* after a range or a watch that failed */
#define BEHIND_MAX 2
#define TELL_BEATS 30 /* heartbeats between two notes of the same */

static void sync_step(struct etcd_store *store);

void etcd_sync_contact(struct etcd_store *store)
{
    store->contact_mono_ms = clock_mono_ms(store->clock);
}

/* Whoever kicks meanwhile does not shorten it. */
static void pause_sync(struct etcd_store *store)
{
    store->pause_until_ms = clock_mono_ms(store->clock) + AGAIN_MS;
    etcd_sync_kick(store, AGAIN_MS);
}

static void changed(struct etcd_store *store)
{
    etcd_ops_visible(store);
    if (store->dcs.on_change != NULL && !store->closing) {
        store->dcs.on_change(store->dcs.on_change_arg);
    }
}

/* --- the range -------------------------------------------------------------------------------- */

static bool same_keys(const struct dcs_view *a, const struct dcs_view *b)
{
    if (a == NULL || a->cluster != b->cluster || a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->kvs[i].mod_revision != b->kvs[i].mod_revision ||
            strcmp(a->kvs[i].key, b->kvs[i].key) != 0) {
            return false;
        }
    }
    return true;
}

bool etcd_sync_began_anew(const struct etcd_op *op, uint64_t cluster, int64_t revision)
{
    return cluster == op->known_cluster && revision < op->known_revision;
}

/* Nothing of before counts: no lease, no epoch, no revision to compare with. */
static void begin_anew(struct etcd_store *store, const struct dcs_view *view)
{
    const struct dcs_view *before = store->view;
    if (before->cluster != view->cluster) {
        etcd_client_note(
            store->client, LOG_LEVEL_WARNING,
            "etcd: this is another cluster than before (%llx, it was %llx), going by its keys",
            (unsigned long long)view->cluster, (unsigned long long)before->cluster);
    } else {
        etcd_client_note(store->client, LOG_LEVEL_WARNING,
                         "etcd: it was wiped, or is back from a backup (revision %lld, it was "
                         "%lld), going by its keys",
                         (long long)view->revision, (long long)before->revision);
    }
    store->beginnings++;
    store->face->forget(store);
    if (store->watch != NULL) { /* of what there was */
        etcd_stream_cancel(store->watch);
    }
}

void etcd_sync_install(struct etcd_op *op, struct dcs_view *view)
{
    struct etcd_store *store = op->store;
    struct dcs_view *before = store->view;

    store->ranged_mono_ms = clock_mono_ms(store->clock);
    bool anew = before != NULL && (before->cluster != view->cluster || op->anew ||
                                   etcd_sync_began_anew(op, view->cluster, view->revision));

    if (before != NULL && !anew && before->revision >= view->revision) {
        dcs_view_unref(view);
        return;
    }
    if (anew) {
        begin_anew(store, view);
    }
    store->watch_behind += same_keys(before, view) ? 0 : 1;
    store->view = view;
    dcs_view_unref(before);
    changed(store);
}

static void on_range(void *arg, int rc, const struct etcd_answer *answer, const struct error *err)
{
    struct etcd_op *op = arg;
    struct etcd_store *store = op->store;
    struct error own = *err;

    store->reading = false;
    struct dcs_view *view = store->closing ? NULL : etcd_op_view(op, rc, answer, &own);
    if (view == NULL) {
        etcd_op_free(op);
        if (store->closing) {
            return;
        }
        store->read_again = true; /* what it was for is still due */
        changed(store); /* the time of the last contact gets old: somebody may want to know */
        pause_sync(store);
        return;
    }
    etcd_sync_contact(store);
    etcd_sync_install(op, view);
    etcd_op_free(op);
    if (store->watch_behind >= BEHIND_MAX && store->watch != NULL) {
        etcd_client_note(store->client, LOG_LEVEL_WARNING,
                         "etcd: the watch has told nothing of what has changed, starting another");
        store->watch_behind = 0;
        etcd_stream_cancel(store->watch);
    }
    sync_step(store);
}

static void read_range(struct etcd_store *store)
{
    struct error err = {0};
    struct etcd_op *op = etcd_op_new(store, READ_MS, NULL, NULL, &err);
    if (op != NULL) {
        store->reading = true;
        store->read_again = false;
        etcd_op_range(op, on_range);
    }
}

/* --- the watch -------------------------------------------------------------------------------- */

/* The one that is remembered for this reason; for a new one, in place of the one that was told
 * longest ago. */
static struct etcd_watch_end *watch_end_for(struct etcd_store *store, const char *why)
{
    struct etcd_watch_end *oldest = &store->watch_ends[0];
    for (size_t i = 0; i < ETCD_WATCH_ENDS; i++) {
        struct etcd_watch_end *end = &store->watch_ends[i];
        if (strcmp(end->why, why) == 0) {
            return end;
        }
        if (oldest->why[0] != '\0' && (end->why[0] == '\0' || end->told_ms < oldest->told_ms)) {
            oldest = end;
        }
    }
    *oldest = (struct etcd_watch_end){0};
    return oldest;
}

/* A member may end each watch at once: told for each reason once, and now and then. */
static void tell_broken(struct etcd_store *store, const char *why)
{
    int64_t now_ms = clock_mono_ms(store->clock);
    struct etcd_watch_end *end = watch_end_for(store, why);
    char more[64] = "";
    if (end->why[0] != '\0' && now_ms < end->told_ms + TELL_BEATS * store->heartbeat_ms) {
        end->untold++;
        return;
    }
    if (end->untold > 0) {
        (void)snprintf(more, sizeof more, ", %u times more since this was told", end->untold);
    }
    etcd_client_note(store->client, LOG_LEVEL_INFO,
                     "etcd: the watch ended (%s), reading everything again%s", why, more);
    (void)snprintf(end->why, sizeof end->why, "%s", why);
    end->told_ms = now_ms;
    end->untold = 0;
}

static void on_watch_object(void *arg, const json_t *object)
{
    struct etcd_store *store = arg;
    char why[ERROR_TEXT_BYTES] = "";

    if (store->closing || store->watch == NULL) {
        return;
    }
    enum etcd_watch_news news = store->face->on_object(store, object, why);
    store->watching = news != WATCH_BROKEN;
    store->watch_behind = 0; /* also where a range has told the same before */
    switch (news) {
    case WATCH_NOTHING: break;
    case WATCH_CHANGED: changed(store); break;
    case WATCH_READ_AGAIN:
        store->read_again = true;
        etcd_sync_kick(store, 0);
        break;
    case WATCH_BROKEN:
        tell_broken(store, why);
        store->read_again = true;
        etcd_stream_cancel(store->watch);
        break;
    }
}

/* The next one goes on from the view's revision; after one that was good for nothing a while later,
 * or a member that ends each at once would be asked without a pause. */
static void on_watch_end(void *arg, int rc, const struct error *err)
{
    struct etcd_store *store = arg;
    bool told = store->watching;
    (void)rc;
    (void)err;
    store->watch = NULL;
    store->watching = false;
    if (!store->closing) {
        store->read_again = store->read_again || !told;
        if (told) {
            etcd_sync_kick(store, 0);
        } else {
            pause_sync(store);
        }
    }
}

static void start_watch(struct etcd_store *store)
{
    struct etcd_call call = {0};
    struct buf body = BUF_INIT;
    char *path = NULL;
    struct error err = {0};

    store->watch_behind = 0;
    store->face->watch(store, &call, &path, &body);
    int rc = etcd_client_stream(store->client, &call, on_watch_object, on_watch_end, store,
                                &store->watch, &err);
    buf_free(&body);
    mem_free(path);
    if (rc != 0) {
        pause_sync(store);
    }
}

/* --- what is due ------------------------------------------------------------------------------ */

static void sync_step(struct etcd_store *store)
{
    int64_t now_ms = clock_mono_ms(store->clock);
    if (store->closing) {
        return;
    }
    etcd_ops_visible(store);
    if (store->reading || store->heartbeat_ms == 0) {
        return;
    }
    if (now_ms < store->pause_until_ms) {
        etcd_sync_kick(store, store->pause_until_ms - now_ms);
        return;
    }
    int64_t age_ms = now_ms - store->ranged_mono_ms;
    if (store->view == NULL || store->read_again || age_ms >= store->heartbeat_ms) {
        read_range(store);
        return;
    }
    if (store->watch == NULL) {
        start_watch(store);
    }
    etcd_sync_kick(store, store->heartbeat_ms - age_ms);
}

static void on_timer(uv_timer_t *timer)
{
    sync_step(timer->data);
}

void etcd_sync_kick(struct etcd_store *store, int64_t in_ms)
{
    /* Never 0: a timer that starts itself so holds the loop for good. */
    uint64_t wanted = in_ms < 1 ? 1 : (uint64_t)in_ms;
    if (store->closing || (uv_is_active((uv_handle_t *)&store->timer) &&
                           uv_timer_get_due_in(&store->timer) <= wanted)) {
        return;
    }
    (void)uv_timer_start(&store->timer, on_timer, wanted, 0);
}

void etcd_sync_start(uv_loop_t *loop, struct etcd_store *store)
{
    int rc = uv_timer_init(loop, &store->timer); /* cannot fail in libuv */
    ASSERT(rc == 0);
    store->timer.data = store;
    etcd_sync_kick(store, 0);
}

void etcd_sync_stop(struct etcd_store *store, uv_close_cb closed)
{
    uv_close((uv_handle_t *)&store->timer, closed);
}
