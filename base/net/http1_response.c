/* The status line and the headers of an answer. */
#include "base/net/http1_impl.h"

#include <string.h>
#include <time.h>

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 301: return "Moved Permanently";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Payload Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Error";
    }
}

void http1_date(char ret_text[static HTTP1_DATE_BYTES])
{
    /* Made once a second: many answers say the same one. */
    static _Thread_local char text[HTTP1_DATE_BYTES];
    static _Thread_local time_t made_at;
    time_t now = time(NULL);
    if (now != made_at) {
        struct tm utc;
        (void)gmtime_r(&now, &utc);
        (void)strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        made_at = now;
    }
    memcpy(ret_text, text, sizeof text);
}

void http1_put_head(struct http1_exchange *x, const struct http1_response *response, bool chunked)
{
    struct buf *out = &x->server->out;

    buf_clear(out);
    buf_printf(out, "HTTP/1.%u %d %s\r\n", x->minor, response->status, reason_of(response->status));
    if (response->content_type == NULL) {
        if (x->minor == 1) {
            buf_put_str(out, "Content-Length: 0\r\n");
        }
    } else {
        char date[HTTP1_DATE_BYTES];
        http1_date(date);
        buf_printf(out, "Server: %s\r\nDate: %s\r\nContent-Type: %s\r\n",
                   x->server->name != NULL ? x->server->name : "pgquorum", date,
                   response->content_type);
        if (!chunked) {
            buf_printf(out, "Content-Length: %zu\r\n", response->body.len);
        } else if (x->minor == 1) {
            buf_put_str(out, "Transfer-Encoding: chunked\r\n");
        }
    }
    if (response->headers != NULL) {
        buf_put_str(out, response->headers);
    }
    if (response->content_type != NULL && !response->plain_head && x->server->headers != NULL) {
        buf_put_str(out, x->server->headers);
    }
    if (x->minor == 1 && !x->keep_alive) {
        buf_put_str(out, "Connection: close\r\n");
    }
    buf_put_str(out, "\r\n");
}
