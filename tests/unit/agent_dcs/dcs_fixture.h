/* The contract of dcs.h, asked and answered. The includer has `loop` and RUN_UNTIL. */
#ifndef TESTS_UNIT_AGENT_DCS_DCS_FIXTURE_H
#define TESTS_UNIT_AGENT_DCS_DCS_FIXTURE_H

#include "agent/dcs/dcs_etcd.h"
#include "base/mem.h"

#define ASK_MS 3000

struct result {
    int calls;
    struct dcs_result is;
    struct dcs_view *view;
    char text[ERROR_TEXT_BYTES];
};

static int changes;
static struct buf dcs_notes; /* "<level> <text>\n" */

static inline void on_dcs_change(void *arg)
{
    (void)arg;
    changes++;
}

static inline void on_dcs_note(void *arg, enum log_level level, const char *text)
{
    (void)arg;
    buf_printf(&dcs_notes, "%d %s\n", (int)level, text);
}

static inline void on_done(void *arg, const struct dcs_result *is, const struct error *err)
{
    struct result *result = arg;
    result->calls++;
    result->is = *is;
    (void)snprintf(result->text, sizeof result->text, "%s", err->text);
}

static inline void on_view(void *arg, int rc, struct dcs_view *view, const struct error *err)
{
    struct result *result = arg;
    (void)err;
    result->calls++;
    result->is.rc = rc;
    result->view = view == NULL ? NULL : dcs_view_ref(view);
}

/* `rc` of the call; then waits for its one callback. */
#define FINISH(one, call)                     \
    do {                                      \
        (one) = (struct result){0};           \
        int finish_rc = (call);               \
        assert_int_equal((one).calls, 0);     \
        if (finish_rc != 0) {                 \
            (one).is.rc = finish_rc;          \
        } else {                              \
            RUN_UNTIL((one).calls > 0);       \
            assert_int_equal((one).calls, 1); \
        }                                     \
    } while (0)

static inline struct dcs *dcs_start(enum etcd_dialect dialect, const char *const *urls,
                                    size_t url_count, const char *name, int64_t heartbeat_ms)
{
    struct dcs *dcs = NULL;
    struct error err = {0};
    struct dcs_etcd_config config = {.base = "/s/x/",
                                     .name = name,
                                     .etcd = {.urls = urls,
                                              .url_count = url_count,
                                              .idle_ms = 10000,
                                              .clock = clock_real(),
                                              .random = random_real()},
                                     .heartbeat_ms = heartbeat_ms,
                                     .on_note = on_dcs_note};
    int rc = dialect == ETCD_V3 ? dcs_etcd3_new(&loop, &config, &dcs, &err)
                                : dcs_etcd2_new(&loop, &config, &dcs, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    dcs->on_change = on_dcs_change;
    return dcs;
}

static inline struct dcs_view *view_of(struct dcs *dcs)
{
    struct dcs_view *view = dcs->ops->view(dcs);
    dcs_view_unref(view); /* borrowed until the loop turns */
    return view;
}

static inline const struct dcs_kv *key_of(struct dcs *dcs, const char *key)
{
    const struct dcs_view *view = view_of(dcs);
    return view == NULL ? NULL : dcs_view_get(view, key);
}

static inline bool key_is(struct dcs *dcs, const char *key, const char *value)
{
    const struct dcs_kv *kv = key_of(dcs, key);
    return value == NULL ? view_of(dcs) != NULL && kv == NULL
                         : kv != NULL && strcmp(kv->value, value) == 0;
}

static inline int64_t revision_of_key(struct dcs *dcs, const char *key)
{
    const struct dcs_kv *kv = key_of(dcs, key);
    return kv == NULL ? DCS_ABSENT : kv->mod_revision;
}

static inline struct result put(struct dcs *dcs, const char *key, const char *value,
                                int64_t compare)
{
    struct result result;
    FINISH(result, dcs->ops->put(dcs, key, value, compare, ASK_MS, on_done, &result, NULL));
    return result;
}

static inline struct result take_away(struct dcs *dcs, const char *key, int64_t compare)
{
    struct result result;
    FINISH(result, dcs->ops->remove(dcs, key, compare, ASK_MS, on_done, &result, NULL));
    return result;
}

/* As the view stands. */
static inline struct dcs_acquire wish(struct dcs *dcs, const char *holder, int64_t ttl_ms)
{
    return (struct dcs_acquire){.holder = holder,
                                .instance = "00000000000000aa",
                                .ttl_ms = ttl_ms,
                                .epoch_revision = revision_of_key(dcs, "epoch"),
                                .config_revision = revision_of_key(dcs, "config"),
                                .sync_revision = revision_of_key(dcs, "sync"),
                                .timeline = 2};
}

static inline struct result acquire(struct dcs *dcs, const struct dcs_acquire *wanted)
{
    struct result result;
    FINISH(result, dcs->ops->acquire(dcs, wanted, ASK_MS, on_done, &result, NULL));
    return result;
}

static inline struct result renew(struct dcs *dcs, int64_t epoch, int64_t ttl_ms)
{
    struct result result;
    FINISH(result, dcs->ops->renew(dcs, epoch, ttl_ms, ASK_MS, on_done, &result, NULL));
    return result;
}

static inline struct result release(struct dcs *dcs, int64_t epoch, const char *status)
{
    struct result result;
    FINISH(result, dcs->ops->release(dcs, epoch, status, ASK_MS, on_done, &result, NULL));
    return result;
}

#endif
