/* Texts as they are in force: paths absolute, addresses with a port, so that the same one written
 * in another way is the same. */
#include "agent/config/config_identity.h"

#include "base/mem.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    PARTS = 7,
    SHOWN_MAX = 80, /* of each value, so that all of it fits into one error */
    SHOWN_BYTES = SHOWN_MAX + 8
};

struct part {
    const char *key;
    const char *value; /* NULL = not there */
};

/* What a running PostgreSQL was started with, its port and where its configuration is, is none of
 * it: that waits for its restart, or is put right in this way. */
static void parts_of(const struct config *c, struct part ret_parts[PARTS])
{
    static const char *const stores[] = {[CONFIG_STORE_RAFT] = "raft",
                                         [CONFIG_STORE_ETCD2] = "etcd",
                                         [CONFIG_STORE_ETCD3] = "etcd3"};
    const struct part parts[PARTS] = {
        {"scope", c->scope},
        {"namespace", c->namespace_},
        {"name", c->name},
        {"store", stores[c->store]},
        {"raft.self_addr", c->raft.self.text},
        {"state_dir", c->state_dir},
        {"postgresql.data_dir", c->postgresql.data_dir},
    };
    memcpy(ret_parts, parts, sizeof parts);
}

char *config_identity(const struct config *config)
{
    struct part parts[PARTS];
    json_t *object = json_object();
    parts_of(config, parts);
    for (size_t i = 0; i < PARTS; i++) {
        json_t *value = parts[i].value == NULL ? json_null() : json_string(parts[i].value);
        (void)json_object_set_new(object, parts[i].key, value);
    }
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(object);
    return text;
}

/* --- another one ------------------------------------------------------------------------------ */

static const char *shown(const char *value, char ret_text[SHOWN_BYTES])
{
    if (value == NULL) {
        return "not given";
    }
    bool whole = strlen(value) <= SHOWN_MAX;
    (void)snprintf(ret_text, SHOWN_BYTES, "'%.*s'%s", SHOWN_MAX, value, whole ? "" : "...");
    return ret_text;
}

static int refuse(const struct config *config, const struct part *part, const char *running,
                  struct error *err)
{
    char now[SHOWN_BYTES];
    char before[SHOWN_BYTES];
    bool in_raft = strcmp(part->key, "state_dir") == 0 && config_state_in_raft(config);
    const char *what = config->postgresql.data_dir != NULL ? "agent" : "witness";
    return error_set(err, ERR_REFUSED,
                     "%s: %s: is %s now, and %s for what runs here: that would be another %s in "
                     "its place: put it back, or stop this one and start it anew",
                     config->path, in_raft ? "raft.data_dir" : part->key, shown(part->value, now),
                     shown(running, before), what);
}

int config_identity_check(const struct config *config, const char *running, struct error *err)
{
    struct part parts[PARTS];
    int rc = 0;
    json_t *object = json_loads(running, 0, NULL);
    if (!json_is_object(object)) {
        rc = error_set(err, ERR_REFUSED,
                       "what runs here has not said who it is: stop it and start it anew");
    }
    parts_of(config, parts);
    for (size_t i = 0; i < PARTS && rc == 0; i++) {
        const json_t *value = json_object_get(object, parts[i].key);
        const char *before = json_string_value(value);
        bool same = before == NULL || parts[i].value == NULL ? before == parts[i].value
                                                             : strcmp(before, parts[i].value) == 0;
        rc = value == NULL || same ? 0 : refuse(config, &parts[i], before, err);
    }
    json_decref(object);
    return rc;
}
