/* PURE. One loop instead of recursion: of what is open only the kind is kept, a bit each. */
#include "raft/etcd/etcd_json_scan.h"

#include "base/assert.h"
#include "raft/etcd/etcd_fields.h"
#include "raft/etcd/etcd_text.h"

#include <string.h>

_Static_assert(2 * ETCD_NESTING_MAX + 1 < JSON_INDEX_DEPTH,
               "an object and a list for each message, and what the innermost holds");

struct json_mark {
    uint32_t start; /* of the bracket, in the text */
    uint32_t end;   /* behind the other one */
    uint32_t next;  /* the first mark that is not inside */
};

struct scanner {
    struct span text;
    struct json_index *index;
    size_t open[JSON_INDEX_DEPTH]; /* marks of what is open */
    size_t at;
    const char *eof_text;
    struct error *err;
    size_t depth;
    uint8_t is_object[JSON_DEPTH_MAX / 8 + 1];
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool at_end(const struct scanner *s)
{
    return s->at >= s->text.len;
}

static uint8_t here(const struct scanner *s)
{
    return s->text.data[s->at];
}

static void skip_space(struct scanner *s)
{
    while (!at_end(s) && is_space(here(s))) {
        s->at++;
    }
}

static int fail(struct scanner *s, const char *context)
{
    if (at_end(s)) {
        return error_set(s->err, ERR_INVALID, "%s", s->eof_text);
    }
    struct buf quoted = BUF_INIT;
    go_quote_char(&quoted, here(s));
    int rc = error_set(s->err, ERR_INVALID, "invalid character %s %s", buf_str(&quoted), context);
    buf_free(&quoted);
    return rc;
}

static int scan_escape(struct scanner *s)
{
    s->at++; /* the backslash */
    if (at_end(s) || strchr("bfnrt\\/\"u", here(s)) == NULL || here(s) == '\0') {
        return fail(s, "in string escape code");
    }
    if (here(s) == 'u') {
        for (int i = 0; i < 4; i++) {
            s->at++;
            if (at_end(s) || !is_hex(here(s))) {
                return fail(s, "in \\u hexadecimal character escape");
            }
        }
    }
    s->at++;
    return 0;
}

static int scan_string(struct scanner *s)
{
    s->at++; /* the quote */
    while (!at_end(s) && here(s) != '"') {
        if (here(s) == '\\') {
            int rc = scan_escape(s);
            if (rc != 0) {
                return rc;
            }
        } else if (here(s) < ' ') {
            break;
        } else {
            s->at++;
        }
    }
    if (at_end(s) || here(s) != '"') {
        return fail(s, "in string literal");
    }
    s->at++;
    return 0;
}

static int scan_literal(struct scanner *s, const char *literal)
{
    for (size_t i = 1; literal[i] != '\0'; i++) {
        s->at++;
        if (at_end(s) || here(s) != (uint8_t)literal[i]) {
            char context[48];
            struct buf text = BUF_INIT;
            buf_printf(&text, "in literal %s (expecting '%c')", literal, literal[i]);
            (void)memcpy(context, buf_str(&text), text.len + 1);
            buf_free(&text);
            return fail(s, context);
        }
    }
    s->at++;
    return 0;
}

static int scan_digits(struct scanner *s, const char *context)
{
    if (at_end(s) || !is_digit(here(s))) {
        return fail(s, context);
    }
    while (!at_end(s) && is_digit(here(s))) {
        s->at++;
    }
    return 0;
}

static int scan_number(struct scanner *s)
{
    int rc = 0;
    if (here(s) == '-') {
        s->at++;
    }
    if (!at_end(s) && here(s) == '0') {
        s->at++;
    } else {
        rc = scan_digits(s, "in numeric literal");
    }
    if (rc == 0 && !at_end(s) && here(s) == '.') {
        s->at++;
        rc = scan_digits(s, "after decimal point in numeric literal");
    }
    if (rc == 0 && !at_end(s) && (here(s) == 'e' || here(s) == 'E')) {
        s->at++;
        if (!at_end(s) && (here(s) == '+' || here(s) == '-')) {
            s->at++;
        }
        rc = scan_digits(s, "in exponent of numeric literal");
    }
    return rc;
}

static struct json_mark *marks_of(const struct json_index *index)
{
    return (struct json_mark *)(void *)index->marks.data;
}

static size_t marks_count(const struct json_index *index)
{
    return index->marks.len / sizeof(struct json_mark);
}

static void mark_begin(struct scanner *s)
{
    if (s->index != NULL && s->depth < JSON_INDEX_DEPTH) {
        struct json_mark mark = {.start = (uint32_t)s->at};
        s->open[s->depth] = marks_count(s->index);
        buf_put(&s->index->marks, &mark, sizeof mark);
    }
}

/* Behind the bracket that closes. */
static void pop(struct scanner *s)
{
    s->depth--;
    s->at++;
    if (s->index != NULL && s->depth < JSON_INDEX_DEPTH) {
        struct json_mark *mark = &marks_of(s->index)[s->open[s->depth]];
        mark->end = (uint32_t)s->at;
        mark->next = (uint32_t)marks_count(s->index);
    }
}

static int push(struct scanner *s, bool is_object)
{
    if (s->depth >= JSON_DEPTH_MAX) {
        return fail(s, "exceeded max depth");
    }
    uint8_t bit = (uint8_t)(1U << (s->depth % 8));
    uint8_t *byte = &s->is_object[s->depth / 8];
    *byte = (uint8_t)(is_object ? *byte | bit : *byte & ~bit);
    mark_begin(s);
    s->depth++;
    s->at++;
    skip_space(s);
    return 0;
}

static bool in_object(const struct scanner *s)
{
    return s->depth > 0 && (s->is_object[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1) != 0;
}

/* The name and the colon of a member. */
static int scan_name(struct scanner *s)
{
    if (at_end(s) || here(s) != '"') {
        return fail(s, "looking for beginning of object key string");
    }
    int rc = scan_string(s);
    skip_space(s);
    if (rc == 0 && (at_end(s) || here(s) != ':')) {
        rc = fail(s, "after object key");
    }
    s->at++;
    return rc;
}

static int scan_scalar(struct scanner *s)
{
    uint8_t c = at_end(s) ? 0 : here(s);
    if (c == '"') {
        return scan_string(s);
    }
    if (c == '-' || is_digit(c)) {
        return scan_number(s);
    }
    return c == 't'   ? scan_literal(s, "true")
           : c == 'f' ? scan_literal(s, "false")
           : c == 'n' ? scan_literal(s, "null")
                      : fail(s, "looking for beginning of value");
}

/* Where a value begins. `ret_open`: something was opened, and the next value is inside. */
static int scan_value(struct scanner *s, bool *ret_open)
{
    uint8_t c = 0;
    skip_space(s);
    c = at_end(s) ? 0 : here(s);
    *ret_open = false;
    if (c != '{' && c != '[') {
        return scan_scalar(s);
    }
    int rc = push(s, c == '{');
    if (rc != 0) {
        return rc;
    }
    if (!at_end(s) && here(s) == (c == '{' ? '}' : ']')) {
        pop(s);
        return 0;
    }
    *ret_open = true;
    return c == '{' ? scan_name(s) : 0;
}

/* Where a value has ended: closes what ends with it. `ret_more`: another value follows. */
static int scan_after(struct scanner *s, bool *ret_more)
{
    *ret_more = false;
    while (s->depth > 0) {
        bool is_object = in_object(s);
        skip_space(s);
        if (!at_end(s) && here(s) == ',') {
            s->at++;
            skip_space(s);
            *ret_more = true;
            return is_object ? scan_name(s) : 0;
        }
        if (at_end(s) || here(s) != (is_object ? '}' : ']')) {
            return fail(s, is_object ? "after object key:value pair" : "after array element");
        }
        pop(s);
    }
    return 0;
}

int json_scan(struct span text, bool alone, const char *eof_text, struct span *ret_value,
              struct json_index *ret_index, struct error *err)
{
    struct scanner s = {.text = text, .index = ret_index, .eof_text = eof_text, .err = err};
    bool more = true;
    if (ret_index != NULL) {
        ASSERT(text.len <= UINT32_MAX);
        ret_index->text = text.data;
    }
    skip_space(&s);
    size_t start = s.at;
    if (at_end(&s)) {
        *ret_value = span_of(NULL, 0);
        return 0;
    }
    while (more) {
        bool is_open = false;
        int rc = scan_value(&s, &is_open);
        if (rc == 0 && !is_open) {
            rc = scan_after(&s, &more);
        }
        if (rc != 0) {
            return rc;
        }
    }
    *ret_value = span_of(text.data + start, s.at - start);
    if (ret_index != NULL) {
        ret_index->work += s.at;
    }
    skip_space(&s);
    return alone && !at_end(&s) ? fail(&s, "after top-level value") : 0;
}

const char *json_kind(struct span value)
{
    switch (value.data[0]) {
    case '{': return "object";
    case '[': return "array";
    case '"': return "string";
    case 't':
    case 'f': return "bool";
    case 'n': return "null";
    default: return "number";
    }
}

/* --- through a sound text --------------------------------------------------------------------- */

/* The first quote that an even number of backslashes stands before. */
static size_t string_len(struct span text)
{
    const uint8_t *at = text.data;
    size_t backslashes = 1;
    while (backslashes % 2 != 0) {
        at++;
        at = memchr(at, '"', text.len - (size_t)(at - text.data));
        backslashes = 0;
        while (at[-1 - (ptrdiff_t)backslashes] == '\\') {
            backslashes++;
        }
    }
    return (size_t)(at - text.data) + 1;
}

static size_t scalar_len(struct span text)
{
    size_t i = 0;
    if (text.data[0] == '"') {
        return string_len(text);
    }
    while (i < text.len && !is_space(text.data[i]) && strchr(",]}", text.data[i]) == NULL) {
        i++;
    }
    return i;
}

static struct span skip(struct span rest, size_t len)
{
    rest = span_of(rest.data + len, rest.len - len);
    while (rest.len > 0 && is_space(rest.data[0])) {
        rest = span_of(rest.data + 1, rest.len - 1);
    }
    return rest;
}

void json_index_free(struct json_index *index)
{
    buf_free(&index->marks);
}

/* The mark of what begins at `start`; there is one. */
static size_t mark_at(const struct json_index *index, size_t start)
{
    const struct json_mark *marks = marks_of(index);
    size_t low = 0;
    size_t high = marks_count(index);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (marks[middle].start <= start) {
            low = middle;
        } else {
            high = middle;
        }
    }
    ASSERT(low < high && marks[low].start == start);
    return low;
}

struct json_iterator json_iterate(struct json_index *index, struct span value)
{
    ASSERT(value.len >= 2 && (value.data[0] == '{' || value.data[0] == '['));
    return (struct json_iterator){
        .rest = skip(value, 1),
        .index = index,
        .mark = mark_at(index, (size_t)(value.data - index->text)) + 1,
    };
}

static size_t value_len(struct json_iterator *iterator, struct span rest)
{
    if (rest.data[0] != '{' && rest.data[0] != '[') {
        size_t len = scalar_len(rest);
        iterator->index->work += len;
        return len;
    }
    const struct json_mark *mark = &marks_of(iterator->index)[iterator->mark];
    ASSERT(iterator->mark < marks_count(iterator->index) &&
           mark->start == (size_t)(rest.data - iterator->index->text));
    iterator->mark = mark->next;
    iterator->index->work++;
    return mark->end - mark->start;
}

bool json_next(struct json_iterator *iterator, struct span *ret_name, struct span *ret_value)
{
    struct span rest = iterator->rest;
    if (rest.data[0] == '}' || rest.data[0] == ']') {
        return false;
    }
    if (ret_name != NULL) {
        size_t len = string_len(rest);
        *ret_name = span_of(rest.data + 1, len - 2);
        iterator->index->work += len;
        rest = skip(skip(rest, len), 1); /* the colon */
    }
    size_t len = value_len(iterator, rest);
    *ret_value = span_of(rest.data, len);
    rest = skip(rest, len);
    iterator->rest = rest.data[0] == ',' ? skip(rest, 1) : rest;
    iterator->index->work += (size_t)(iterator->rest.data - rest.data);
    return true;
}

/* --- strings ---------------------------------------------------------------------------------- */

static uint32_t hex_value(const uint8_t *four)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = four[i];
        uint32_t digit = is_digit(c) ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10);
        value = value << 4 | digit;
    }
    return value;
}

