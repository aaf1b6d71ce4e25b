/* `config` is written first: an agent that already looks at the new store must not find a cluster
 * that is initialized and not paused. */
#include "agent/cli/import_plan.h"

#include "agent/cli/cluster_doc.h"
#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

/* Those of Patroni's layout that stay when their writer is gone, in the order of writing. */
static const struct {
    const char *key;
    bool
        must_agree; /* another value in the new store is somebody's, not one of an earlier import */
} kept[] = {
    {"config", true},  {"initialize", true}, {"history", false},       {"sync", false},
    {"status", false}, {"failsafe", false},  {"optime/leader", false},
};

static const struct {
    const char *key; /* with a '/' at its end: all below */
    const char *why;
} left[] = {
    {"leader", "a lease, which its holder takes in the new store"},
    {"members/", "a lease, which the member makes in the new store"},
    {"failover", "an order to the old store: give it again"},
    {"epoch", "names a lease of the old store"},
    {"unfenced", "names a lease of the old store"},
    {"reports/", "names a lease of the old store"},
};

const char *import_action_text(enum import_action action)
{
    switch (action) {
    case IMPORT_COPY: return "copy";
    case IMPORT_REPLACE: return "replace";
    case IMPORT_SAME: return "there already";
    case IMPORT_LEAVE: return "not copied";
    }
    return "";
}

void import_plan_free(struct import_plan *plan)
{
    mem_free(plan->steps);
    *plan = (struct import_plan){0};
}

static bool is_below(const char *key, const char *prefix)
{
    size_t len = strlen(prefix);
    return prefix[len - 1] == '/' ? strncmp(key, prefix, len) == 0 : strcmp(key, prefix) == 0;
}

static bool is_kept(const char *key)
{
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (strcmp(kept[i].key, key) == 0) {
            return true;
        }
    }
    return false;
}

static const char *why_left(const char *key)
{
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        if (is_below(key, left[i].key)) {
            return left[i].why;
        }
    }
    return "no key of Patroni's, nor of ours";
}

/* --- whether -------------------------------------------------------------------------------- */

static bool is_number(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
}

static int check_source(const struct dcs_view *from, struct error *err)
{
    const char *initialize = cluster_doc_text(from, "initialize");
    json_t *config = cluster_doc_key(from, "config");
    int rc = 0;
    if (from->count == 0) {
        rc = error_set(err, ERR_NOT_FOUND, "there is no cluster: nothing is below this prefix");
    } else if (initialize == NULL || !is_number(initialize)) {
        rc =
            error_set(err, ERR_INVALID,
                      "its key 'initialize' %s: only a cluster whose bootstrap has ended is copied",
                      initialize == NULL ? "is not there" : "has no system identifier");
    } else if (!json_is_object(config)) {
        rc = error_set(err, ERR_INVALID, "its key 'config' %s",
                       cluster_doc_text(from, "config") == NULL ? "is not there" : "is no object");
    }
    json_decref(config);
    return rc;
}

/* Members that do not say that they know of the pause. */
static void unaware(const struct dcs_view *from, struct buf *out)
{
    static const char prefix[] = "members/";
    for (size_t i = 0; i < from->count; i++) {
        const struct dcs_kv *kv = &from->kvs[i];
        if (!is_below(kv->key, prefix)) {
            continue;
        }
        json_t *member = json_loadb(kv->value, kv->value_len, 0, NULL);
        if (!json_is_true(json_object_get(member, "pause"))) {
            buf_printf(out, "%s%s", out->len > 0 ? ", " : "", kv->key + strlen(prefix));
        }
        json_decref(member);
    }
}

static bool is_running(const struct dcs_view *from)
{
    bool found = dcs_view_get(from, "leader") != NULL;
    for (size_t i = 0; i < from->count && !found; i++) {
        found = is_below(from->kvs[i].key, "members/");
    }
    return found;
}

