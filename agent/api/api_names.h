/* Addresses of hosts that stand in a list by their names: looked up off the loop, again every so
 * often. What was found last counts until something else is found: a name server that is silent
 * takes nobody's access. */
#ifndef AGENT_API_NAMES_H
#define AGENT_API_NAMES_H

#include "base/net/addr.h"

#include <stdbool.h>
#include <stddef.h>

#define API_NAMES_MAX      192 /* more are not looked up */
#define API_NAMES_AGAIN_MS 30000

struct api_names;

/* `on_lost`: a host is not found, and no address of it is known; once, until it is found. */
struct api_names *
api_names_new(uv_loop_t *loop,
              void (*on_lost)(void *arg, const char *host, const struct error *err), void *arg);
/* These from now on, and no others; those that were there keep their addresses. Copied. */
void api_names_set(struct api_names *names, const char *const *hosts, size_t count);
/* `host` has that address, and is one of those that were set. */
bool api_names_has(const struct api_names *names, const char *host, struct net_ip ip);
/* `closed` when the loop holds nothing of it. Once. */
void api_names_close(struct api_names *names, void (*closed)(void *arg), void *arg);

#endif
