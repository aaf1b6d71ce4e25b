#include "agent/dcs/etcd3_codec.h"

#include "base/assert.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE64_BYTES_MAX ((size_t)16 * 1024 * 1024) /* what EVP_DecodeBlock counts is an int */

/* --- base64 and numbers ----------------------------------------------------------------------- */

static json_t *base64(struct span bytes)
{
    ASSERT(bytes.len < INT32_MAX / 2);
    size_t room = (bytes.len + 2) / 3 * 4 + 1;
    char *text = mem_alloc(room);
    int len = EVP_EncodeBlock((unsigned char *)text, bytes.data, (int)bytes.len);
    json_t *json = json_stringn(text, (size_t)len);
    mem_free(text);
    return json;
}

/* Zero-terminated; NULL if it is no base64. */
static char *unbase64(const char *text, size_t len, size_t *ret_len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /* EVP_DecodeBlock overlooks white space at both ends, takes '=' anywhere for a zero, and counts
     * the bytes that padding stands for. */
    size_t plain = strspn(text, alphabet);
    size_t padding = strspn(text + plain, "=");
    if (len % 4 != 0 || len > BASE64_BYTES_MAX || plain + padding != len || padding > 2) {
        return NULL;
    }
    char *bytes = mem_alloc(len / 4 * 3 + 1);
    int got = len == 0
                  ? 0
                  : EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)len);
    ASSERT(got >= 0 && (size_t)got >= padding);
    *ret_len = (size_t)got - padding;
    bytes[*ret_len] = '\0';
    return bytes;
}

