/* PURE. Only the parameters that etcd knows are kept, decoded once. */
#include "raft/etcd/etcd_v2_request.h"

#include "base/assert.h"
#include "raft/etcd/etcd_text.h"

#include <string.h>
#include <strings.h>

/* As later releases of Go have it: each costs its share of a turn, and nobody needs twenty. */
enum { PARAMS_MAX = 10000 };

enum param {
    PARAM_VALUE,
    PARAM_TTL,
    PARAM_PREV_VALUE,
    PARAM_PREV_INDEX,
    PARAM_PREV_EXIST,
    PARAM_WAIT,
    PARAM_WAIT_INDEX,
    PARAM_RECURSIVE,
    PARAM_SORTED,
    PARAM_DIR,
    PARAM_QUORUM,
    PARAM_STREAM,
    PARAM_REFRESH,
    PARAM_NO_VALUE,
    PARAM_COUNT
};

static const char *const names[] = {
    [PARAM_VALUE] = "value",          [PARAM_TTL] = "ttl",
    [PARAM_PREV_VALUE] = "prevValue", [PARAM_PREV_INDEX] = "prevIndex",
    [PARAM_PREV_EXIST] = "prevExist", [PARAM_WAIT] = "wait",
    [PARAM_WAIT_INDEX] = "waitIndex", [PARAM_RECURSIVE] = "recursive",
    [PARAM_SORTED] = "sorted",        [PARAM_DIR] = "dir",
    [PARAM_QUORUM] = "quorum",        [PARAM_STREAM] = "stream",
    [PARAM_REFRESH] = "refresh",      [PARAM_NO_VALUE] = "noValueOnSuccess",
};

_Static_assert(sizeof names / sizeof names[0] == PARAM_COUNT, "a name each");

struct form {
    struct arena *arena;
    struct etcd_v2_fault *fault;
    bool given[PARAM_COUNT];
    struct span values[PARAM_COUNT];
};

/* --- decoding --------------------------------------------------------------------------------- */

static int refuse(struct form *form, enum etcd_v2_error error, const char *cause)
{
    *form->fault = (struct etcd_v2_fault){.error = error, .cause = span_str(cause)};
    return ERR_INVALID;
}

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The cause is said of the first bad escape of a text only. */
static int refuse_escape(struct form *form, struct span at)
{
    struct buf text = BUF_INIT;
    buf_put_str(&text, "invalid URL escape ");
    go_quote(&text, span_of(at.data, at.len < 3 ? at.len : 3));
    uint8_t *copy = arena_take(form->arena, text.len, 1);
    if (copy != NULL) {
        memcpy(copy, text.data, text.len);
        *form->fault =
            (struct etcd_v2_fault){.error = ETCD_V2_INVALID_FORM, .cause = span_of(copy, text.len)};
    }
    buf_free(&text);
    return copy != NULL ? ERR_INVALID : ERR_LIMIT;
}

static struct span until(struct span text, char end)
{
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.data, end, text.len);
    return span_of(text.data, at == NULL ? text.len : (size_t)(at - text.data));
}

