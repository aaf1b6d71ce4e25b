/* libyaml gives events and resolves nothing: every scalar is text, duplicates and `<<` pass. The
 * loader below composes the tree by recursion with a depth bound, one level a collection. An anchor
 * is known only when its node is complete, so an alias inside its own anchor is an unknown alias,
 * and no cycle can come about. Aliases are deep copies, and every node that is made, read or
 * copied, counts against one bound.
 *
 * Writing leaves the layout to libyaml's emitter, which PyYAML's shares its algorithm with; ours is
 * only the choice whether a text may stand without quotes, and the spelling of numbers. */
#include "agent/config/yaml.h"

#include "agent/config/yaml_scalar.h"
#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define ANCHORS_MAX     256
#define WRITE_WIDTH     200
#define TAG_PREFIX      "tag:yaml.org,2002:"
#define REAL_TEXT_BYTES 40

struct anchor {
    char *name;
    json_t *node; /* borrowed from `keep` */
};

struct loader {
    yaml_parser_t parser;
    size_t nodes;
    size_t anchor_count;
    struct anchor anchors[ANCHORS_MAX];
    struct error *err;
};

static int fail(struct loader *loader, const yaml_event_t *event, int code, const char *text)
{
    return error_set(loader->err, code, "line %zu: %s", event->start_mark.line + 1, text);
}

/* The next event; the caller deletes it. */
static int next_event(struct loader *loader, yaml_event_t *ret_event)
{
    yaml_parser_t *p = &loader->parser;
    if (yaml_parser_parse(p, ret_event)) {
        return 0;
    }
    size_t line =
        p->problem_mark.line != 0 || p->problem_offset == 0 ? p->problem_mark.line + 1 : 0;
    const char *problem = p->problem != NULL ? p->problem : "no YAML";
    if (line == 0) { /* the reader knows bytes, not lines */
        return error_set(loader->err, ERR_INVALID, "byte %zu: %s", p->problem_offset, problem);
    }
    return error_set(loader->err, ERR_INVALID, "line %zu: no valid YAML: %s%s%s", line,
                     p->context != NULL ? p->context : "", p->context != NULL ? ", " : "", problem);
}

static int count_node(struct loader *loader, const yaml_event_t *event, size_t count)
{
    loader->nodes += count;
    if (loader->nodes > YAML_NODES_MAX) {
        return error_set(loader->err, ERR_LIMIT, "line %zu: more than %d values, aliases included",
                         event->start_mark.line + 1, YAML_NODES_MAX);
    }
    return 0;
}

/* Nodes of a tree. Its depth is bounded by the loader that made it. */
static size_t tree_size(const json_t *tree)
{
    size_t size = 1;
    if (json_is_object(tree)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)tree, key, value)
        {
            size += tree_size(value);
        }
    } else {
        for (size_t i = 0; i < json_array_size(tree); i++) {
            size += tree_size(json_array_get(tree, i));
        }
    }
    return size;
}

static size_t tree_depth(const json_t *tree)
{
    size_t depth = 0;
    if (json_is_object(tree)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)tree, key, value)
        {
            size_t below = tree_depth(value);
            depth = below > depth ? below : depth;
        }
    } else {
        for (size_t i = 0; i < json_array_size(tree); i++) {
            size_t below = tree_depth(json_array_get(tree, i));
            depth = below > depth ? below : depth;
        }
    }
    return depth + 1;
}

static int anchor_set(struct loader *loader, const yaml_event_t *event, const yaml_char_t *name,
                      json_t *node)
{
    if (name == NULL) {
        return 0;
    }
    for (size_t i = 0; i < loader->anchor_count; i++) {
        if (strcmp(loader->anchors[i].name, (const char *)name) == 0) {
            json_decref(loader->anchors[i].node);
            loader->anchors[i].node = json_incref(node);
            return 0;
        }
    }
    if (loader->anchor_count == ANCHORS_MAX) {
        return fail(loader, event, ERR_LIMIT, "more than 256 anchors");
    }
    loader->anchors[loader->anchor_count].name = mem_strdup((const char *)name);
    loader->anchors[loader->anchor_count].node = json_incref(node);
    loader->anchor_count++;
    return 0;
}

