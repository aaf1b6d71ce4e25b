/* TLS on a server's own listener: a connection is a stream like any other from its first byte on,
 * so that one which does not get through its handshake is bounded as one that sends no head is. */
#include "base/net/http1_impl.h"

#include "base/mem.h"

enum { WRITE_QUEUE_BYTES = 4 * HTTP1_BODY_BYTES_MAX };

void http1_server_set_tls(struct http1_server *server, struct tls_context *context)
{
    struct tls_context *old = server->tls;
    server->tls = context == NULL ? NULL : tls_context_hold(context);
    tls_context_free(old);
}

void http1_server_set_refused(struct http1_server *server,
                              void (*on_refused)(void *arg, const struct error *err), void *arg)
{
    server->on_refused = on_refused;
    server->refused_arg = arg;
}

void http1_server_set_head(struct http1_server *server, const char *name, const char *headers)
{
    mem_free(server->name);
    mem_free(server->headers);
    server->name = mem_strdup(name);
    server->headers = mem_strdup(headers);
}

struct stream *http1_secure(struct http1_server *server, struct stream *stream)
{
    static const char plain[] = "HTTP/1.0 400 Bad Request\r\n\r\n"
                                "plain HTTP was sent to a port of HTTPS: use https\n";
    struct tls_options options = {.loop = server->loop,
                                  .context = server->tls,
                                  .is_server = true,
                                  .handshake_ms = HTTP1_HEAD_MS,
                                  .write_queue_bytes_max = WRITE_QUEUE_BYTES,
                                  .plain_answer = span_str(plain)};
    return server->tls == NULL ? stream : tls_stream_new(stream, &options);
}

/* A peer that only goes away, or says nothing, is no news: scanners and health checks of TCP do. */
void http1_note_refused(const struct http1_exchange *x, int rc, const struct error *err)
{
    bool is_news = rc == ERR_PERMISSION || rc == ERR_UNSUPPORTED || rc == ERR_REFUSED;
    bool is_first = x->state == STATE_HEAD && x->in.len == 0;
    if (is_news && is_first && x->server->on_refused != NULL) {
        x->server->on_refused(x->server->refused_arg, err);
    }
}

void http1_secure_free(struct http1_server *server)
{
    tls_context_free(server->tls);
    mem_free(server->name);
    mem_free(server->headers);
}
