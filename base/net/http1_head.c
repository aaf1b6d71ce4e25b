/* The head of a request. It is there whole and bounded when it comes here, is looked over for what
 * the parser lets pass, and only then parsed. Path and query are terminated where they stand. */
#include "base/mem.h"
#include "base/net/http1_impl.h"

#include <http_parser.h>
#include <string.h>

/* Notes where the url stands; it comes in one piece, since the head is there whole. */
static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct http1_exchange *x = parser->data;
    size_t max = x->server->limits.url_bytes_max;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)at[i] <= ' ' || at[i] == 0x7f) {
            return 1; /* Debian's parser lets tab and form feed pass */
        }
    }
    x->url_at = (size_t)((const uint8_t *)at - x->in.data);
    x->url_len = len;
    x->url_too_long = len > max;
    return x->url_too_long;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct http1_exchange *x = parser->data;
    if (x->field_done) {
        x->field_len = 0;
        x->field_done = false;
    }
    for (size_t i = 0; i < len; i++) {
        if (at[i] == ' ' || at[i] == '\t') {
            return 1; /* a space before the colon: proxies read it differently */
        }
        if (x->field_len < sizeof x->field - 1) {
            x->field[x->field_len++] = at[i];
        }
    }
    x->field[x->field_len] = '\0';
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct http1_exchange *x = parser->data;
    (void)at;
    (void)len;
    if (!x->field_done) {
        x->field_done = true;
        x->host_count += strcasecmp(x->field, "host") == 0;
        x->length_count += strcasecmp(x->field, "content-length") == 0;
        x->encoding_count += strcasecmp(x->field, "transfer-encoding") == 0;
        x->expect_count += strcasecmp(x->field, "expect") == 0;
    }
    return 0;
}

static int on_head_done(http_parser *parser)
{
    (void)parser;
    return 1; /* the body, if any, is taken by its length or its chunks, not by the parser */
}

static enum http1_method method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET: return HTTP1_GET;
    case HTTP_HEAD: return HTTP1_HEAD;
    case HTTP_OPTIONS: return HTTP1_OPTIONS;
    case HTTP_POST: return HTTP1_POST;
    case HTTP_PUT: return HTTP1_PUT;
    case HTTP_PATCH: return HTTP1_PATCH;
    case HTTP_DELETE: return HTTP1_DELETE;
    default: return HTTP1_OTHER;
    }
}

/* No zero byte, no folded line, and lines end in CR LF alone: the parser takes LF for it, so that
 * it would see the end of a head, and another request, in the middle of what we take for one. */
static bool head_is_plain(const struct buf *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = in->data[i];
        uint8_t next = i + 1 < len ? in->data[i + 1] : 0;
        bool bare =
            (c == '\r' && next != '\n') || (c == '\n' && (i == 0 || in->data[i - 1] != '\r'));
        bool fold = c == '\n' && (next == ' ' || next == '\t');
        if (c == 0 || bare || fold) {
            return false;
        }
    }
    return true;
}

static void split_url(struct http1_exchange *x)
{
    static const char scheme[] = "http://";
    char *url = (char *)x->in.data + x->url_at;
    char *path = url;
    url[x->url_len] = '\0';                               /* over the space behind it */
    if (strncasecmp(path, scheme, strlen(scheme)) == 0) { /* as one writes to a proxy */
        path += strlen(scheme);
        path += strcspn(path, "/?");
    }
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    } else {
        query = url + x->url_len;
    }
    x->path_at = (size_t)(path - (char *)x->in.data);
    x->query_at = (size_t)(query - (char *)x->in.data);
}

/* By how its end is told: a length, chunks, or there is none. 0, or a status. */
static int check_body(struct http1_exchange *x, uint64_t length, const char **ret_why)
{
    bool has_length = x->length_count > 0 && length != UINT64_MAX;
    x->chunked = x->encoding_count > 0;
    if (x->length_count > 1 || x->encoding_count > 1 || (x->length_count > 0 && x->chunked) ||
        (x->chunked && x->minor == 0)) {
        *ret_why = "the length of the body is ambiguous\n";
        return 400;
    }
    if (x->chunked && !x->server->limits.chunked) {
        *ret_why = "a body needs Content-Length\n";
        return 411;
    }
    struct span encoding = http1_request_header(x, "transfer-encoding");
    if (x->chunked &&
        (encoding.len != 7 || strncasecmp((const char *)encoding.data, "chunked", 7) != 0)) {
        *ret_why = "no transfer encoding but chunked is known\n";
        return 501;
    }
    if (has_length && length > x->server->limits.body_bytes_max) {
        *ret_why = "body too large\n";
        return 413;
    }
    x->body_len = has_length ? (size_t)length : 0;
    x->request.has_length = has_length || x->chunked;
    return 0;
}

