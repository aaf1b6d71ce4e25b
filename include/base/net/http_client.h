/* A HTTP client for the loop: http and https, HTTP/1.1, connections kept alive and used again.
 *
 * It is libcurl's multi interface behind a contract of our own. Nothing blocks: sockets are watched
 * by the loop, names are looked up on threads of libcurl (a lookup that hangs keeps its thread, not
 * the exchange). Redirects are not followed, answers are not decompressed, and neither the proxies
 * of the environment nor a netrc file are looked at.
 *
 * Callbacks: on_done exactly once for every http_client_send that succeeded, never inside the call
 * that asked; nothing of an exchange comes after its on_done. From inside any callback it is legal
 * to send, to cancel, and to free the client. All on the loop's thread.
 *
 * What is certain when no answer came:
 *   ERR_UNAVAILABLE  nothing of the request was sent: the name was not found, the connection
 *                    refused or not made in time, TLS not agreed on, its files not read
 *   ERR_UNKNOWN      it may have been sent, and no complete answer came: timed out, reset, cut
 *                    short, not HTTP. So is a client certificate that the server wants or does not
 *                    like: with TLS 1.3 it says so only when the request is under way
 *   ERR_LIMIT        it was sent, and the answer is larger than allowed
 *   ERR_CANCELED     see `sent` in the response
 * An answer that has neither length nor chunks ends with its connection, and nobody can tell it
 * from one cut short: rc is 0, what is in it has to show.
 *
 * Sending twice: when a connection that is used again ends before the first byte of an answer,
 * libcurl silently sends the same request on another one (Curl_retry_request), although the server
 * may have carried it out. Here it does so only with `repeatable`; otherwise that is ERR_UNKNOWN.
 * A connection that is known to be closed before the request goes out is replaced either way. */
#ifndef BASE_NET_HTTP_CLIENT_H
#define BASE_NET_HTTP_CLIENT_H

#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define HTTP_CLIENT_EXCHANGES_MAX    256 /* of one client at a time */
#define HTTP_CLIENT_URL_BYTES_MAX    8192
#define HTTP_CLIENT_HEADERS_MAX      32
#define HTTP_CLIENT_HEADER_BYTES_MAX 8192 /* of a request, each */
#define HTTP_CLIENT_BODY_BYTES_MAX   (16 * 1024 * 1024)
#define HTTP_CLIENT_HEAD_BYTES_MAX   (32 * 1024) /* of an answer: all its heads and trailers */
#define HTTP_CLIENT_RESPONSE_BYTES   (4 * 1024 * 1024) /* default limit of an answer's body */
#define HTTP_CLIENT_IDLE_CONNECTIONS 8                 /* default; the oldest gives way */
#define HTTP_CLIENT_CONNECT_MS       5000              /* default; lookup and TLS included */
#define HTTP_CLIENT_KEEPALIVE_IDLE_S 10                /* default */
#define HTTP_CLIENT_LOOKUP_CACHE_S   60 /* a name that was found is not asked for again */
#define HTTP_CLIENT_TLS_CA_CACHE_S   5  /* nor is tls_ca read; certificate and key always are */

/* Zeroed is a good configuration. Texts are copied. The files are read when a connection is made.
 */
struct http_client_config {
    const char *tls_ca;           /* PEM; NULL = the system's. With it, no other CA is trusted */
    const char *tls_cert;         /* of ours, PEM; NULL = none */
    const char *tls_key;          /* PEM; NULL = it is in tls_cert */
    const char *tls_key_password; /* NULL = it is not locked */
    bool tls_no_verify;           /* believe any certificate with any name */
    bool tls_any_name;            /* of a certificate that is verified */
    const char *user_agent;       /* NULL = none is sent */
    unsigned idle_connections_max;
    unsigned keepalive_idle_s; /* then 3 probes, 3 s apart */
    unsigned user_timeout_ms;  /* unacknowledged bytes may be this old; 0 = the kernel's */
    int64_t connect_timeout_ms;
    size_t response_bytes_max;
};

struct http_client;
struct http_client_exchange; /* one request that waits for its answer; valid until its on_done is
                                called */

struct http_client_response {
    int status;       /* 0 = no head came; 1xx are passed over */
    bool sent;        /* the request may have reached the server; false = certainly not */
    struct span body; /* empty with on_data, and when rc is not 0 */
    void *headers;    /* for http_client_header */
};

/* Valid, as everything it points to, until it returns. `response` is there whatever rc says. */
typedef void (*http_client_done)(void *arg, int rc, const struct http_client_response *response,
                                 const struct error *err);

struct http_client_request {
    const char *method;         /* NULL = GET */
    const char *url;            /* http or https, with a host and without user; sent as it is */
    const char *const *headers; /* "Name: value" each, ends with NULL; may be NULL. Not those that
                                 * frame a message: Content-Length, Transfer-Encoding, Expect,
                                 * Connection */
    struct span body;           /* copied; any method but HEAD may have one */
    const char *user;           /* basic authentication, sent unasked; NULL = none */
    const char *password;
    int64_t timeout_ms;         /* for everything; 0 = none (streams: the caller cancels) */
    int64_t connect_timeout_ms; /* 0 = the client's */
    size_t response_bytes_max;  /* 0 = the client's; with on_data none */
    bool repeatable;            /* sending it twice does no harm (a read): see above */
    /* The body of the answer in pieces as they come (at most 16 KiB, not empty, split anywhere)
     * instead of in one at the end. Not after a cancel. May be NULL. */
    void (*on_data)(void *arg, int status, struct span piece);
    http_client_done on_done;
    void *arg;
};

/* ERR_INVALID: a key without its certificate; ERR_NOMEM. */
int http_client_new(uv_loop_t *loop, const struct http_client_config *config,
                    struct http_client **ret_client, struct error *err) MUST_CHECK;
/* Whatever is under way ends with ERR_CANCELED, then everything is closed, then comes `done` (may
 * be NULL): the loop holds nothing of the client any more. Once. */
void http_client_free(struct http_client *client, void (*done)(void *arg), void *arg);

/* Everything is copied; `ret_exchange` may be NULL. ERR_INVALID: the request breaks a rule above;
 * ERR_LIMIT: too much of something named above; ERR_CLOSED: the client is being freed; ERR_NOMEM.
 * Texts of errors name host and port, never what is secret (user, password, headers, path). */
int http_client_send(struct http_client *client, const struct http_client_request *request,
                     struct http_client_exchange **ret_exchange, struct error *err) MUST_CHECK;
/* on_done then comes with ERR_CANCELED; the connection is closed if the answer was not complete.
 * A second cancel does nothing. */
void http_client_cancel(struct http_client_exchange *exchange);

/* Value of a header of the (last) answer, the first if there are several; NULL = it has none. */
const char *http_client_header(const struct http_client_response *response, const char *name);

#endif
