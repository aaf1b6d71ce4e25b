/* The shipping loop with everything round it replaced: timers in virtual time, and an instance, a
 * store and a fence that write down what is asked of them and answer when the test says so. What is
 * decided is the test's choice, too. The functions below bear the names of the real ones and are
 * found before the libraries'. */
#ifndef TESTS_LOOP_FIXTURE_H
#define TESTS_LOOP_FIXTURE_H

#include "agent/loop/loop.h"
#include "agent/loop/sync.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TIMERS_MAX = 16, PENDING_MAX = 64, KEYS_MAX = 24, LOOP_WAIT_MS = 10000, TTL_MS = 30000 };

enum { TIMER_CLOSED = 1 };

/* A request that is not answered yet. */
struct pending {
    bool used;
    char text[256];
    pg_done_cb done;
    pg_inspect_cb inspected;
    pg_probe_cb probed;
    pg_peer_cb asked;
    pg_sync_look_cb looked;
    pg_logical_seen_cb seen;
    fence_done_cb adopted;
    dcs_done written;
    void *arg;
    int64_t sent_ms;
};

struct rig {
    int64_t now_ms;
    struct clock clock;
    uv_loop_t loop;
    struct config config;
    char member[1024]; /* our record, as it was told last */
    json_t *empty;
    json_t *bootstrap;
    struct agent agent;
    struct dcs dcs;
    char keys[KEYS_MAX][64];
    char values[KEYS_MAX][256];
    int64_t key_revisions[KEYS_MAX];
    size_t key_count;
    int64_t revision;
    int64_t unheard_since_ms; /* the store has no majority; 0 = it has */
    unsigned views;           /* each cycle looks at the store once */
    struct fence_status fence;
    bool fence_connected;
    int fence_ends; /* how often it was to be ended */
    int fence_end_rc;
    struct pending pending[PENDING_MAX];
    char refused[64]; /* requests whose text begins so are refused */
    int refused_rc;
    struct buf calls; /* one a line */
    struct buf logged;
    struct {
        uv_timer_t *timer;
        uv_timer_cb callback;
        int64_t at_ms;
    } timers[TIMERS_MAX];
    uv_work_t *works[TIMERS_MAX];
    uv_after_work_cb work_ends[TIMERS_MAX];
    size_t work_count;
    bool works_held; /* done, and not told yet */
    unsigned warnings;
    struct ha_plan next; /* what ha_decide gives */
    unsigned decided;
    int exits;
    int exit_status; /* that the agent is to end with */
    bool promote_sent;
    struct pg_clone clone;
    struct pg_rewind rewind; /* the last one asked for */
    char reloaded[128];      /* of the last reload: slot, streams, recovery settings */
    bool reloaded_foreign;
    struct raft_node *raft;
    int64_t deposes; /* of the last acquisition */
    int64_t acquire_timeout_ms;
    int64_t start_timeout_ms; /* of the last start of the instance */
    int can_depose_rc;
    struct fence_lease page_at_release;
    struct fence_lease page_at_renewal;
    struct fence_lease page_at_removal;
    int64_t unfenced_compared;
    char undropped[PG_NAME_BYTES]; /* what a promotion has left */
    char unplaced[PG_NAME_BYTES];  /* a logical slot that no start puts there */
};

static struct rig rig;
static _Alignas(64) unsigned char page_memory[FENCE_PAGE_BYTES];

static struct pg_probe_result said; /* large: not on the stack */

static inline void standby_says(uint64_t lsn)
{
    memset(&said, 0, sizeof said);
    said.asked_ms = rig.now_ms;
    said.role = PG_STANDBY;
    said.server_version = 150004;
    said.system_identifier = 7000000000000000042;
    said.timeline = 3;
    said.control_timeline = 3;
    said.flush_lsn = said.receive_lsn = said.replay_lsn = lsn;
    said.local_wal_replayed = true;
}

/* --- virtual time ----------------------------------------------------------------------------- */

