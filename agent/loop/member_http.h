/* The way to other members' REST interfaces, as `ctl` has it: one client for each kind of question,
 * made anew when the file was read anew. */
#ifndef AGENT_LOOP_MEMBER_HTTP_H
#define AGENT_LOOP_MEMBER_HTTP_H

#include "base/err.h"
#include "base/net/http_client.h"

struct agent;
struct config_memory;

/* Zeroed at first. */
struct member_http {
    struct http_client *client;     /* NULL until it is wanted */
    const struct config_memory *of; /* the configuration that it was made for */
};

/* `idle`: nothing is under way, so that a client of another configuration can go. *ret_client is
 * the way's. */
int member_http_client(struct member_http *way, struct agent *agent, bool idle,
                       struct http_client **ret_client, struct error *err) MUST_CHECK;
/* Name and password, for what changes something. */
void member_http_sign(const struct agent *agent, struct http_client_request *request);

#endif