static int unescape(struct form *form, struct span text, bool plus_is_space, struct span *ret_text)
{
    size_t len = 0;
    if (until(text, '%').len == text.len && until(text, '+').len == text.len) {
        *ret_text = text;
        return 0;
    }
    uint8_t *out = arena_take(form->arena, text.len, 1);
    if (out == NULL) {
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            if (i + 2 >= text.len || hex_of(text.data[i + 1]) < 0 || hex_of(text.data[i + 2]) < 0) {
                return refuse_escape(form, span_of(text.data + i, text.len - i));
            }
            c = (uint8_t)(hex_of(text.data[i + 1]) * 16 + hex_of(text.data[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[len++] = c;
    }
    *ret_text = span_of(out, len);
    return 0;
}

static struct span after(struct span text, size_t len)
{
    return len >= text.len ? span_of(NULL, 0) : span_of(text.data + len + 1, text.len - len - 1);
}

/* One "name=value". */
static int take_pair(struct form *form, struct span pair)
{
    struct span raw_name = until(pair, '=');
    struct span name;
    struct span value;
    int rc = unescape(form, raw_name, true, &name);
    if (rc == 0) {
        rc = unescape(form, after(pair, raw_name.len), true, &value);
    }
    for (size_t i = 0; rc == 0 && i < PARAM_COUNT; i++) {
        if (!form->given[i] && span_equal_str(name, names[i])) {
            form->given[i] = true;
            form->values[i] = value;
        }
    }
    return rc;
}

/* As url.ParseQuery: of bad escapes the first is told, of semicolons, which it tells rather, any.
 */
static int take_pairs(struct form *form, struct span text)
{
    static const char semicolon[] = "invalid semicolon separator in query";
    int bad = 0;
    for (size_t count = 0; text.len > 0; count++) {
        if (count == PARAMS_MAX) {
            return refuse(form, ETCD_V2_INVALID_FORM, "too many parameters");
        }
        struct etcd_v2_fault first = *form->fault;
        struct span pair = until(text, '&');
        text = after(text, pair.len);
        if (until(pair, ';').len < pair.len) {
            bad = refuse(form, ETCD_V2_INVALID_FORM, semicolon);
            continue;
        }
        int rc = take_pair(form, pair);
        if (rc == ERR_LIMIT) {
            return rc;
        }
        if (rc != 0 && bad != 0) {
            *form->fault = first;
        }
        bad = rc != 0 ? rc : bad;
    }
    return bad;
}

static bool is_form(struct span content_type)
{
    static const char form[] = "application/x-www-form-urlencoded";
    struct span type = until(content_type, ';');
    while (type.len > 0 && (type.data[type.len - 1] == ' ' || type.data[type.len - 1] == '\t')) {
        type.len--;
    }
    while (type.len > 0 && (type.data[0] == ' ' || type.data[0] == '\t')) {
        type = span_of(type.data + 1, type.len - 1);
    }
    return type.len == strlen(form) && strncasecmp((const char *)type.data, form, type.len) == 0;
}

/* --- the key ---------------------------------------------------------------------------------- */

/* In place: no empty component, no '.', and '..' takes the one before it away, at most to the
 * root. Returns the length; `path` is not empty and begins with '/'. */
static size_t clean_path(uint8_t *path, size_t len)
{
    size_t out = 0;
    for (size_t at = 0; at < len;) {
        size_t start = at + 1; /* behind the '/' */
        for (at = start; at < len && path[at] != '/'; at++) {
        }
        size_t part = at - start;
        if (part == 0 || (part == 1 && path[start] == '.')) {
            continue;
        }
        if (part == 2 && path[start] == '.' && path[start + 1] == '.') {
            while (out > 0 && path[--out] != '/') {
            }
            continue;
        }
        path[out] = '/';
        memmove(path + out + 1, path + start, part);
        out += part + 1;
    }
    return out == 0 ? 1 : out;
}

static int take_key(struct form *form, struct span path, struct span *ret_key)
{
    static const char prefix[] = ETCD_V2_PREFIX;
    if (!span_starts_with(path, span_str(prefix))) {
        return ERR_NOT_FOUND;
    }
    path = span_of(path.data + strlen(prefix), path.len - strlen(prefix));
    if (path.len > 0 && path.data[0] != '/') {
        return ERR_NOT_FOUND;
    }
    struct span decoded;
    int rc = unescape(form, path, false, &decoded);
    if (rc != 0 || decoded.len == 0) {
        *ret_key = span_str("/");
        return rc;
    }
    uint8_t *mutable = arena_take(form->arena, decoded.len, 1);
    if (mutable == NULL) {
        return ERR_LIMIT;
    }
    memcpy(mutable, decoded.data, decoded.len);
    *ret_key = span_of(mutable, clean_path(mutable, decoded.len));
    return 0;
}

/* --- parameters ------------------------------------------------------------------------------- */

static bool is_one_of(struct span text, const char *const words[6])
{
    for (size_t i = 0; i < 6; i++) {
        if (span_equal_str(text, words[i])) {
            return true;
        }
    }
    return false;
}

/* Go's strconv.ParseBool. */
static bool parse_bool(struct span text, bool *ret_value)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    *ret_value = is_one_of(text, yes);
    return *ret_value || is_one_of(text, no);
}

static int take_index(struct form *form, enum param param, const char *cause, uint64_t *ret_index)
{
    *ret_index = 0;
    return !form->given[param] || go_parse_u64(form->values[param], ret_index)
               ? 0
               : refuse(form, ETCD_V2_INDEX_NAN, cause);
}

static int take_flag(struct form *form, enum param param, const char *cause, bool *ret_flag)
{
    *ret_flag = false;
    return !form->given[param] || parse_bool(form->values[param], ret_flag)
               ? 0
               : refuse(form, ETCD_V2_INVALID_FIELD, cause);
}

static int take_flags(struct form *form, struct etcd_v2_request *request, bool *ret_wait)
{
    const struct {
        enum param param;
        const char *cause;
        bool *flag;
    } flags[] = {
        {PARAM_RECURSIVE, "invalid value for \"recursive\"", &request->recursive},
        {PARAM_SORTED, "invalid value for \"sorted\"", &request->sorted},
        {PARAM_WAIT, "invalid value for \"wait\"", ret_wait},
        {PARAM_DIR, "invalid value for \"dir\"", &request->dir},
        {PARAM_QUORUM, "invalid value for \"quorum\"", &request->quorum},
        {PARAM_STREAM, "invalid value for \"stream\"", &request->stream},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof flags / sizeof flags[0]; i++) {
        rc = take_flag(form, flags[i].param, flags[i].cause, flags[i].flag);
    }
    return rc;
}

static int take_ttl(struct form *form, struct etcd_v2_request *request)
{
    struct span text = form->values[PARAM_TTL];
    request->has_ttl = text.len > 0;
    return text.len == 0 || go_parse_u64(text, &request->ttl_s)
               ? 0
               : refuse(form, ETCD_V2_TTL_NAN, "invalid value for \"ttl\"");
}

static int take_refresh(struct form *form, struct etcd_v2_request *request)
{
    int rc = take_flag(form, PARAM_REFRESH, "invalid value for refresh", &request->refresh);
    if (rc != 0 || !request->refresh) {
        return rc;
    }
    if (request->value.len > 0) {
        return refuse(form, ETCD_V2_REFRESH_VALUE, "A value was provided on a refresh");
    }
    return request->has_ttl ? 0 : refuse(form, ETCD_V2_REFRESH_TTL_REQUIRED, "No TTL value set");
}

static enum etcd_v2_op op_of(enum etcd_v2_method method, const struct form *form, bool wait,
                             bool prev_exist, const struct etcd_v2_request *request)
{
    bool compares = request->prev_index > 0 || request->prev_value.len > 0;
    switch (method) {
    case ETCD_V2_GET:
    case ETCD_V2_HEAD: return wait ? ETCD_V2_OP_WATCH : ETCD_V2_OP_GET;
    case ETCD_V2_POST: return ETCD_V2_OP_CREATE_IN_ORDER;
    case ETCD_V2_DELETE: return compares ? ETCD_V2_OP_COMPARE_AND_DELETE : ETCD_V2_OP_DELETE;
    case ETCD_V2_PUT:
        if (form->given[PARAM_PREV_EXIST] && !prev_exist) {
            return ETCD_V2_OP_CREATE;
        }
        return compares                        ? ETCD_V2_OP_COMPARE_AND_SWAP
               : form->given[PARAM_PREV_EXIST] ? ETCD_V2_OP_UPDATE
                                               : ETCD_V2_OP_SET;
    }
    ASSERT(false);
    return ETCD_V2_OP_GET;
}

/* In etcd's order (parseKeyRequest): the first fault is told. */
static int take_params(struct form *form, enum etcd_v2_method method,
                       struct etcd_v2_request *request)
{
    bool wait = false;
    bool prev_exist = false;
    int rc =
        take_index(form, PARAM_PREV_INDEX, "invalid value for \"prevIndex\"", &request->prev_index);
    if (rc == 0) {
        rc = take_index(form, PARAM_WAIT_INDEX, "invalid value for \"waitIndex\"",
                        &request->wait_index);
    }
    rc = rc != 0 ? rc : take_flags(form, request, &wait);
    if (rc == 0 && wait && method != ETCD_V2_GET) {
        rc = refuse(form, ETCD_V2_INVALID_FIELD, "\"wait\" can only be used with GET requests");
    }
    request->prev_value = form->values[PARAM_PREV_VALUE];
    if (rc == 0 && form->given[PARAM_PREV_VALUE] && request->prev_value.len == 0) {
        rc = refuse(form, ETCD_V2_PREV_VALUE_REQUIRED, "\"prevValue\" cannot be empty");
    }
    if (rc == 0) {
        rc = take_flag(form, PARAM_NO_VALUE, "invalid value for \"noValueOnSuccess\"",
                       &request->no_value_on_success);
    }
    request->value = form->values[PARAM_VALUE];
    rc = rc != 0 ? rc : take_ttl(form, request);
    if (rc == 0) {
        rc = take_flag(form, PARAM_PREV_EXIST, "invalid value for prevExist", &prev_exist);
    }
    rc = rc != 0 ? rc : take_refresh(form, request);
    if (rc == 0) {
        request->op = op_of(method, form, wait, prev_exist, request);
    }
    return rc;
}

int etcd_v2_request_parse(const struct etcd_v2_raw *raw, struct arena *arena,
                          struct etcd_v2_request *ret_request, struct etcd_v2_fault *ret_fault)
{
    struct form form = {.arena = arena, .fault = ret_fault};
    struct etcd_v2_request request = {0};
    int body_rc = 0;
    *ret_fault = (struct etcd_v2_fault){.error = ETCD_V2_INVALID_FORM};
    int rc = take_key(&form, raw->path, &request.key);
    if (rc != 0) {
        return rc;
    }
    if ((raw->method == ETCD_V2_PUT || raw->method == ETCD_V2_POST) && is_form(raw->content_type)) {
        body_rc = take_pairs(&form, raw->body);
    }
    rc = body_rc != 0 ? body_rc : take_pairs(&form, raw->query);
    rc = rc != 0 ? rc : take_params(&form, raw->method, &request);
    if (rc == 0) {
        *ret_request = request;
    }
    return rc;
}