static int load_alias(struct loader *loader, const yaml_event_t *event, unsigned depth,
                      json_t **ret_node)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = 0; i < loader->anchor_count; i++) {
        if (strcmp(loader->anchors[i].name, name) != 0) {
            continue;
        }
        const json_t *node = loader->anchors[i].node;
        int rc = count_node(loader, event, tree_size(node));
        if (rc != 0) {
            return rc;
        }
        if (depth + tree_depth(node) > YAML_DEPTH_MAX) {
            return fail(loader, event, ERR_LIMIT, "nested too deeply by an alias");
        }
        *ret_node = json_deep_copy(node);
        return 0;
    }
    return error_set(loader->err, ERR_INVALID,
                     "line %zu: the alias '*%.60s' has no anchor before it",
                     event->start_mark.line + 1, name);
}

/* The kind of value a scalar has, by its tag, else by its style and text. False = a tag that we do
 * not know. */
static bool scalar_kind(const yaml_event_t *event, enum yaml_plain *ret_kind)
{
    static const struct {
        const char *tag;
        enum yaml_plain kind;
    } tags[] = {{"str", YAML_PLAIN_TEXT},
                {"null", YAML_PLAIN_NULL},
                {"bool", YAML_PLAIN_BOOL},
                {"int", YAML_PLAIN_INT},
                {"float", YAML_PLAIN_FLOAT}};
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    const char *tag = (const char *)event->data.scalar.tag;
    if (tag == NULL || strcmp(tag, "!") == 0) {
        *ret_kind = tag == NULL && event->data.scalar.plain_implicit ? yaml_plain_kind(text, len)
                                                                     : YAML_PLAIN_TEXT;
        return true;
    }
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (strncmp(tag, TAG_PREFIX, strlen(TAG_PREFIX)) == 0 &&
            strcmp(tag + strlen(TAG_PREFIX), tags[i].tag) == 0) {
            *ret_kind = tags[i].kind;
            /* "!!int abc": the text has to be what the tag promises */
            return tags[i].kind == YAML_PLAIN_TEXT || yaml_plain_kind(text, len) == tags[i].kind;
        }
    }
    return false;
}

static int load_scalar(struct loader *loader, const yaml_event_t *event, json_t **ret_node)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    enum yaml_plain kind = YAML_PLAIN_TEXT;
    json_t *node = NULL;
    if (memchr(text, '\0', len) != NULL) {
        return fail(loader, event, ERR_INVALID, "a text with a NUL character in it");
    }
    if (!scalar_kind(event, &kind)) {
        return fail(loader, event, ERR_INVALID,
                    "a tag that is none of !!str !!int !!float !!bool !!null, or that the "
                    "value does not fit");
    }
    int rc = yaml_plain_value(kind, text, len, &node, loader->err);
    if (rc != 0) {
        error_wrap(loader->err, "line %zu", event->start_mark.line + 1);
        return rc;
    }
    rc = anchor_set(loader, event, event->data.scalar.anchor, node);
    if (rc != 0) {
        json_decref(node);
        return rc;
    }
    *ret_node = node;
    return 0;
}

static int load_node(struct loader *loader, const yaml_event_t *event, unsigned depth,
                     json_t **ret_node);

static bool collection_tag_known(const yaml_char_t *tag, const char *name)
{
    return tag == NULL || strcmp((const char *)tag, "!") == 0 ||
           (strncmp((const char *)tag, TAG_PREFIX, strlen(TAG_PREFIX)) == 0 &&
            strcmp((const char *)tag + strlen(TAG_PREFIX), name) == 0);
}

static int load_sequence(struct loader *loader, const yaml_event_t *start, unsigned depth,
                         json_t **ret_node)
{
    json_t *array = json_array();
    int rc = 0;
    for (;;) {
        yaml_event_t event;
        rc = next_event(loader, &event);
        if (rc != 0) {
            break;
        }
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        json_t *item = NULL;
        rc = end ? 0 : load_node(loader, &event, depth + 1, &item);
        yaml_event_delete(&event);
        if (rc != 0 || end) {
            break;
        }
        (void)json_array_append_new(array, item);
    }
    if (rc == 0) {
        rc = anchor_set(loader, start, start->data.sequence_start.anchor, array);
    }
    if (rc != 0) {
        json_decref(array);
        return rc;
    }
    *ret_node = array;
    return 0;
}

/* What is merged never replaces a key of the mapping itself; of several mappings the earlier one
 * wins. */
