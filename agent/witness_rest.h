/* What a witness answers on restapi.listen. */
#ifndef AGENT_WITNESS_REST_H
#define AGENT_WITNESS_REST_H

#include "agent/config/config.h"

struct raft_group;
struct uv_loop_s;
struct witness_rest;

/* The group comes and goes (`group` is where its owner keeps it). Without the section *ret_rest is
 * NULL, which the stop takes. */
int witness_rest_start(struct uv_loop_s *loop, const struct config *config,
                       struct raft_group **group, struct witness_rest **ret_rest,
                       struct error *err) MUST_CHECK;
/* SIGHUP: its certificates are read again, if it has some. NULL is accepted. */
void witness_rest_reload(struct witness_rest *rest);
/* `stopped` comes at once where there is none. */
void witness_rest_stop(struct witness_rest *rest, void (*stopped)(void *arg), void *arg);

#endif
