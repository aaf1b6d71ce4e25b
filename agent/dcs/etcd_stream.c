/* Streamed answers: the pieces go through a splitter that gives whole JSON objects. A stream that
 * is no JSON, or ends, is its owner's to start again. */
#include "agent/dcs/etcd_client_impl.h"

#include "base/mem.h"

static void on_data(void *arg, int status, struct span piece)
{
    struct etcd_stream *stream = arg;
    bool bad = false;
    (void)status; /* an answer that is no stream is one object that says so */
    etcd3_splitter_feed(&stream->splitter, piece);
    while (stream->exchange != NULL) {
        json_t *object = etcd3_splitter_next(&stream->splitter, &bad);
        if (object == NULL) {
            break;
        }
        stream->on_object(stream->arg, object);
        json_decref(object);
    }
    if (bad) {
        etcd_stream_cancel(stream);
    }
}

static void on_done(void *arg, int rc, const struct http_client_response *response,
                    const struct error *err)
{
    struct etcd_stream *stream = arg;
    struct error own = *err;

    (void)response;
    if (rc == 0) {
        rc = error_set(&own, ERR_CLOSED, "etcd ended the stream");
    }
    list_remove(&stream->in_client);
    stream->on_end(stream->arg, rc, &own);
    etcd3_splitter_free(&stream->splitter);
    mem_free(stream);
}

int etcd_client_stream(struct etcd_client *client, const struct etcd_call *call,
                       etcd_on_object on_object, etcd_on_end on_end, void *arg,
                       struct etcd_stream **ret_stream, struct error *err)
{
    bool v2 = client->dialect == ETCD_V2;
    const char *headers[3];
    char *token = NULL;

    if (client->closing || !etcd_setup_done(client)) {
        return error_set(err, ERR_UNAVAILABLE, "etcd: not reached yet");
    }
    struct etcd_stream *stream = mem_new(struct etcd_stream);
    char *url = mem_printf("%s%s%s", etcd_hosts_current(&client->hosts), v2 ? "" : client->prefix,
                           call->path);
    *stream = (struct etcd_stream){
        .client = client, .on_object = on_object, .on_end = on_end, .arg = arg};
    etcd_client_headers(client, headers, &token);
    struct http_client_request request = {.method = call->method == NULL ? "POST" : call->method,
                                          .url = url,
                                          .headers = headers,
                                          .body = call->body,
                                          .user = v2 ? client->username : NULL,
                                          .password = v2 ? client->password : NULL,
                                          .timeout_ms = call->timeout_ms,
                                          .connect_timeout_ms = ETCD_SETUP_MS,
                                          .on_data = on_data,
                                          .on_done = on_done,
                                          .arg = stream};
    int rc = http_client_send(client->http, &request, &stream->exchange, err);
    mem_free(url);
    mem_free(token);
    if (rc != 0) {
        mem_free(stream);
        return rc;
    }
    list_append(&client->streams, &stream->in_client);
    *ret_stream = stream;
    return 0;
}

void etcd_stream_cancel(struct etcd_stream *stream)
{
    if (stream->exchange != NULL) {
        http_client_cancel(stream->exchange);
        stream->exchange = NULL;
    }
}

void etcd_streams_end(struct etcd_client *client)
{
    LIST_EACH(item, &client->streams)
    {
        etcd_stream_cancel(LIST_OWNER(item, struct etcd_stream, in_client));
    }
}