static int64_t rig_now(void *arg)
{
    return ((struct rig *)arg)->now_ms;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    timer->loop = loop;
    timer->flags = 0;
    for (size_t i = 0; i < TIMERS_MAX; i++) {
        if (rig.timers[i].timer == NULL) {
            rig.timers[i].timer = timer;
            rig.timers[i].callback = NULL;
            return 0;
        }
    }
    fail_msg("too many timers");
    return -1;
}

static size_t timer_at(const uv_timer_t *timer)
{
    size_t at = 0;
    while (at < TIMERS_MAX && rig.timers[at].timer != timer) {
        at++;
    }
    assert_true(at < TIMERS_MAX);
    return at;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb callback, uint64_t timeout, uint64_t repeat)
{
    size_t at = timer_at(timer);
    assert_int_equal(repeat, 0);
    rig.timers[at].callback = callback;
    rig.timers[at].at_ms = rig.now_ms + (int64_t)timeout;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    rig.timers[timer_at(timer)].callback = NULL;
    return 0;
}

int uv_is_closing(const uv_handle_t *handle)
{
    return handle->flags == TIMER_CLOSED;
}

void uv_close(uv_handle_t *handle, uv_close_cb callback)
{
    rig.timers[timer_at((uv_timer_t *)(void *)handle)].timer = NULL;
    handle->flags = TIMER_CLOSED;
    if (callback != NULL) {
        callback(handle);
    }
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *request, uv_work_cb work, uv_after_work_cb after)
{
    (void)loop;
    work(request);
    rig.works[rig.work_count] = request;
    rig.work_ends[rig.work_count++] = after;
    return 0;
}

static bool run_one(int64_t until_ms)
{
    size_t first = TIMERS_MAX;
    if (rig.work_count > 0 && !rig.works_held) {
        rig.work_count--;
        rig.work_ends[rig.work_count](rig.works[rig.work_count], 0);
        return true;
    }
    for (size_t i = 0; i < TIMERS_MAX; i++) {
        if (rig.timers[i].timer != NULL && rig.timers[i].callback != NULL &&
            rig.timers[i].at_ms <= until_ms &&
            (first == TIMERS_MAX || rig.timers[i].at_ms < rig.timers[first].at_ms)) {
            first = i;
        }
    }
    if (first == TIMERS_MAX) {
        return false;
    }
    uv_timer_cb callback = rig.timers[first].callback;
    rig.timers[first].callback = NULL;
    rig.now_ms = rig.timers[first].at_ms > rig.now_ms ? rig.timers[first].at_ms : rig.now_ms;
    callback(rig.timers[first].timer);
    return true;
}

static inline void run_for(int64_t ms)
{
    int64_t until_ms = rig.now_ms + ms;
    for (unsigned i = 0; run_one(until_ms); i++) {
        assert_true(i < 100000); /* something spins */
    }
    rig.now_ms = until_ms;
}

/* --- what is asked, and the answers ----------------------------------------------------------- */

/* What goes on beside every plan; is_asked finds it. */
static bool is_background(const char *text)
{
    static const char *const texts[] = {"member", "probe",  "ping", "inspect",
                                        "renew",  "commit", "note"};
    bool found = false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        found = found || strncmp(text, texts[i], strlen(texts[i])) == 0;
    }
    return found;
}

static struct pending *ask(int *ret_rc, struct error *err, const char *fmt, ...)
{
    va_list args;
    size_t at = 0;
    while (at < PENDING_MAX && rig.pending[at].used) {
        at++;
    }
    assert_true(at < PENDING_MAX);
    struct pending *pending = &rig.pending[at];
    *pending = (struct pending){.sent_ms = rig.now_ms};
    va_start(args, fmt);
    (void)vsnprintf(pending->text, sizeof pending->text, fmt, args);
    va_end(args);
    if (!is_background(pending->text)) {
        buf_printf(&rig.calls, "%s\n", pending->text);
    }
    size_t len = strlen(rig.refused);
    bool refused = len > 0 && strncmp(pending->text, rig.refused, len) == 0;
    *ret_rc = refused ? error_set(err, rig.refused_rc, "refused by the test") : 0;
    pending->used = !refused;
    return pending;
}