static int merge_into(struct loader *loader, const yaml_event_t *event, json_t *merged,
                      const json_t *source)
{
    if (json_is_object(source)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)source, key, value)
        {
            if (json_object_get(merged, key) == NULL) {
                (void)json_object_set(merged, key, value);
            }
        }
        return 0;
    }
    for (size_t i = 0; json_is_array(source) && i < json_array_size(source); i++) {
        if (!json_is_object(json_array_get(source, i))) {
            return fail(loader, event, ERR_INVALID, "'<<' merges mappings only");
        }
        int rc = merge_into(loader, event, merged, json_array_get(source, i));
        if (rc != 0) {
            return rc;
        }
    }
    return json_is_array(source) ? 0
                                 : fail(loader, event, ERR_INVALID, "'<<' merges mappings only");
}

struct mapping {
    json_t *own;    /* keys of the mapping itself */
    json_t *merged; /* keys that `<<` brought; NULL = no `<<` yet */
};

static int load_pair(struct loader *loader, const yaml_event_t *key_event, unsigned depth,
                     struct mapping *m)
{
    if (key_event->type != YAML_SCALAR_EVENT) {
        return fail(loader, key_event, ERR_INVALID, "a key has to be a plain or quoted text");
    }
    const char *key = (const char *)key_event->data.scalar.value;
    size_t len = key_event->data.scalar.length;
    bool merge =
        key_event->data.scalar.plain_implicit && yaml_plain_kind(key, len) == YAML_PLAIN_MERGE;
    if (memchr(key, '\0', len) != NULL) {
        return fail(loader, key_event, ERR_INVALID, "a key with a NUL character in it");
    }
    if (merge ? m->merged != NULL : json_object_get(m->own, key) != NULL) {
        return error_set(loader->err, ERR_INVALID,
                         "line %zu: the key '%.100s' is there twice: keep one of them",
                         key_event->start_mark.line + 1, key);
    }
    yaml_event_t event;
    int rc = next_event(loader, &event);
    if (rc != 0) {
        return rc;
    }
    json_t *value = NULL;
    rc = load_node(loader, &event, depth + 1, &value);
    if (rc == 0 && merge) {
        m->merged = json_object();
        rc = merge_into(loader, &event, m->merged, value);
    } else if (rc == 0 && json_object_set(m->own, key, value) != 0) {
        rc = fail(loader, key_event, ERR_INVALID, "a key that is not UTF-8");
    }
    json_decref(value);
    yaml_event_delete(&event);
    return rc;
}

static int load_mapping(struct loader *loader, const yaml_event_t *start, unsigned depth,
                        json_t **ret_node)
{
    struct mapping m = {.own = json_object()};
    int rc = 0;
    for (;;) {
        yaml_event_t event;
        rc = next_event(loader, &event);
        if (rc != 0) {
            break;
        }
        bool end = event.type == YAML_MAPPING_END_EVENT;
        rc = end ? 0 : load_pair(loader, &event, depth, &m);
        yaml_event_delete(&event);
        if (rc != 0 || end) {
            break;
        }
    }
    if (rc == 0 && m.merged != NULL) {
        (void)json_object_update_missing(m.own, m.merged);
    }
    json_decref(m.merged);
    if (rc == 0) {
        rc = anchor_set(loader, start, start->data.mapping_start.anchor, m.own);
    }
    if (rc != 0) {
        json_decref(m.own);
        return rc;
    }
    *ret_node = m.own;
    return 0;
}

static int load_node(struct loader *loader, const yaml_event_t *event, unsigned depth,
                     json_t **ret_node)
{
    int rc = count_node(loader, event, 1);
    if (rc != 0) {
        return rc;
    }
    if (depth > YAML_DEPTH_MAX) {
        return fail(loader, event, ERR_LIMIT, "nested more than 64 levels deep");
    }
    const char *tag_fault = "a tag that is none of YAML's own";
    if (event->type == YAML_ALIAS_EVENT) {
        return load_alias(loader, event, depth, ret_node);
    }
    if (event->type == YAML_SCALAR_EVENT) {
        return load_scalar(loader, event, ret_node);
    }
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        return collection_tag_known(event->data.sequence_start.tag, "seq")
                   ? load_sequence(loader, event, depth, ret_node)
                   : fail(loader, event, ERR_INVALID, tag_fault);
    }
    ASSERT(event->type == YAML_MAPPING_START_EVENT);
    return collection_tag_known(event->data.mapping_start.tag, "map")
               ? load_mapping(loader, event, depth, ret_node)
               : fail(loader, event, ERR_INVALID, tag_fault);
}