/* What it waits for before it sends its body. HTTP/1.0 knows nothing of it. */
static int check_expectation(struct http1_exchange *x, const char **ret_why)
{
    static const char known[] = "100-continue";
    struct span value = http1_request_header(x, "expect");
    x->expects_continue = false;
    if (x->expect_count == 0 || x->minor == 0) {
        return 0;
    }
    if (x->expect_count > 1 || value.len != strlen(known) ||
        strncasecmp((const char *)value.data, known, strlen(known)) != 0) {
        *ret_why = "no expectation but 100-continue is known\n";
        return 417;
    }
    x->expects_continue = x->chunked || x->body_len > 0;
    return 0;
}

static void forget(struct http1_exchange *x)
{
    x->url_len = 0;
    x->url_too_long = x->field_done = x->chunked = x->expects_continue = false;
    x->field_len = 0;
    x->host_count = x->length_count = x->encoding_count = x->expect_count = 0;
    x->chunks = (struct http1_chunks){0};
    x->minor = 1;
    x->keep_alive = false;
}

int http1_head_parse(struct http1_exchange *x, const char **ret_why)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_head_done};
    http_parser parser;

    forget(x);
    if (!head_is_plain(&x->in, x->head_len)) {
        *ret_why = "malformed head\n";
        return 400;
    }
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = x;
    size_t used = http_parser_execute(&parser, &settings, (const char *)x->in.data, x->head_len);
    enum http_errno rc = HTTP_PARSER_ERRNO(&parser);
    if ((rc != HPE_OK && rc != HPE_CB_message_complete) || used + 1 < x->head_len ||
        parser.method == HTTP_CONNECT || parser.http_major != 1 || parser.http_minor > 1) {
        *ret_why = "malformed request\n";
        return x->url_too_long ? 414 : 400;
    }
    x->minor = parser.http_minor;
    if ((x->minor == 1 && x->host_count == 0) || x->host_count > 1) {
        *ret_why = "Host is missing or ambiguous\n";
        return 400;
    }
    int status = check_body(x, parser.content_length, ret_why);
    status = status != 0 ? status : check_expectation(x, ret_why);
    if (status == 0) {
        x->keep_alive = x->minor == 1 && http_should_keep_alive(&parser) != 0;
        x->request.method = method_of(parser.method);
        split_url(x);
    }
    return status;
}

size_t http1_head_end(const struct http1_exchange *x)
{
    const struct buf *in = &x->in;
    const char *end = in->len == 0 ? NULL : memmem(in->data, in->len, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - (const char *)in->data) + 4;
}

void http1_head_point(struct http1_exchange *x)
{
    const char *in = (const char *)x->in.data;
    x->request.path = in[x->path_at] == '\0' ? "/" : in + x->path_at;
    x->request.query = in + x->query_at;
    x->request.body = span_of(x->in.data + x->head_len, x->body_len);
}

struct span http1_request_header(const struct http1_exchange *x, const char *name)
{
    const char *at = (const char *)x->in.data;
    const char *end = at + x->head_len;
    size_t len = strlen(name);
    while (at < end) {
        const char *line = at;
        const char *line_end = memchr(line, '\r', (size_t)(end - line)); /* the head is plain */
        at = line_end + 2;
        if ((size_t)(line_end - line) > len && line[len] == ':' &&
            strncasecmp(line, name, len) == 0) {
            line += len + 1;
            while (line < line_end && (*line == ' ' || *line == '\t')) {
                line++;
            }
            while (line_end > line && (line_end[-1] == ' ' || line_end[-1] == '\t')) {
                line_end--;
            }
            return span_of(line, (size_t)(line_end - line));
        }
    }
    return span_of(NULL, 0);
}