static struct pending *pending_find(const char *text)
{
    for (size_t i = 0; i < PENDING_MAX; i++) {
        if (rig.pending[i].used && strncmp(rig.pending[i].text, text, strlen(text)) == 0) {
            return &rig.pending[i];
        }
    }
    return NULL;
}

static inline bool is_asked(const char *text)
{
    return pending_find(text) != NULL;
}

static struct pending answer_take(const char *text)
{
    struct pending *pending = pending_find(text);
    if (pending == NULL) {
        fail_msg("nobody has asked for '%s'; asked was:\n%s", text, buf_str(&rig.calls));
    }
    struct pending copy = *pending;
    pending->used = false;
    return copy;
}

/* The oldest request that begins with `text` ends with rc. */
static inline void answer(const char *text, int rc)
{
    struct pending pending = answer_take(text);
    struct error err = {0};
    struct dcs_result result = {.rc = rc,
                                .revision = ++rig.revision,
                                .sent_ms = pending.sent_ms,
                                .answered_ms = rig.now_ms};
    (void)error_set(&err, rc, "%s", rc == 0 ? "" : "as the test says");
    if (pending.written != NULL) {
        pending.written(pending.arg, &result, &err);
    } else if (pending.done != NULL) {
        pending.done(pending.arg, rc, &err);
    } else if (pending.inspected != NULL) {
        pending.inspected(pending.arg, rc, NULL, &err);
    } else if (pending.probed != NULL) {
        pending.probed(pending.arg, rc, NULL, &err);
    } else if (pending.seen != NULL) {
        pending.seen(pending.arg, rc, NULL, &err);
    } else if (pending.adopted != NULL) {
        pending.adopted(pending.arg, rc, &rig.fence, &err);
    } else {
        pending.asked(pending.arg, rc, NULL, &err);
    }
}

/* The standby of below says where it is. */
static inline void answer_probe(uint64_t lsn)
{
    struct pending pending = answer_take("probe");
    standby_says(lsn);
    said.asked_ms = pending.sent_ms;
    said.answered_ms = rig.now_ms;
    pending.probed(pending.arg, 0, &said, NULL);
}

static inline void answer_said(void)
{
    struct pending pending = answer_take("probe");
    pending.probed(pending.arg, 0, &said, NULL);
}

static inline void answer_inspect(const struct pg_inspection *inspection)
{
    struct pending pending = answer_take("inspect");
    pending.inspected(pending.arg, 0, inspection, NULL);
}

/* All calls since the last look, without the background's; valid until the next one. */
static inline const char *calls(void)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s", buf_str(&rig.calls));
    buf_clear(&rig.calls);
    return text;
}

/* --- the instance ----------------------------------------------------------------------------- */

static int ask_done(pg_done_cb done, void *arg, struct error *err, const char *text)
{
    int rc = 0;
    struct pending *pending = ask(&rc, err, "%s", text);
    pending->done = done;
    pending->arg = arg;
    return rc;
}

int pg_instance_inspect(struct pg_instance *instance, int64_t timeout_ms, pg_inspect_cb done,
                        void *arg, struct error *err)
{
    int rc = 0;
    (void)instance;
    (void)timeout_ms;
    struct pending *pending = ask(&rc, err, "inspect");
    pending->inspected = done;
    pending->arg = arg;
    return rc;
}

int pg_instance_probe(struct pg_instance *instance, int64_t timeout_ms, pg_probe_cb done, void *arg,
                      struct error *err)
{
    int rc = 0;
    (void)instance;
    (void)timeout_ms;
    struct pending *pending = ask(&rc, err, "probe");
    pending->probed = done;
    pending->arg = arg;
    return rc;
}

int pg_instance_ping(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done, void *arg,
                     struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    return ask_done(done, arg, err, "ping");
}

int pg_instance_try_commit(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    return ask_done(done, arg, err, "commit");
}

