/* POST /reinitialize: answered when it has begun; how far it is the member's state tells. */
#include "agent/api/api_private.h"

#include "agent/config/dynamic.h"

#include <stdio.h>
#include <string.h>

bool api_reinit_read(struct http1_exchange *exchange, json_t *body, bool *ret_force,
                     bool *ret_from_leader)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(body, key, value)
    {
        bool *target = strcmp(key, "force") == 0         ? ret_force
                       : strcmp(key, "from_leader") == 0 ? ret_from_leader
                                                         : NULL;
        if (target == NULL) { /* a misspelled from_leader must not copy from somebody else */
            api_reply_text(exchange, 400, "unknown key: %.100s; force and from_leader are known",
                           key);
            return false;
        }
        if (!dynamic_bool(value, target)) {
            api_reply_text(exchange, 400, "%s is no truth value: give true or false", key);
            return false;
        }
    }
    return true;
}

void api_reinit_post(struct api_server *server, struct http1_exchange *exchange,
                     const struct http1_request *request)
{
    bool force = false;
    bool from_leader = false;
    struct error err = {0};
    bool empty = !request->has_length || request->body.len == 0;
    json_t *body = empty ? json_object() : api_body_or_empty(exchange, request);

    if (body != NULL && api_reinit_read(exchange, body, &force, &from_leader)) {
        int rc = server->ports.reinitialize(server->ports.arg, force, from_leader, &err);
        api_reply_text(exchange, rc == 0 ? 200 : 503, "%s",
                       rc == 0 ? "reinitialize started" : err.text);
    }
    json_decref(body);
}
