/* The one user that `etcd_server.authentication` names, for v2 (HTTP Basic) and v3 (tokens).
 *
 * A token is valid on every member: it is derived from the password, the cluster and its end, and
 * kept nowhere. Secrets are compared in constant time. */
#ifndef RAFT_ETCD_ETCD_AUTH_H
#define RAFT_ETCD_ETCD_AUTH_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* etcd's simple tokens live as long as they are used, and some clients (python3-etcd3) never fetch
 * a second one. Ours end by the clocks of hosts that may differ: a day hides that, too. */
#define ETCD_TOKEN_MS (24 * 60 * 60 * 1000)

struct etcd_auth {
    struct span username;
    struct span password;
};

/* Is this the user, and his password? */
bool etcd_auth_user(const struct etcd_auth *auth, struct span username, struct span password);
/* Appends a token that is good until `until_wall_ms`: printable, without spaces. */
void etcd_auth_token(const struct etcd_auth *auth, uint64_t cluster, int64_t until_wall_ms,
                     struct buf *out);
bool etcd_auth_token_is_good(const struct etcd_auth *auth, uint64_t cluster, struct span token,
                             int64_t now_wall_ms);
/* Of the value of an Authorization header: HTTP Basic, this user and his password. */
bool etcd_auth_basic(const struct etcd_auth *auth, struct span header);

#endif