int pg_instance_ask_peer(struct pg_instance *instance, const char *host, uint16_t port,
                         int64_t timeout_ms, pg_peer_cb done, void *arg, struct error *err)
{
    int rc = 0;
    (void)instance;
    (void)timeout_ms;
    struct pending *pending = ask(&rc, err, "ask_peer %s:%u", host, port);
    pending->asked = done;
    pending->arg = arg;
    return rc;
}

int pg_instance_start(struct pg_instance *instance, const struct pg_start *start,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)instance;
    rig.start_timeout_ms = timeout_ms;
    return ask_done(done, arg, err,
                    start->role == PG_START_PRIMARY ? "start primary"
                    : start->upstream == NULL       ? "start detached"
                                                    : "start standby");
}

int pg_instance_stop(struct pg_instance *instance, const struct pg_stop *stop, pg_done_cb done,
                     void *arg, struct error *err)
{
    (void)instance;
    char text[64];
    (void)snprintf(text, sizeof text, "stop %s",
                   stop->mode == FENCE_STOP_FAST ? "fast" : "immediate");
    if (stop->before != NULL) {
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof text - len, " after %s %d", stop->before->what,
                       (int)stop->before->timeout_ms);
    }
    return ask_done(done, arg, err, text);
}

int pg_instance_promote(struct pg_instance *instance, const struct pg_promote *promote,
                        int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    char text[64];
    (void)instance;
    (void)timeout_ms;
    (void)snprintf(text, sizeof text, "promote %u%s%s%s", promote->timeline,
                   promote->drop_slots.count > 0 ? " without slots" : "",
                   promote->still_allowed(promote->still_allowed_arg) ? "" : " (not allowed)",
                   promote->before == NULL ? "" : " after pre_promote");
    return ask_done(done, arg, err, text);
}

int pg_instance_set_sync(struct pg_instance *instance, const char *value, int64_t timeout_ms,
                         pg_done_cb done, void *arg, struct error *err)
{
    char text[300];
    (void)instance;
    (void)timeout_ms;
    (void)snprintf(text, sizeof text, value == NULL ? "set sync none" : "set sync '%.250s'", value);
    return ask_done(done, arg, err, text);
}

int pg_instance_look_sync(struct pg_instance *instance, int64_t timeout_ms, pg_sync_look_cb done,
                          void *arg, struct error *err)
{
    int rc = 0;
    (void)instance;
    (void)timeout_ms;
    struct pending *pending = ask(&rc, err, "look sync");
    pending->looked = done;
    pending->arg = arg;
    return rc;
}

int pg_instance_end_walsenders(struct pg_instance *instance, const struct pg_walsender *walsenders,
                               size_t count, int64_t timeout_ms, pg_done_cb done, void *arg,
                               struct error *err)
{
    struct buf text = BUF_INIT;
    (void)instance;
    (void)timeout_ms;
    buf_put_str(&text, "end walsenders");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, " %d", (int)walsenders[i].pid);
    }
    int rc = ask_done(done, arg, err, buf_str(&text));
    buf_free(&text);
    return rc;
}

#include "loop_commands.h"

bool pg_instance_promote_sent(const struct pg_instance *instance)
{
    (void)instance;
    return rig.promote_sent;
}

int pg_instance_set_upstream(struct pg_instance *instance, const struct pg_upstream *upstream,
                             int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    char text[300];
    (void)instance;
    (void)timeout_ms;
    (void)snprintf(text, sizeof text, "upstream %s", upstream == NULL ? "none" : upstream->host);
    return ask_done(done, arg, err, text);
}

int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    const struct pg_parameters *recovery = &reload->recovery_conf;
    (void)instance, (void)timeout_ms;
    rig.reloaded_foreign = reload->foreign;
    (void)snprintf(rig.reloaded, sizeof rig.reloaded, "slot=%s nostream=%d %s=%s",
                   reload->receive_slot ? reload->receive_slot : "own", reload->nostream,
                   recovery->count ? recovery->items[0].name : "",
                   recovery->count ? recovery->items[0].value : "");
    return ask_done(done, arg, err, reload->use_slots ? "reload" : "reload without slots");
}

