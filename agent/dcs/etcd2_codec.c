#include "agent/dcs/etcd2_codec.h"

#include "base/assert.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8 /* of directories below the base path; ours has two */

/* --- requests --------------------------------------------------------------------------------- */

static void encode(struct buf *out, const char *text, const char *plain)
{
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (isalnum(byte) || strchr(plain, byte) != NULL) {
            buf_put_u8(out, byte);
        } else {
            buf_printf(out, "%%%02X", byte);
        }
    }
}

char *etcd2_path(const char *base, const char *key, const char *query)
{
    struct buf path = BUF_INIT;
    buf_put_str(&path, "/v2/keys");
    encode(&path, base, "-._~/");
    encode(&path, key, "-._~/");
    if (query != NULL) {
        buf_printf(&path, "?%s", query);
    }
    return buf_take(&path);
}

void etcd2_form(struct buf *out, const char *name, const char *value)
{
    if (out->len > 0) {
        buf_put_u8(out, '&');
    }
    buf_printf(out, "%s=", name);
    encode(out, value, "-._~");
}

void etcd2_form_number(struct buf *out, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    etcd2_form(out, name, text);
}

/* --- answers ---------------------------------------------------------------------------------- */

enum {
    HTTP_OK = 200,
    HTTP_CREATED = 201,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_REQUEST_TIMEOUT = 408,
    HTTP_SERVER_ERROR = 500,
    ETCD_KEY_NOT_FOUND = 100,
    ETCD_COMPARE_FAILED = 101,
    ETCD_NODE_EXISTS = 105,
    ETCD_RAFT_INTERNAL = 300,
    ETCD_LEADER_ELECT = 301
};

int etcd2_outcome(int status, const json_t *body, char *ret_text)
{
    const char *message = json_string_value(json_object_get(body, "message"));
    const char *cause = json_string_value(json_object_get(body, "cause"));
    json_int_t code = json_integer_value(json_object_get(body, "errorCode"));

    ret_text[0] = '\0';
    if ((status == HTTP_OK || status == HTTP_CREATED) && body != NULL && code == 0) {
        return 0;
    }
    if (message != NULL) {
        (void)snprintf(ret_text, ERROR_TEXT_BYTES, "%s%s%s", message,
                       cause != NULL && cause[0] != '\0' ? ": " : "", cause == NULL ? "" : cause);
    }
    switch (code) {
    case ETCD_KEY_NOT_FOUND: return ERR_NOT_FOUND;
    case ETCD_COMPARE_FAILED:
    case ETCD_NODE_EXISTS: return ERR_CONFLICT;
    case ETCD_RAFT_INTERNAL:
    case ETCD_LEADER_ELECT: return ERR_UNAVAILABLE;
    default: break;
    }
    if (status < HTTP_BAD_REQUEST || status >= HTTP_SERVER_ERROR ||
        status == HTTP_REQUEST_TIMEOUT) {
        return ERR_UNAVAILABLE; /* a proxy's word, or cut short: only a no to the request is one */
    }
    return status == HTTP_NOT_FOUND && code == 0 ? ERR_UNSUPPORTED : ERR_REFUSED;
}

static bool read_number(const char *text, int base, uint64_t *ret_number)
{
    char *end = NULL;
    if (text == NULL || !isxdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, &end, base);
    return errno == 0 && *end == '\0';
}

void etcd2_head_read(const char *index, const char *cluster, int64_t *ret_index,
                     uint64_t *ret_cluster)
{
    uint64_t number = 0;
    *ret_index = read_number(index, 10, &number) && number <= INT64_MAX ? (int64_t)number : 0;
    *ret_cluster = read_number(cluster, 16, &number) ? number : 0;
}

json_t *etcd2_machines_read(struct span body)
{
    char *text = mem_strndup((const char *)body.data, body.len);
    char *rest = NULL;
    json_t *urls = json_array();
    for (char *part = strtok_r(text, ", \r\n", &rest); part != NULL;
         part = strtok_r(NULL, ", \r\n", &rest)) {
        if (strncmp(part, "http://", 7) == 0 || strncmp(part, "https://", 8) == 0) {
            (void)json_array_append_new(urls, json_string(part));
        }
    }
    mem_free(text);
    if (json_array_size(urls) == 0) {
        json_decref(urls);
        return NULL;
    }
    return urls;
}

static bool node_of(const json_t *node, struct etcd2_node *ret_node)
{
    const json_t *created = json_object_get(node, "createdIndex");
    const json_t *modified = json_object_get(node, "modifiedIndex");
    if (json_integer_value(created) <= 0 || json_integer_value(modified) <= 0) {
        return false; /* 0: no number, or none at all */
    }
    const char *value = json_string_value(json_object_get(node, "value"));
    *ret_node = (struct etcd2_node){.value = value == NULL ? "" : value,
                                    .created = json_integer_value(created),
                                    .modified = json_integer_value(modified)};
    return true;
}

bool etcd2_node_read(const json_t *body, struct etcd2_node *ret_node)
{
    return node_of(json_object_get(body, "node"), ret_node);
}

struct collector {
    struct dcs_view *view;
    size_t capacity;
    const char *base;
    size_t base_len;
};

static bool take_leaf(struct collector *c, const json_t *node)
{
    struct dcs_view *view = c->view;
    struct etcd2_node read;
    const char *key = json_string_value(json_object_get(node, "key"));
    if (key == NULL || !node_of(node, &read)) {
        return false;
    }
    if (strncmp(key, c->base, c->base_len) != 0 || key[c->base_len] == '\0') {
        return true; /* the directory itself, or nobody's */
    }
    if (view->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        view->kvs = mem_resize(view->kvs, c->capacity * sizeof *view->kvs);
    }
    view->kvs[view->count++] = (struct dcs_kv){.key = mem_strdup(key + c->base_len),
                                               .value = mem_strdup(read.value),
                                               .value_len = strlen(read.value),
                                               .create_revision = read.created,
                                               .mod_revision = read.modified};
    return true;
}

static bool take_nodes(struct collector *c, const json_t *nodes,
                       int depth) /* NOLINT(misc-no-recursion): bounded */
{
    if (nodes != NULL && !json_is_array(nodes)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        bool good =
            json_is_true(json_object_get(node, "dir"))
                ? depth < DEPTH_MAX && take_nodes(c, json_object_get(node, "nodes"), depth + 1)
                : take_leaf(c, node);
        if (!good) {
            return false;
        }
    }
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct dcs_kv *)a)->key, ((const struct dcs_kv *)b)->key);
}

struct dcs_view *etcd2_view_read(const json_t *body, const char *base, int64_t index,
                                 uint64_t cluster, struct error *err)
{
    struct collector c = {.view = dcs_view_new(0), .base = base, .base_len = strlen(base)};
    c.view->cluster = cluster;
    c.view->revision = index;
    const json_t *node = json_object_get(body, "node");
    if (cluster == 0 || index <= 0 ||
        (body != NULL && (!json_is_true(json_object_get(node, "dir")) ||
                          !take_nodes(&c, json_object_get(node, "nodes"), 0)))) {
        dcs_view_unref(c.view);
        (void)error_set(err, ERR_CORRUPT, "the answer is no directory of etcd's v2 API");
        return NULL;
    }
    if (c.view->count > 0) {
        qsort(c.view->kvs, c.view->count, sizeof c.view->kvs[0], by_key);
    }
    return c.view;
}
