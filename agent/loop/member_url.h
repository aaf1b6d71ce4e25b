/* Host and port in the URLs that members publish. */
#ifndef AGENT_LOOP_MEMBER_URL_H
#define AGENT_LOOP_MEMBER_URL_H

#include "pgctl/pg_types.h"

#include <stdbool.h>
#include <stdint.h>

/* Of "scheme://host:port/whatever"; without a port `default_port` counts. */
bool member_url_address(const char *url, uint16_t default_port, char ret_host[PG_HOST_BYTES],
                        uint16_t *ret_port);

#endif