/* Stream: start, then nothing or one document, then the end. */
static int load_stream(struct loader *loader, json_t **ret_tree)
{
    json_t *tree = NULL;
    int rc = 0;
    for (bool end = false; rc == 0 && !end;) {
        yaml_event_t event;
        rc = next_event(loader, &event);
        if (rc != 0) {
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && tree != NULL) {
            rc = fail(loader, &event, ERR_INVALID,
                      "a second document begins: one file is one document");
        } else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_ALIAS_EVENT ||
                   event.type == YAML_SEQUENCE_START_EVENT ||
                   event.type == YAML_MAPPING_START_EVENT) {
            rc = load_node(loader, &event, 1, &tree);
        }
        yaml_event_delete(&event);
    }
    if (rc != 0) {
        json_decref(tree);
        return rc;
    }
    *ret_tree = tree != NULL ? tree : json_null();
    return 0;
}

int yaml_parse(struct span text, json_t **ret_tree, struct error *err)
{
    if (text.len > YAML_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "%zu bytes of YAML; at most %zu are read", text.len,
                         YAML_BYTES_MAX);
    }
    struct loader *loader = mem_new(struct loader);
    loader->err = err;
    if (!yaml_parser_initialize(&loader->parser)) {
        mem_free(loader);
        return error_set(err, ERR_NOMEM, "no memory to read YAML");
    }
    yaml_parser_set_encoding(&loader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&loader->parser,
                                 text.data != NULL ? text.data : (const uint8_t *)"", text.len);
    int rc = load_stream(loader, ret_tree);
    for (size_t i = 0; i < loader->anchor_count; i++) {
        mem_free(loader->anchors[i].name);
        json_decref(loader->anchors[i].node);
    }
    yaml_parser_delete(&loader->parser);
    mem_free(loader);
    return rc;
}

int yaml_parse_value(const char *text, json_t **ret_value, struct error *err)
{
    int rc = yaml_parse(span_str(text), ret_value, err);
    if (rc != 0) {
        error_wrap(err, "'%.100s'", text);
    }
    return rc;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct writer {
    yaml_emitter_t emitter;
    struct buf *out;
    bool flow;
};

static int write_bytes(void *arg, unsigned char *data, size_t len)
{
    struct writer *writer = arg;
    buf_put(writer->out, data, len);
    return 1;
}

static bool emit_scalar(struct writer *w, const char *text, size_t len, bool is_text)
{
    enum yaml_plain kind = yaml_plain_kind(text, len);
    bool plain = !is_text || kind == YAML_PLAIN_TEXT;
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len,
                                        plain, 1, YAML_ANY_SCALAR_STYLE) &&
           yaml_emitter_emit(&w->emitter, &event);
}

/* As Python's repr: the fewest digits that give the same number again; always with a '.', or YAML
 * would read an integer or, as in 1e17, a text. */
static void real_text(double value, char *ret_text)
{
    char shortest[REAL_TEXT_BYTES];
    for (int precision = 1; precision <= 17; precision++) {
        (void)snprintf(shortest, sizeof(shortest), "%.*e", precision - 1, value);
        if (strtod(shortest, NULL) == value) {
            break;
        }
    }
    char *e = strchr(shortest, 'e');
    ASSERT(e != NULL);
    int exponent = (int)strtol(e + 1, NULL, 10);
    *e = '\0';
    const char *dot = strchr(shortest, '.');
    int decimals = dot != NULL ? (int)strlen(dot + 1) : 0;
    if (exponent >= -4 && exponent < 16) {
        int places = decimals > exponent ? decimals - exponent : 1;
        (void)snprintf(ret_text, REAL_TEXT_BYTES, "%.*f", places, value);
        return;
    }
    (void)snprintf(ret_text, REAL_TEXT_BYTES, "%s%se%c%02d", shortest, dot != NULL ? "" : ".0",
                   exponent < 0 ? '-' : '+', abs(exponent));
}

