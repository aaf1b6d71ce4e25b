/* The REST interface on restapi.listen, in Patroni's terms (docs/configuration.md names what
 * differs). */
#ifndef AGENT_API_SERVER_H
#define AGENT_API_SERVER_H

#include "agent/api/api_access.h"
#include "agent/api/api_ports.h"
#include "agent/api/api_status.h"
#include "base/net/addr.h"

#define API_WAITING_MAX 16 /* switchovers that are waited for at once, and who wait for a view */
#define API_WRITES_MAX  16 /* other writes that are under way at once */

struct api_server;

/* `ports` are copied. */
int api_server_start(uv_loop_t *loop, const struct net_addr *listen, const struct api_ports *ports,
                     struct api_server **ret_server, struct error *err) MUST_CHECK;
/* From here on, all at once: new connections, and the next request on each that is there. Before
 * the first call everybody may do everything. */
void api_server_secure(struct api_server *server, const struct api_security *security);
/* Takes a new picture (a reference of its own). */
void api_server_publish(struct api_server *server, struct api_status *status);
/* What came of ports.reexec, for who asked: a status of HTTP, and its words. */
void api_server_reexec_told(struct api_server *server, int code, const char *text);
/* `stopped` (may be NULL) when the loop holds nothing of it, and every write that was under way has
 * got its answer from the ports. NULL is accepted: `stopped` comes at once. */
void api_server_stop(struct api_server *server, void (*stopped)(void *arg), void *arg);
uint16_t api_server_port(const struct api_server *server);

#endif