#include "loop_slots.h"

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    return ask_done(done, arg, err, "checkpoint");
}

/* What is asked for is all that a test wants to know of it. */
#define ASKED(function, type, text)                                                            \
    int function(struct pg_instance *instance, type what, int64_t timeout_ms, pg_done_cb done, \
                 void *arg, struct error *err)                                                 \
    {                                                                                          \
        (void)instance;                                                                        \
        (void)what;                                                                            \
        (void)timeout_ms;                                                                      \
        return ask_done(done, arg, err, text);                                                 \
    }
ASKED(pg_instance_bootstrap, const struct pg_bootstrap *, "bootstrap")
ASKED(pg_instance_remove, const char *, "remove")
ASKED(pg_instance_move_aside, const char *, "move_aside")
ASKED(pg_instance_note_pause, bool, what ? "note pause" : "note no pause")

int pg_instance_clone(struct pg_instance *instance, const struct pg_clone *clone,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    rig.clone = *clone;
    return ask_done(done, arg, err, "clone");
}

int pg_instance_rewind(struct pg_instance *instance, const struct pg_rewind *rewind,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    rig.rewind = *rewind;
    return ask_done(done, arg, err, "rewind");
}

int pg_instance_announced(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                          void *arg, struct error *err)
{
    (void)instance;
    (void)timeout_ms;
    return ask_done(done, arg, err, "announced");
}

void pg_instance_on_fence_event(struct pg_instance *instance, enum fence_event event,
                                const struct fence_status *status)
{
    (void)instance;
    (void)event;
    (void)status;
}

#include "loop_fence.h"
#include "loop_watchdog.h"

static inline struct fence_lease page_now(void)
{
    struct fence_lease lease;
    assert_true(fence_page_read(fence_client_page(NULL), &lease));
    return lease;
}

/* --- the store -------------------------------------------------------------------------------- */

static struct dcs_view *dcs_view_of(struct dcs *dcs)
{
    (void)dcs;
    rig.views++;
    struct dcs_view *view = dcs_view_new(rig.key_count);
    view->cluster = 7;
    view->revision = rig.revision;
    for (size_t i = 0; i < rig.key_count; i++) {
        view->kvs[i] = (struct dcs_kv){.key = mem_strdup(rig.keys[i]),
                                       .value = mem_strdup(rig.values[i]),
                                       .value_len = strlen(rig.values[i]),
                                       .create_revision = 1,
                                       .mod_revision = rig.key_revisions[i]};
    }
    return view;
}

/* A view has its keys in order. */
static inline void key_set(const char *key, const char *value)
{
    size_t at = 0;
    while (at < rig.key_count && strcmp(rig.keys[at], key) < 0) {
        at++;
    }
    if (at == rig.key_count || strcmp(rig.keys[at], key) != 0) {
        size_t after = rig.key_count - at;
        assert_true(rig.key_count < KEYS_MAX);
        memmove(rig.keys[at + 1], rig.keys[at], after * sizeof rig.keys[0]);
        memmove(rig.values[at + 1], rig.values[at], after * sizeof rig.values[0]);
        memmove(&rig.key_revisions[at + 1], &rig.key_revisions[at],
                after * sizeof rig.key_revisions[0]);
        rig.key_count++;
    }
    (void)snprintf(rig.keys[at], sizeof rig.keys[at], "%s", key);
    (void)snprintf(rig.values[at], sizeof rig.values[at], "%s", value);
    rig.key_revisions[at] = ++rig.revision;
}

static inline void key_remove(const char *key)
{
    for (size_t at = 0; at < rig.key_count; at++) {
        if (strcmp(rig.keys[at], key) == 0) {
            size_t after = --rig.key_count - at;
            memmove(rig.keys[at], rig.keys[at + 1], after * sizeof rig.keys[0]);
            memmove(rig.values[at], rig.values[at + 1], after * sizeof rig.values[0]);
            memmove(&rig.key_revisions[at], &rig.key_revisions[at + 1],
                    after * sizeof rig.key_revisions[0]);
            rig.revision++;
            return;
        }
    }
    fail_msg("no key '%s'", key);
}

