#ifndef PGCTL_FENCE_FENCE_CLIENT_RUNTIME_H
#define PGCTL_FENCE_FENCE_CLIENT_RUNTIME_H

#include "pgctl/fence.h"

#include <sys/socket.h>
#include <sys/un.h>

/* ERR_LIMIT if the path does not fit. */
int fence_runtime_address(const char *runtime_dir, struct sockaddr_un *ret_address,
                          struct error *err) MUST_CHECK;

#endif