/* "\uXXXX", two of them for a surrogate pair; returns the bytes used. */
static size_t put_unicode(struct span text, struct buf *out)
{
    enum { REPLACEMENT = 0xfffd, ONE = 6, PAIR = 12 };
    uint32_t first = hex_value(text.data + 2);
    if (first < 0xd800 || first > 0xdfff) {
        utf8_put(out, first);
        return ONE;
    }
    if (first < 0xdc00 && text.len >= PAIR && text.data[ONE] == '\\' && text.data[ONE + 1] == 'u') {
        uint32_t second = hex_value(text.data + ONE + 2);
        if (second >= 0xdc00 && second <= 0xdfff) {
            utf8_put(out, 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            return PAIR;
        }
    }
    utf8_put(out, REPLACEMENT);
    return ONE;
}

static size_t put_escape(struct span text, struct buf *out)
{
    static const char from[] = "bfnrt";
    static const char to[] = "\b\f\n\r\t";
    uint8_t c = text.data[1];
    if (c == 'u') {
        return put_unicode(text, out);
    }
    const char *found = strchr(from, c);
    buf_put_u8(out, found != NULL ? (uint8_t)to[found - from] : c);
    return 2;
}

void json_unescape(struct span inside, struct buf *out)
{
    while (inside.len > 0) {
        size_t used;
        if (inside.data[0] == '\\') {
            used = put_escape(inside, out);
        } else {
            used = utf8_len(inside);
            if (used == 0) {
                utf8_put(out, 0xfffd);
                used = 1;
            } else {
                buf_put(out, inside.data, used);
            }
        }
        inside = span_of(inside.data + used, inside.len - used);
    }
}