static int check_paused(const struct dcs_view *from, struct error *err)
{
    struct buf names = BUF_INIT;
    json_t *config = cluster_doc_key(from, "config");
    int rc = 0;
    unaware(from, &names);
    if (!json_is_true(json_object_get(config, "pause"))) {
        rc = error_set(err, ERR_REFUSED,
                       "the cluster runs and is not paused: two stores must not both choose its "
                       "leader; pause it there first (patronictl pause --wait)");
    } else if (names.len > 0) {
        rc =
            error_set(err, ERR_REFUSED,
                      "these members do not know yet that the cluster is paused: %s; wait for them "
                      "(patronictl list), or stop them",
                      buf_str(&names));
    }
    json_decref(config);
    buf_free(&names);
    return rc;
}

/* Texts that mean the same: of JSON, not its bytes. */
static bool is_same(const char *one, const char *other)
{
    if (strcmp(one, other) == 0) {
        return true;
    }
    json_t *a = json_loads(one, JSON_DECODE_ANY, NULL);
    json_t *b = json_loads(other, JSON_DECODE_ANY, NULL);
    bool same = a != NULL && b != NULL && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

bool import_is_same(const struct dcs_view *one, const struct dcs_view *other, const char *key)
{
    const char *ours = cluster_doc_text(one, key);
    const char *theirs = cluster_doc_text(other, key);
    return ours != NULL && theirs != NULL && is_same(ours, theirs);
}

static int check_target(const struct dcs_view *from, const struct dcs_view *to, struct error *err)
{
    const char *leader = cluster_doc_text(to, "leader");
    if (leader != NULL) {
        return error_set(err, ERR_CONFLICT,
                         "the new store has a cluster of this name already, which '%s' leads",
                         leader);
    }
    if (cluster_doc_text(to, "epoch") != NULL) { /* what it has of `sync` is newer than the copy */
        return error_set(err, ERR_CONFLICT,
                         "a cluster of this name has been led in the new store: nothing of it is "
                         "overwritten; remove that cluster first if nobody needs it");
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const char *key = kept[i].key;
        if (kept[i].must_agree && cluster_doc_text(to, key) != NULL &&
            !import_is_same(from, to, key)) {
            return error_set(err, ERR_CONFLICT,
                             "the new store has another '%s' of a cluster of this name: nothing of "
                             "it is overwritten; remove that cluster first if nobody needs it",
                             key);
        }
    }
    return 0;
}

/* --- what ------------------------------------------------------------------------------------- */

static struct import_step step_of(const char *key, const char *value, const struct dcs_view *to)
{
    struct import_step step = {
        .action = IMPORT_COPY, .key = key, .value = value, .compare = DCS_ABSENT};
    const struct dcs_kv *there = to != NULL ? dcs_view_get(to, key) : NULL;
    if (there != NULL) {
        step.action = is_same(value, there->value) ? IMPORT_SAME : IMPORT_REPLACE;
        step.compare = there->mod_revision;
    }
    return step;
}

int import_plan_make(const struct dcs_view *from, const struct dcs_view *to,
                     struct import_plan *ret_plan, struct error *err)
{
    bool running = is_running(from);
    int rc = check_source(from, err);
    rc = rc != 0 || !running ? rc : check_paused(from, err);
    rc = rc != 0 ? rc : check_target(from, to, err);
    if (rc != 0) {
        return rc;
    }
    *ret_plan = (struct import_plan){.steps = mem_new_array(struct import_step, from->count),
                                     .running = running};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const struct dcs_kv *kv = dcs_view_get(from, kept[i].key);
        if (kv != NULL) {
            ret_plan->steps[ret_plan->count++] = step_of(kv->key, kv->value, to);
        }
    }
    for (size_t i = 0; i < from->count; i++) {
        const char *key = from->kvs[i].key;
        if (!is_kept(key)) {
            ret_plan->steps[ret_plan->count++] =
                (struct import_step){.action = IMPORT_LEAVE, .key = key, .why_left = why_left(key)};
        }
    }
    return 0;
}
