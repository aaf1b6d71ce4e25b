/* keys.def says of each key when a change of it takes effect. What needs a start is put back in the
 * document as it was, and the document is read anew: so nothing seems to be taken that is not. */
#include "agent/config/config_again.h"

#include "agent/config/known_keys.h"
#include "agent/config/reader.h"
#include "agent/config/sections.h"
#include "base/mem.h"

#include <string.h>

#define DEPTH_MAX 4 /* "postgresql.authentication.superuser.password" */

/* A key without a value ("log:", with comments alone below) is one that is not there. */
static json_t *given_at(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static bool same(const json_t *a, const json_t *b)
{
    return a != NULL && b != NULL ? json_equal(a, b) != 0 : a == b;
}

static void put_back(const struct reader *r, const char *path, json_t *now, const json_t *before,
                     int depth);

static void put_whole_back(const struct reader *r, const char *name, json_t *now, const char *key,
                           json_t *old)
{
    const struct section none = {.name = ""};
    reader_warn(r, &none, name,
                "is another one in the file now, and is taken at the next start of the agent: "
                "until then the old one is in force");
    if (old == NULL) {
        (void)json_object_del(now, key);
    } else {
        (void)json_object_set_new(now, key, json_deep_copy(old));
    }
}

/* A section that is there on one side only is looked into, too, unless it is opened at the start.
 */
static bool is_looked_into(const struct known_key *row, const char *name, const json_t *old,
                           const json_t *given)
{
    bool both = json_is_object(old) && json_is_object(given);
    bool one = (json_is_object(old) && given == NULL) || (json_is_object(given) && old == NULL);
    return known_sections_find(name) != NULL &&
           (both || (one && strncmp(row->effect, "start", strlen("start")) != 0));
}

static void put_key_back(const struct reader *r, const char *path, json_t *now,
                         const json_t *before, const char *key, int depth)
{
    const struct known_section *section = known_sections_find(path);
    const struct known_key *row = section == NULL ? NULL : known_keys_find(section->list, key);
    json_t *old = given_at(before, key);
    json_t *given = given_at(now, key);
    if (row == NULL || same(old, given)) { /* unknown: nobody reads it, or it is a tag */
        return;
    }
    char *name = mem_printf("%s%s%s", path, path[0] != '\0' ? "." : "", key);
    if (depth < DEPTH_MAX && is_looked_into(row, name, old, given)) {
        json_t *below = given != NULL ? given : json_object();
        put_back(r, name, below, old, depth + 1);
        (void)json_object_set(now, key, below);
        if (given == NULL) {
            json_decref(below);
        }
    } else if (!known_keys_is_changeable(row)) {
        put_whole_back(r, name, now, key, old);
    }
    mem_free(name);
}

static void put_back(const struct reader *r, const char *path, json_t *now, const json_t *before,
                     int depth)
{
    const char *key;
    json_t *value;
    json_t *keys = json_object(); /* of both: `now` changes on the way */
    (void)json_object_update(keys, now);
    if (before != NULL) {
        (void)json_object_update(keys, (json_t *)(uintptr_t)before);
    }
    json_object_foreach(keys, key, value)
    {
        put_key_back(r, path, now, before, key, depth);
    }
    json_decref(keys);
}

/* Sections of replica methods bear names of the operator's. They belong to create_replica_methods,
 * which is read at the start. */
static void put_methods_back(const struct reader *r, json_t *document, const json_t *running)
{
    const char *key;
    json_t *value;
    json_t *now = json_object_get(document, "postgresql");
    json_t *before = json_object_get(running, "postgresql");
    json_t *keys = json_object();
    (void)json_object_update(keys, now);
    (void)json_object_update(keys, before);
    json_object_foreach(keys, key, value)
    {
        json_t *old = given_at(before, key);
        bool changed = !same(old, given_at(now, key));
        if (changed && json_is_object(now) && section_is_method(running, "postgresql", key) &&
            known_keys_find(known_sections_find("postgresql")->list, key) == NULL) {
            char *name = mem_printf("postgresql.%s", key);
            put_whole_back(r, name, now, key, old);
            mem_free(name);
        }
    }
    json_decref(keys);
}

int config_again(const struct config *running, const struct config *read, struct config *ret_config,
                 struct config_warnings *warnings, struct error *err)
{
    const struct reader r = {.path = running->path, .warnings = warnings, .err = err};
    const struct config_source source = {
        .path = running->path, .cwd = running->cwd, .home = running->home, .use = CONFIG_AGENT};
    json_t *document = json_deep_copy(read->document);
    put_back(&r, "", document, running->document, 1);
    put_methods_back(&r, document, running->document);
    int rc = config_from_json(&source, document, ret_config, NULL, err);
    if (rc != 0) {
        error_wrap(err, "with what cannot change while the agent runs");
    }
    json_decref(document);
    return rc;
}
