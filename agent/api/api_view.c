/* Requests that judge on what the store says, before this agent has read it: nobody leads in such a
 * picture, and a switchover that its author has just read off `list` would be refused for it. They
 * wait for the first view, which comes within moments, and are then handled as if they had come
 * just now; after API_VIEW_WAIT_MS they are told that the store has not been read.
 *
 * Health checks and documents never wait: they say what is known. */
#include "agent/api/api_private.h"

#include "base/mem.h"

static bool has_view(const struct api_server *server)
{
    return server->status != NULL && server->status->initialized;
}

bool api_view_wait(struct api_server *server, struct http1_exchange *exchange,
                   const struct http1_request *request, api_handler handler)
{
    if (has_view(server)) {
        return false;
    }
    if (server->unviewed_count >= API_WAITING_MAX) {
        api_reply_text(exchange, 503,
                       "the store has not been read yet, and %d requests wait for it already",
                       API_WAITING_MAX);
        return true;
    }
    struct api_unviewed *unviewed = mem_new(struct api_unviewed);
    *unviewed = (struct api_unviewed){.exchange = exchange,
                                      .request = request,
                                      .handler = handler,
                                      .deadline_mono_ms =
                                          clock_mono_ms(server->ports.clock) + API_VIEW_WAIT_MS};
    list_append(&server->unviewed, &unviewed->link);
    server->unviewed_count++;
    return true;
}

/* Taken out before the reply: after the last one the server may be gone. */
static struct api_unviewed take(struct api_server *server, struct api_unviewed *unviewed)
{
    struct api_unviewed taken = *unviewed;
    list_remove(&unviewed->link);
    server->unviewed_count--;
    mem_free(unviewed);
    return taken;
}

void api_view_look(struct api_server *server)
{
    int64_t now_ms = clock_mono_ms(server->ports.clock);
    bool viewed = has_view(server);
    LIST_EACH(item, &server->unviewed)
    {
        struct api_unviewed *unviewed = LIST_OWNER(item, struct api_unviewed, link);
        if (viewed) {
            struct api_unviewed taken = take(server, unviewed);
            taken.handler(server, taken.exchange, taken.request);
        } else if (now_ms >= unviewed->deadline_mono_ms) {
            api_reply_text(take(server, unviewed).exchange, 503,
                           "this agent has not read the store since it started: nothing was "
                           "changed, try again");
        }
    }
}

void api_view_drop(struct api_server *server)
{
    LIST_EACH(item, &server->unviewed)
    {
        struct api_unviewed *unviewed = LIST_OWNER(item, struct api_unviewed, link);
        api_reply_text(take(server, unviewed).exchange, 503,
                       "the agent is stopping: nothing was changed");
    }
}