static bool signed_of(const json_t *value, int64_t *ret_number)
{
    if (value == NULL || json_is_null(value)) {
        *ret_number = 0;
        return true;
    }
    if (json_is_integer(value)) {
        *ret_number = json_integer_value(value);
        return true;
    }
    if (!json_is_string(value)) {
        return false;
    }
    const char *text = json_string_value(value);
    char *end = NULL;
    if (!isdigit((unsigned char)text[text[0] == '-' ? 1 : 0])) {
        return false; /* strtoll would overlook white space and take a '+' */
    }
    errno = 0;
    *ret_number = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool unsigned_of(const json_t *value, uint64_t *ret_number)
{
    int64_t number = 0;
    if (!json_is_string(value)) {
        bool good = signed_of(value, &number) && number >= 0;
        *ret_number = good ? (uint64_t)number : 0;
        return good;
    }
    const char *text = json_string_value(value);
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static json_t *number_text(int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    return json_string(text);
}

/* Lease ids are positive int64 in etcd; ours is kept as uint64 of the same bits. */
static json_t *lease_text(uint64_t lease)
{
    return number_text((int64_t)lease);
}

/* --- requests --------------------------------------------------------------------------------- */

static int append(const char *text, size_t len, void *data)
{
    buf_put(data, text, len);
    return 0;
}

static void print_take(struct buf *out, json_t *json)
{
    ASSERT(json != NULL);
    int rc = json_dump_callback(json, append, out, JSON_COMPACT | JSON_ENSURE_ASCII);
    ASSERT(rc == 0);
    json_decref(json);
}

/* The first key behind all that start with `prefix`: its last byte that is not 0xff, plus one. */
static json_t *prefix_end(const char *prefix)
{
    size_t len = strlen(prefix);
    char *end = mem_strdup(prefix);
    while (len > 0 && (unsigned char)end[len - 1] == 0xff) {
        len--;
    }
    ASSERT(len > 0); /* a base path begins with '/' */
    end[len - 1]++;
    json_t *json = base64(span_of(end, len));
    mem_free(end);
    return json;
}

void etcd3_range_prefix(struct buf *out, const char *prefix)
{
    print_take(out, json_pack("{s:o, s:o}", "key", base64(span_str(prefix)), "range_end",
                              prefix_end(prefix)));
}

void etcd3_range_key(struct buf *out, const char *key)
{
    print_take(out, json_pack("{s:o}", "key", base64(span_str(key))));
}

void etcd3_lease_grant(struct buf *out, int64_t ttl_s)
{
    print_take(out, json_pack("{s:o}", "TTL", number_text(ttl_s)));
}

void etcd3_lease_id(struct buf *out, uint64_t lease)
{
    print_take(out, json_pack("{s:o}", "ID", lease_text(lease)));
}

void etcd3_watch(struct buf *out, const char *prefix, int64_t start_revision)
{
    print_take(out, json_pack("{s:{s:o, s:o, s:o}}", "create_request", "key",
                              base64(span_str(prefix)), "range_end", prefix_end(prefix),
                              "start_revision", number_text(start_revision)));
}

void etcd3_authenticate(struct buf *out, const char *name, const char *password)
{
    print_take(out, json_pack("{s:s, s:s}", "name", name, "password", password));
}

void etcd3_txn_compare(struct etcd3_txn *txn, const char *key, enum etcd3_target target,
                       int64_t revision)
{
    static const char *const names[][2] = {
        [ETCD3_CREATE] = {"CREATE", "create_revision"}, [ETCD3_MOD] = {"MOD", "mod_revision"}};
    if (txn->compares == NULL) {
        txn->compares = json_array();
    }
    int rc = json_array_append_new(txn->compares,
                                   json_pack("{s:s, s:s, s:o, s:o}", "result", "EQUAL", "target",
                                             names[target][0], "key", base64(span_str(key)),
                                             names[target][1], number_text(revision)));
    ASSERT(rc == 0);
}

static void txn_success(struct etcd3_txn *txn, const char *what, json_t *request)
{
    if (txn->success == NULL) {
        txn->success = json_array();
    }
    int rc = json_array_append_new(txn->success, json_pack("{s:o}", what, request));
    ASSERT(rc == 0);
}

void etcd3_txn_put(struct etcd3_txn *txn, const char *key, struct span value, uint64_t lease)
{
    json_t *request = json_pack("{s:o, s:o}", "key", base64(span_str(key)), "value", base64(value));
    if (lease != 0) {
        (void)json_object_set_new(request, "lease", lease_text(lease));
    }
    txn_success(txn, "request_put", request);
}

void etcd3_txn_delete(struct etcd3_txn *txn, const char *key)
{
    txn_success(txn, "request_delete_range", json_pack("{s:o}", "key", base64(span_str(key))));
}

void etcd3_txn_print(struct etcd3_txn *txn, struct buf *out)
{
    json_t *json = json_object();
    if (txn->compares != NULL) {
        (void)json_object_set(json, "compare", txn->compares);
    }
    if (txn->success != NULL) {
        (void)json_object_set(json, "success", txn->success);
    }
    print_take(out, json);
}

void etcd3_txn_free(struct etcd3_txn *txn)
{
    json_decref(txn->compares);
    json_decref(txn->success);
    *txn = (struct etcd3_txn){0};
}

/* --- failures --------------------------------------------------------------------------------- */

/* Texts first: the same failure has had different codes and statuses over the releases. */
static const struct {
    const char *text;
    enum etcd3_failure failure;
} failure_texts[] = {
    {"requested lease not found", ETCD3_LEASE_NOT_FOUND},
    {"required revision has been compacted", ETCD3_COMPACTED},
    {"authentication is not enabled", ETCD3_AUTH_OFF},
    {"invalid auth token", ETCD3_AUTHENTICATE},
    {"user name is empty", ETCD3_AUTHENTICATE},
    {"revision of auth store is old", ETCD3_AUTHENTICATE},
    {"invalid user ID or password", ETCD3_DENIED},
    {"permission denied", ETCD3_DENIED},
    {"database space exceeded", ETCD3_FULL},
    {"too many requests", ETCD3_FULL},
    {"context deadline exceeded", ETCD3_ELSEWHERE},
    {"not a primary lessor", ETCD3_ELSEWHERE},
};

enum {
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_REQUEST_TIMEOUT = 408,
    HTTP_TOO_MANY_REQUESTS = 429,
    HTTP_SERVER_ERROR = 500
};

/* No word of etcd's: a proxy's, or an answer cut short. Only a no to the request itself is one. */
static enum etcd3_failure failure_of_status(int status)
{
    if (status < HTTP_BAD_REQUEST || status >= HTTP_SERVER_ERROR ||
        status == HTTP_REQUEST_TIMEOUT) {
        return ETCD3_ELSEWHERE;
    }
    return status == HTTP_NOT_FOUND           ? ETCD3_ABSENT
           : status == HTTP_TOO_MANY_REQUESTS ? ETCD3_FULL
                                              : ETCD3_BAD;
}

/* A write that was proposed may still be applied, whatever ended the waiting for it: those codes
 * are no refusals. */
static enum etcd3_failure failure_of_code(int64_t code)
{
    switch (code) {
    case GRPC_CANCELED:
    case GRPC_UNKNOWN: /* every error of the server that has no code of its own */
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_FAILED_PRECONDITION: /* "not leader", "bad leader transferee" */
    case GRPC_ABORTED:
    case GRPC_INTERNAL:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS: return ETCD3_ELSEWHERE;
    case GRPC_PERMISSION_DENIED: return ETCD3_DENIED;
    case GRPC_RESOURCE_EXHAUSTED: return ETCD3_FULL;
    case GRPC_UNAUTHENTICATED: return ETCD3_AUTHENTICATE;
    default: return ETCD3_BAD;
    }
}

enum etcd3_failure etcd3_failure_of(int status, const json_t *body, char *ret_text)
{
    ret_text[0] = '\0';
    const json_t *inner = json_object_get(body, "error");
    const json_t *source = json_is_object(inner) ? inner : body;
    const char *text = json_is_string(inner)
                           ? json_string_value(inner)
                           : json_string_value(json_object_get(source, "message"));
    int64_t code = 0;
    const json_t *number = json_object_get(source, "code");
    (void)signed_of(number == NULL ? json_object_get(source, "grpc_code") : number, &code);
    if (status == HTTP_OK && inner == NULL && json_is_object(body)) {
        return ETCD3_OK;
    }
    if (text != NULL) {
        (void)snprintf(ret_text, ERROR_TEXT_BYTES, "%s", text);
        for (size_t i = 0; i < sizeof failure_texts / sizeof failure_texts[0]; i++) {
            if (strstr(text, failure_texts[i].text) != NULL) {
                return failure_texts[i].failure;
            }
        }
    }
    return code == 0 ? failure_of_status(status) : failure_of_code(code);
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool header_of(const json_t *header, struct etcd3_header *ret_header)
{
    struct etcd3_header read = {0};
    if (!json_is_object(header) ||
        !unsigned_of(json_object_get(header, "cluster_id"), &read.cluster) ||
        !unsigned_of(json_object_get(header, "member_id"), &read.member) ||
        !signed_of(json_object_get(header, "revision"), &read.revision) ||
        !unsigned_of(json_object_get(header, "raft_term"), &read.term)) {
        return false;
    }
    *ret_header = read;
    return true;
}

bool etcd3_header_read(const json_t *body, struct etcd3_header *ret_header)
{
    const json_t *result = json_object_get(body, "result");
    return header_of(json_object_get(json_is_object(result) ? result : body, "header"), ret_header);
}

static char *bytes_of(const json_t *object, const char *name, size_t *ret_len)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL || json_is_null(value)) {
        *ret_len = 0;
        return mem_strdup("");
    }
    return json_is_string(value)
               ? unbase64(json_string_value(value), json_string_length(value), ret_len)
               : NULL;
}

/* A revision of 0 or less is a word of dcs.h, not one of etcd's. */
static bool numbers_of(const json_t *object, struct dcs_kv *kv)
{
    int64_t lease = 0;
    bool good = signed_of(json_object_get(object, "create_revision"), &kv->create_revision) &&
                signed_of(json_object_get(object, "mod_revision"), &kv->mod_revision) &&
                signed_of(json_object_get(object, "lease"), &lease);
    kv->lease = (uint64_t)lease;
    return good && kv->create_revision >= 0 && kv->mod_revision > 0;
}

enum kv_kind { KV_OURS, KV_SKIPPED, KV_BAD };

/* `ret_kv` owns key and value when it is ours. Keys that are no text are nobody's. */
static enum kv_kind kv_of(const json_t *object, const char *base, struct dcs_kv *ret_kv)
{
    struct dcs_kv kv = {0};
    size_t key_len = 0;
    size_t base_len = strlen(base);
    char *key = bytes_of(object, "key", &key_len);
    kv.value = bytes_of(object, "value", &kv.value_len);
    enum kv_kind kind = KV_OURS;
    if (key == NULL || kv.value == NULL || !numbers_of(object, &kv)) {
        kind = KV_BAD;
    } else if (key_len <= base_len || strlen(key) != key_len || strncmp(key, base, base_len) != 0) {
        kind = KV_SKIPPED;
    }
    if (kind == KV_OURS) {
        kv.key = mem_strdup(key + base_len);
        *ret_kv = kv;
    } else {
        mem_free(kv.value);
    }
    mem_free(key);
    return kind;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct dcs_kv *)a)->key, ((const struct dcs_kv *)b)->key);
}

