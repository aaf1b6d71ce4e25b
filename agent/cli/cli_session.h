/* What a verb works with: the configuration, and the store and the members seen through it. Every
 * call here waits for its answer: a command line has nothing else to do. */
#ifndef AGENT_CLI_CLI_SESSION_H
#define AGENT_CLI_CLI_SESSION_H

#include "agent/config/config.h"
#include "agent/dcs/dcs.h"
#include "raft/node.h"

#include <jansson.h>

struct cli_session;

#define CLI_TIMEOUT_MS 10000

/* Reads the file and prepares the client. `path` NULL: the default file of patronictl in the home
 * directory, or, if that is not there, the environment alone. `dcs_url` (may be NULL) is the store
 * in place of theirs, and neither need be there then. */
int cli_session_open(const char *path, const char *dcs_url, struct cli_session **ret_session,
                     struct error *err) MUST_CHECK;
void cli_session_close(struct cli_session *session); /* NULL is accepted */

const struct config *cli_session_config(const struct cli_session *session);

/* From now on <cluster> is a group of a Citus cluster of Patroni's: its keys are below
 * /<namespace>/<cluster>/<group>/. Negative: it is none. */
void cli_session_group(struct cli_session *session, long group);

/* Everything below /<namespace>/<cluster>/, linearizable. dcs_view_unref it. `cluster` NULL: an
 * error that says how to name one. */
int cli_session_read(struct cli_session *session, const char *cluster, struct dcs_view **ret_view,
                     struct error *err) MUST_CHECK;
/* compare as in dcs.h. ERR_CONFLICT: somebody else was first. */
int cli_session_put(struct cli_session *session, const char *cluster, const char *key,
                    const char *value, int64_t compare, struct error *err) MUST_CHECK;

/* Likewise; the key is deleted. */
int cli_session_delete(struct cli_session *session, const char *cluster, const char *key,
                       int64_t compare, struct error *err) MUST_CHECK;

/* Addresses of the members in the file, our own first. */
#define CLI_ADDRESSES_MAX (CONFIG_PARTNERS_MAX + 1)
size_t cli_session_addresses(const struct cli_session *session, const char **addresses);
/* What the member at `address` says of itself and the group. */
int cli_session_status(struct cli_session *session, const char *address,
                       struct raft_status *ret_status, struct error *err) MUST_CHECK;

/* Asks the member at `address`, the leader of the group, to remove member `id`; errors as of
 * raft_client_remove. */
int cli_session_remove(struct cli_session *session, const char *address, uint64_t id,
                       struct error *err) MUST_CHECK;

/* Waits without doing anything. */
void cli_session_wait(struct cli_session *session, int64_t ms);

/* From now on whatever certificate the members' interfaces have is taken, or (false) not. */
void cli_request_insecure(bool on);

/* From now on such requests are made as the file has it (its `ctl`, borrowed); NULL: without
 * anything. cli_session_open and _close do it. */
void cli_request_as(const struct config_ctl *ctl);

/* A request to the REST interface of a member: `url` is its api_url, of which the path is replaced.
 * `body` NULL = GET. rc 0 whatever the status is. ERR_UNAVAILABLE, ERR_INVALID (the url) and
 * ERR_NOMEM: nothing was sent. Anything else: it was, and may be carried out: ERR_TIMEOUT,
 * ERR_UNKNOWN, ERR_LIMIT (a reply over CLI_REPLY_BYTES_MAX). */
#define CLI_REPLY_BYTES_MAX ((size_t)4 * 1024 * 1024)
struct cli_reply {
    int status;
    char *text; /* mem_free */
};
int cli_request(const char *url, const char *path, const char *body, int64_t timeout_ms,
                struct cli_reply *ret_reply, struct error *err) MUST_CHECK;

/* The same with PATCH. */
int cli_request_patch(const char *url, const char *path, const char *body, int64_t timeout_ms,
                      struct cli_reply *ret_reply, struct error *err) MUST_CHECK;
/* The same with DELETE, and no body. */
int cli_request_delete(const char *url, const char *path, int64_t timeout_ms,
                       struct cli_reply *ret_reply, struct error *err) MUST_CHECK;

#endif
