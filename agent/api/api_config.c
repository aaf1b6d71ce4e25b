/* PATCH and PUT /config: validated whole before anything is written, compared with the revision
 * that was read. */
#include "agent/api/api_private.h"

#include "base/mem.h"

#include <stdlib.h>

struct config_write {
    struct api_server *server;
    struct http1_exchange *exchange;
    bool replace;
    json_t *merged;
};

static void reply_document(struct http1_exchange *exchange, const json_t *document)
{
    char *text = json_dumps(document, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
    api_reply_json_text(exchange, 200, text == NULL ? "{}" : text);
    mem_free(text);
}

/* The document is at fault, or the store is not there. */
static int refusal_code(int rc, bool replace)
{
    bool bad_document = rc == ERR_INVALID || rc == ERR_UNSUPPORTED || rc == ERR_LIMIT;
    return bad_document ? 400 : replace ? 502 : 503;
}

static void on_written(void *ctx, int rc, int64_t revision, const struct error *err)
{
    struct config_write *write = ctx;
    (void)revision;
    api_write_end(write->server);
    if (rc == 0) {
        reply_document(write->exchange, write->merged);
    } else if (rc == ERR_CONFLICT) {
        api_reply_error(write->exchange, 409,
                        "somebody else has changed the configuration: read it again and repeat");
    } else {
        api_reply_error(write->exchange,
                        rc == ERR_INVALID ? 400
                        : write->replace  ? 502
                                          : 503,
                        err == NULL || err->text[0] == '\0' ? err_name(rc) : err->text);
    }
    json_decref(write->merged);
    mem_free(write);
}

static void change(struct api_server *server, struct http1_exchange *exchange,
                   const struct http1_request *request, bool replace)
{
    struct config_write *write;
    bool unchanged = false;
    struct error err = {0};

    if (request->body.len > API_CONFIG_BYTES_MAX) {
        api_reply_error(exchange, 413, "a configuration has 128 KiB at most");
        return;
    }
    json_t *body = api_body(exchange, request);
    if (body == NULL) {
        return;
    }
    if (!api_write_begin(server, exchange)) {
        json_decref(body);
        return;
    }
    write = mem_new(struct config_write);
    write->server = server;
    write->exchange = exchange;
    write->replace = replace;
    int rc = server->ports.change_config(server->ports.arg, body, replace, on_written, write,
                                         &write->merged, &unchanged, &err);
    json_decref(body);
    if (rc == 0 && !unchanged) {
        return;
    }
    api_write_end(server);
    if (rc == 0) {
        reply_document(exchange, write->merged);
    } else {
        api_reply_error(exchange, refusal_code(rc, replace), err.text);
    }
    json_decref(write->merged);
    mem_free(write);
}

void api_config_patch(struct api_server *server, struct http1_exchange *exchange,
                      const struct http1_request *request)
{
    change(server, exchange, request, false);
}

void api_config_put(struct api_server *server, struct http1_exchange *exchange,
                    const struct http1_request *request)
{
    change(server, exchange, request, true);
}