struct dcs_view *etcd3_view_read(const json_t *body, const char *base, struct error *err)
{
    struct etcd3_header header;
    const json_t *kvs = json_object_get(body, "kvs");

    if (!etcd3_header_read(body, &header) || header.revision <= 0 ||
        (kvs != NULL && !json_is_array(kvs)) || json_is_true(json_object_get(body, "more"))) {
        (void)error_set(err, ERR_CORRUPT, "the answer is no whole range of etcd's");
        return NULL;
    }
    struct dcs_view *view = dcs_view_new(json_array_size(kvs));
    view->cluster = header.cluster;
    view->revision = header.revision;
    view->count = 0;
    for (size_t i = 0; i < json_array_size(kvs); i++) {
        struct dcs_kv *kv = &view->kvs[view->count];
        enum kv_kind kind = kv_of(json_array_get(kvs, i), base, kv);
        if (kind == KV_OURS && kv->create_revision == 0) {
            view->count++; /* it owns its strings */
            kind = KV_BAD;
        }
        if (kind == KV_BAD) {
            (void)error_set(err, ERR_CORRUPT, "key %zu of the answer cannot be read", i);
            dcs_view_unref(view);
            return NULL;
        }
        view->count += kind == KV_OURS ? 1 : 0;
    }
    if (view->count > 0) {
        qsort(view->kvs, view->count, sizeof view->kvs[0], by_key);
    }
    return view;
}