static int ask_dcs(dcs_done done, void *arg, struct error *err, const char *text)
{
    int rc = 0;
    struct pending *pending = ask(&rc, err, "%s", text);
    pending->written = done;
    pending->arg = arg;
    return rc;
}

static int dcs_put(struct dcs *dcs, const char *key, const char *value, int64_t compare,
                   int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    char text[256];
    (void)dcs;
    (void)timeout_ms;
    (void)value;
    if (compare == DCS_ANY) {
        (void)snprintf(text, sizeof text, "put %s", key);
    } else {
        (void)snprintf(text, sizeof text, "put %s at %d", key, (int)compare);
    }
    return ask_dcs(done, arg, err, text);
}

static int dcs_remove(struct dcs *dcs, const char *key, int64_t compare, int64_t timeout_ms,
                      dcs_done done, void *arg, struct error *err)
{
    char text[128];
    (void)dcs;
    (void)timeout_ms;
    (void)snprintf(text, sizeof text, "remove %s at %d", key, (int)compare);
    rig.page_at_removal = page_now();
    return ask_dcs(done, arg, err, text);
}

static int dcs_put_unfenced(struct dcs *dcs, int64_t epoch, int64_t timeout_ms, dcs_done done,
                            void *arg, struct error *err)
{
    char text[64];
    (void)dcs;
    (void)timeout_ms;
    (void)snprintf(text, sizeof text, "put unfenced %d", (int)epoch);
    return ask_dcs(done, arg, err, text);
}

static int dcs_acquire_key(struct dcs *dcs, const struct dcs_acquire *acquire, int64_t timeout_ms,
                           dcs_done done, void *arg, struct error *err)
{
    char text[64];
    (void)dcs;
    (void)snprintf(text, sizeof text, "%s%s", acquire->deposes == 0 ? "acquire" : "depose",
                   acquire->unfenced == DCS_UNFENCED_PUT      ? " and put unfenced"
                   : acquire->unfenced == DCS_UNFENCED_REMOVE ? " and remove unfenced"
                                                              : "");
    rig.unfenced_compared = acquire->unfenced_revision;
    rig.deposes = acquire->deposes;
    rig.acquire_timeout_ms = timeout_ms;
    return ask_dcs(done, arg, err, text);
}

static int dcs_can_depose(struct dcs *dcs, struct error *err)
{
    (void)dcs;
    return rig.can_depose_rc == 0 ? 0 : error_set(err, rig.can_depose_rc, "'n3' is not connected");
}

static int dcs_renew(struct dcs *dcs, int64_t epoch, int64_t ttl_ms, int64_t timeout_ms,
                     dcs_done done, void *arg, struct error *err)
{
    (void)dcs;
    (void)epoch;
    (void)ttl_ms;
    (void)timeout_ms;
    rig.page_at_renewal = page_now();
    return ask_dcs(done, arg, err, "renew");
}

static int dcs_release(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                       dcs_done done, void *arg, struct error *err)
{
    char text[64];
    (void)dcs;
    (void)timeout_ms;
    rig.page_at_release = page_now();
    (void)snprintf(text, sizeof text, "release %d%s", (int)epoch,
                   status == NULL ? "" : " with status");
    return ask_dcs(done, arg, err, text);
}

static int dcs_put_status(struct dcs *dcs, int64_t epoch, const char *status, int64_t timeout_ms,
                          dcs_done done, void *arg, struct error *err)
{
    (void)dcs;
    (void)status;
    (void)timeout_ms;
    assert_int_equal(epoch, rig.agent.lease.epoch.revision);
    return ask_dcs(done, arg, err, "put status");
}

static int dcs_put_sync(struct dcs *dcs, int64_t epoch, const char *value, int64_t revision,
                        int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    char text[256];
    (void)dcs;
    (void)timeout_ms;
    assert_int_equal(epoch, rig.agent.lease.epoch.revision);
    (void)snprintf(text, sizeof text, "put sync %.200s at %d", value == NULL ? "none" : value,
                   (int)revision);
    return ask_dcs(done, arg, err, text);
}

