/* The path is walked downwards, making what is not there, and upwards again, removing what became
 * empty. */
#include "agent/cli/config_edit.h"

#include "agent/config/yaml.h"
#include "base/mem.h"

#include <string.h>

struct walk {
    json_t *objects[CONFIG_EDIT_DEPTH_MAX]; /* objects[i] holds keys[i] */
    char *keys[CONFIG_EDIT_DEPTH_MAX];
    size_t depth;
};

static bool below_parameters(const struct walk *walk)
{
    return walk->depth == 2 && strcmp(walk->keys[0], "postgresql") == 0 &&
           strcmp(walk->keys[1], "parameters") == 0;
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    bool good = string != NULL;
    json_decref(string);
    return good;
}

static int path_split(const char *path, size_t len, struct walk *ret_walk, struct error *err)
{
    const char *end = path + len;
    for (;;) {
        size_t part = (size_t)(end - path);
        const char *dot = below_parameters(ret_walk) ? NULL : memchr(path, '.', part);
        part = dot != NULL ? (size_t)(dot - path) : part;
        if (part == 0) {
            return error_set(err, ERR_INVALID,
                             "a key with an empty part: give one such as postgresql.use_slots");
        }
        if (ret_walk->depth == CONFIG_EDIT_DEPTH_MAX) {
            return error_set(err, ERR_LIMIT, "a key of more than %d parts", CONFIG_EDIT_DEPTH_MAX);
        }
        char *key = ret_walk->keys[ret_walk->depth++] = mem_strndup(path, part);
        if (!is_utf8(key)) {
            return error_set(err, ERR_INVALID, "a key that is no UTF-8: give it in UTF-8");
        }
        if (dot == NULL) {
            return 0;
        }
        path = dot + 1;
    }
}

static void apply(json_t *document, struct walk *walk, json_t *value)
{
    json_t *at = document;
    size_t last = walk->depth - 1;
    for (size_t i = 0; i < last; i++) {
        json_t *below = json_object_get(at, walk->keys[i]);
        walk->objects[i] = at;
        if (!json_is_object(below)) {
            below = json_object();
            (void)json_object_set_new(at, walk->keys[i], below);
        }
        at = below;
    }
    if (json_is_null(value)) {
        (void)json_object_del(at, walk->keys[last]);
    } else {
        (void)json_object_set(at, walk->keys[last], value);
    }
    for (size_t i = last; i-- > 0;) {
        if (json_object_size(json_object_get(walk->objects[i], walk->keys[i])) == 0) {
            (void)json_object_del(walk->objects[i], walk->keys[i]);
        }
    }
}

int config_edit_set(json_t *document, const char *pair, struct error *err)
{
    const char *equals = strchr(pair, '=');
    struct walk walk = {0};
    json_t *value = NULL;
    if (equals == NULL) {
        return error_set(err, ERR_INVALID, "Invalid parameter setting %.100s: give key=value",
                         pair);
    }
    const char *start = pair + strspn(pair, " ");
    size_t len = (size_t)(equals - start);
    while (len > 0 && start[len - 1] == ' ') {
        len--;
    }
    int rc = path_split(start, len, &walk, err);
    rc = rc != 0 ? rc : yaml_parse_value(equals + 1, &value, err);
    if (rc == 0) {
        apply(document, &walk, value);
    }
    json_decref(value);
    for (size_t i = 0; i < walk.depth; i++) {
        mem_free(walk.keys[i]);
    }
    return rc;
}