bool etcd3_kv_read(const json_t *body, const char *value, struct dcs_kv *ret_kv,
                   bool *ret_same_value)
{
    const json_t *kv = json_array_get(json_object_get(body, "kvs"), 0);
    struct dcs_kv read = {0};
    size_t len = 0;
    char *bytes = kv == NULL ? NULL : bytes_of(kv, "value", &len);
    if (bytes == NULL || !numbers_of(kv, &read)) {
        mem_free(bytes);
        return false;
    }
    *ret_same_value = len == strlen(value) && memcmp(bytes, value, len) == 0;
    mem_free(bytes);
    *ret_kv = read;
    return true;
}

bool etcd3_txn_succeeded(const json_t *body)
{
    return json_is_true(json_object_get(body, "succeeded"));
}

bool etcd3_lease_read(const json_t *body, uint64_t *ret_lease, int64_t *ret_ttl_s)
{
    const json_t *result = json_object_get(body, "result");
    const json_t *source = json_is_object(result) ? result : body;
    int64_t id = 0;
    int64_t ttl = 0;
    if (!signed_of(json_object_get(source, "ID"), &id) || id == 0 ||
        !signed_of(json_object_get(source, "TTL"), &ttl)) {
        return false;
    }
    *ret_lease = (uint64_t)id;
    *ret_ttl_s = ttl > 0 ? ttl : 0;
    return true;
}