static int dcs_put_member(struct dcs *dcs, const char *name, const char *value, int64_t ttl_ms,
                          int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    char text[64];
    (void)dcs;
    (void)ttl_ms;
    (void)timeout_ms;
    (void)snprintf(rig.member, sizeof rig.member, "%s", value);
    (void)snprintf(text, sizeof text, "member %s", name);
    return ask_dcs(done, arg, err, text);
}

static int dcs_withdraw(struct dcs *dcs, const char *name, int64_t report_revision, int64_t epoch,
                        int64_t timeout_ms, dcs_done done, void *arg, struct error *err)
{
    (void)dcs;
    (void)name;
    (void)report_revision;
    (void)epoch;
    (void)timeout_ms;
    return ask_dcs(done, arg, err, "withdraw");
}

static int64_t dcs_contact(struct dcs *dcs)
{
    (void)dcs;
    return rig.unheard_since_ms != 0 ? rig.unheard_since_ms : rig.now_ms;
}

static const struct dcs_ops rig_dcs_ops = {.view = dcs_view_of,
                                           .contact_mono_ms = dcs_contact,
                                           .acquire = dcs_acquire_key,
                                           .can_depose = dcs_can_depose,
                                           .renew = dcs_renew,
                                           .release = dcs_release,
                                           .put_status = dcs_put_status,
                                           .put_sync = dcs_put_sync,
                                           .put_unfenced = dcs_put_unfenced,
                                           .put = dcs_put,
                                           .remove = dcs_remove,
                                           .put_member = dcs_put_member,
                                           .withdraw = dcs_withdraw};

struct raft_node *raft_group_node(struct raft_group *group)
{
    (void)group;
    return rig.raft;
}

/* --- what agent/app.c and the rules give ------------------------------------------------------ */

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list args;
    char line[512];
    if (level == LOG_LEVEL_DEBUG) {
        return;
    }
    rig.warnings += level <= LOG_LEVEL_WARNING ? 1 : 0;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    buf_printf(&rig.logged, "%s\n", line);
}

void ha_decide(const struct ha_snapshot *s, struct ha_plan *ret_plan)
{
    (void)s;
    rig.decided++;
    *ret_plan = rig.next;
}

static inline void plan_begin(const char *rule, const char *reason)
{
    rig.next = (struct ha_plan){.situation = "test", .rule = rule};
    (void)snprintf(rig.next.reason, sizeof rig.next.reason, "%s", reason);
}

static inline struct ha_action *plan_add(enum ha_action_type type)
{
    return ha_plan_add(&rig.next, type);
}

static inline void plan_idle(void)
{
    plan_begin("idle", "nothing to do");
    plan_add(HA_WAIT);
}

/* --- start and end ---------------------------------------------------------------------------- */

static void on_exit_asked(struct agent *agent, int status)
{
    (void)agent;
    assert_int_equal(status, rig.exit_status);
    rig.exits++;
}

static void rig_config(void)
{
    struct config *config = &rig.config;
    rig.empty = json_object();
    rig.bootstrap = json_pack("{s:i}", "ttl", TTL_MS / 1000);
    config->scope = "demo";
    config->prefix = "/service/demo/";
    config->name = "n1";
    config->restapi_connect =
        (struct config_address){.text = "10.0.0.1:8008", .host = "10.0.0.1", .port = 8008};
    config->bootstrap.dcs = rig.bootstrap;
    config->postgresql.connect =
        (struct config_address){.text = "10.0.0.1:5432", .host = "10.0.0.1", .port = 5432};
    config->postgresql.data_dir = "/nowhere/data";
    config->postgresql.database = "postgres";
    config->postgresql.parameters = rig.empty;
    config->postgresql.section = rig.empty;
    config->tags.published = rig.empty;
    config->tags.failover_priority = 1;
}