static bool emit_leaf(struct writer *w, const json_t *node)
{
    char text[REAL_TEXT_BYTES];
    switch (json_typeof(node)) {
    case JSON_STRING:
        return emit_scalar(w, json_string_value(node), json_string_length(node), true);
    case JSON_INTEGER:
        (void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(node));
        break;
    case JSON_REAL: real_text(json_real_value(node), text); break;
    case JSON_TRUE: return emit_scalar(w, "true", 4, false);
    case JSON_FALSE: return emit_scalar(w, "false", 5, false);
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY: return emit_scalar(w, "null", 4, false);
    }
    return emit_scalar(w, text, strlen(text), false);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool emit_node(struct writer *w, const json_t *node, unsigned depth);

static bool emit_object(struct writer *w, const json_t *object, unsigned depth)
{
    yaml_event_t event;
    size_t count = json_object_size(object);
    bool flow = w->flow || count == 0;
    const char **keys = mem_new_array(const char *, count + 1);
    size_t i = 0;
    const char *key;
    json_t *unused;
    json_object_foreach((json_t *)(uintptr_t)object, key, unused)
    {
        keys[i++] = key;
    }
    qsort(keys, count, sizeof(*keys), compare_keys);
    bool ok =
        yaml_mapping_start_event_initialize(
            &event, NULL, NULL, 1, flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE) &&
        yaml_emitter_emit(&w->emitter, &event);
    for (i = 0; ok && i < count; i++) {
        ok = emit_scalar(w, keys[i], strlen(keys[i]), true) &&
             emit_node(w, json_object_get(object, keys[i]), depth + 1);
    }
    mem_free(keys);
    return ok && yaml_mapping_end_event_initialize(&event) &&
           yaml_emitter_emit(&w->emitter, &event);
}

static bool emit_array(struct writer *w, const json_t *array, unsigned depth)
{
    yaml_event_t event;
    bool flow = w->flow || json_array_size(array) == 0;
    bool ok =
        yaml_sequence_start_event_initialize(
            &event, NULL, NULL, 1, flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE) &&
        yaml_emitter_emit(&w->emitter, &event);
    for (size_t i = 0; ok && i < json_array_size(array); i++) {
        ok = emit_node(w, json_array_get(array, i), depth + 1);
    }
    return ok && yaml_sequence_end_event_initialize(&event) &&
           yaml_emitter_emit(&w->emitter, &event);
}

static bool emit_node(struct writer *w, const json_t *node, unsigned depth)
{
    if (depth > YAML_DEPTH_MAX) {
        return false;
    }
    if (json_is_object(node)) {
        return emit_object(w, node, depth);
    }
    return json_is_array(node) ? emit_array(w, node, depth) : emit_leaf(w, node);
}

static int write_document(const json_t *tree, bool flow, struct buf *out, struct error *err)
{
    struct writer w = {.out = out, .flow = flow};
    yaml_event_t event;
    size_t before = out->len;
    if (!yaml_emitter_initialize(&w.emitter)) {
        return error_set(err, ERR_NOMEM, "no memory to write YAML");
    }
    yaml_emitter_set_output(&w.emitter, write_bytes, &w);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, flow ? -1 : WRITE_WIDTH);
    bool ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
              yaml_emitter_emit(&w.emitter, &event) &&
              yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
              yaml_emitter_emit(&w.emitter, &event) && emit_node(&w, tree, 1) &&
              yaml_document_end_event_initialize(&event, 1) &&
              yaml_emitter_emit(&w.emitter, &event) && yaml_stream_end_event_initialize(&event) &&
              yaml_emitter_emit(&w.emitter, &event) && yaml_emitter_flush(&w.emitter);
    yaml_emitter_delete(&w.emitter);
    if (!ok) {
        out->len = before;
        return error_set(err, ERR_LIMIT,
                         "a value nested more than %d levels deep cannot be written as YAML",
                         YAML_DEPTH_MAX);
    }
    return 0;
}

int yaml_write(const json_t *tree, struct buf *out, struct error *err)
{
    return write_document(tree, false, out, err);
}

int yaml_write_flow(const json_t *tree, struct buf *out, struct error *err)
{
    int rc = write_document(tree, true, out, err);
    while (rc == 0 && out->len > 0 && out->data[out->len - 1] == '\n') {
        out->len--;
    }
    return rc;
}