json_t *etcd3_members_read(const json_t *body)
{
    const json_t *members = json_object_get(body, "members");
    json_t *urls = json_array();
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *of_one = json_object_get(json_array_get(members, i), "clientURLs");
        for (size_t j = 0; j < json_array_size(of_one); j++) {
            json_t *url = json_array_get(of_one, j);
            if (json_is_string(url)) {
                (void)json_array_append(urls, url);
            }
        }
    }
    if (json_array_size(urls) == 0) {
        json_decref(urls);
        return NULL;
    }
    return urls;
}

const char *etcd3_prefix_of(const json_t *body, char ret_version[32])
{
    static const struct {
        int major;
        int minor;
        const char *prefix;
    } prefixes[] = {{3, 4, "/v3"}, {3, 3, "/v3beta"}};
    const char *cluster = json_string_value(json_object_get(body, "etcdcluster"));
    const char *server = json_string_value(json_object_get(body, "etcdserver"));
    const char *version = cluster != NULL && isdigit((unsigned char)cluster[0]) ? cluster : server;
    int major = 0;
    int minor = 0;

    (void)snprintf(ret_version, 32, "%s", version == NULL ? "" : version);
    if (version == NULL || sscanf(version, "%d.%d", &major, &minor) !=
                               2) { /* NOLINT(cert-err34-c): bounded by the compare below */
        return NULL;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (major > prefixes[i].major ||
            (major == prefixes[i].major && minor >= prefixes[i].minor)) {
            return prefixes[i].prefix;
        }
    }
    return NULL;
}

/* --- watch ------------------------------------------------------------------------------------ */

static bool event_of(const json_t *event, const char *base, etcd3_on_event on_event, void *arg)
{
    const json_t *type = json_object_get(event, "type");
    struct etcd3_event read = {0};
    read.deleted = json_is_string(type) ? strcmp(json_string_value(type), "DELETE") == 0
                                        : json_integer_value(type) == 1;
    enum kv_kind kind = kv_of(json_object_get(event, "kv"), base, &read.kv);
    bool good =
        kind != KV_BAD && (read.deleted || kind == KV_SKIPPED || read.kv.create_revision > 0);
    if (kind == KV_OURS) {
        if (good) {
            on_event(arg, &read);
        }
        mem_free(read.kv.key);
        mem_free(read.kv.value);
    }
    return good;
}

enum etcd3_failure etcd3_watch_read(const json_t *object, struct etcd3_watch_answer *ret_answer,
                                    char *ret_text)
{
    const json_t *result = json_object_get(object, "result");
    *ret_answer = (struct etcd3_watch_answer){0};
    if (!json_is_object(result)) {
        return etcd3_failure_of(HTTP_SERVER_ERROR, object, ret_text);
    }
    ret_text[0] = '\0';
    const char *reason = json_string_value(json_object_get(result, "cancel_reason"));
    if (reason != NULL) {
        (void)snprintf(ret_text, ERROR_TEXT_BYTES, "%s", reason);
    }
    ret_answer->created = json_is_true(json_object_get(result, "created"));
    ret_answer->canceled = json_is_true(json_object_get(result, "canceled"));
    bool good =
        etcd3_header_read(object, &ret_answer->header) &&
        signed_of(json_object_get(result, "compact_revision"), &ret_answer->compact_revision);
    return good ? ETCD3_OK : ETCD3_BAD;
}

bool etcd3_watch_events(const json_t *object, const char *base, etcd3_on_event on_event, void *arg)
{
    const json_t *events = json_object_get(json_object_get(object, "result"), "events");
    for (size_t i = 0; i < json_array_size(events); i++) {
        if (!event_of(json_array_get(events, i), base, on_event, arg)) {
            return false;
        }
    }
    return true;
}