/* An agent that has just started, on a machine where nothing runs. */
static inline void rig_init(void)
{
    json_set_alloc_funcs(mem_try, mem_free); /* as agent/app.c does */
    rig = (struct rig){.now_ms = 1000000, .revision = 10, .fence_connected = true};
    rig.clock = (struct clock){rig_now, rig_now, rig_now, rig_now, &rig};
    rig_config();
    memset(page_memory, 0, sizeof page_memory);
    fence_page_init(fence_client_page(NULL));
    rig.fence.all_gone = true;
    rig.dcs.ops = &rig_dcs_ops;
    struct agent *agent = &rig.agent;
    agent->loop = &rig.loop;
    agent->clock = &rig.clock;
    agent->config = &rig.config;
    agent->dcs = &rig.dcs;
    agent->pg = (struct pg_instance *)(void *)&rig; /* never looked into */
    agent->fence = (struct fence_client *)(void *)&rig;
    agent->on_exit = on_exit_asked;
    dynamic_config_init(&agent->dynamic);
    agent->dynamic.loop_wait_ms = LOOP_WAIT_MS;
    agent->dynamic.ttl_ms = TTL_MS;
    plan_idle();
    assert_int_equal(keeper_start(agent), 0);
    assert_int_equal(observe_start(agent), 0);
    assert_int_equal(cycle_start(agent), 0);
    assert_int_equal(publish_start(agent), 0);
}

/* The process dies: nothing that it waited for is answered any more. */
static inline void rig_free(void)
{
    struct agent *agent = &rig.agent;
    agent->stopping = true;
    agent->executing = false;
    publish_stop(agent);
    cycle_stop(agent);
    keeper_stop(agent);
    observe_stop(agent);
    dynamic_config_free(&agent->dynamic);
    config_effective_free(&agent->effective);
    json_decref(rig.empty);
    json_decref(rig.bootstrap);
    buf_free(&rig.calls);
    buf_free(&rig.logged);
}

/* --- the world of a test ---------------------------------------------------------------------- */

static inline void postmaster_runs(void)
{
    rig.fence.running = true;
    rig.fence.all_gone = false;
    rig.fence.starts = 1;
    rig.agent.facts.ever_ran = true;
}

static inline void postmaster_gone(void)
{
    rig.fence.running = false;
    rig.fence.all_gone = true;
}

/* The looks of a fresh start have ended, and are forgotten. `n2` leads and has an address. */
static inline void rig_settle(void)
{
    struct pg_inspection empty = {.kind = PG_DIR_EMPTY};
    rig_init();
    key_set("initialize", "7000000000000000042");
    key_set("leader", "n2");
    key_set("members/n2", "{\"conn_url\":\"postgres://10.0.0.2:5432/postgres\"}");
    run_for(0);
    answer_inspect(&empty);
    run_for(0);
    answer("member", 0);
    run_for(0);
    (void)calls();
}

/* The plan is begun, and none follows it. */
static inline void carry_out(void)
{
    cycle_request(&rig.agent);
    run_for(0);
    plan_idle();
}

static inline const struct loop_decision *last_decision(void)
{
    assert_true(rig.agent.decision_count > 0);
    return &rig.agent.decisions[(rig.agent.decision_count - 1) % LOOP_DECISIONS_MAX];
}

static inline const char *last_outcome(void)
{
    return last_decision()->outcome;
}

/* Was started as a standby, with the settings of then, and probed just now. */
/* What a decision would get to see now; valid until the next call. */
static inline struct ha_snapshot *snapshot_now(void)
{
    static struct ha_snapshot snapshot; /* large: not on the stack */
    facts_snapshot(&rig.agent, &snapshot);
    return &snapshot;
}

static inline void standby_runs(uint64_t lsn)
{
    rig.agent.reload.withheld = false;
    postmaster_runs();
    standby_says(lsn);
    rig.agent.facts.probe = said;
    rig.agent.facts.probe_rc = 0;
    rig.agent.facts.started_as = PG_START_STANDBY;
    observe_run(&rig.agent);
}

#endif
