/* A client of the Raft group over the members' Raft port, for the command line, for agents that are
 * no members, and for other processes: reads, commands, status. It needs the same password as the
 * members, and a certificate of their authority where they have them (with neither, an address of
 * theirs).
 *
 * Addresses are tried in the order given, from the one that answered last. A command whose
 * connection was lost after it was sent ends with ERR_UNKNOWN and is never sent again; a read goes
 * to the next address, and so does whatever a member refused as unavailable. With several addresses
 * a member that gives no sign of life within its share of the shortest deadline (deadline /
 * (addresses + 1), 2 s at most) counts as lost, and one that lives but reaches no leader gets a
 * part of the time only (reads: what is left / addresses left; commands: 3 s at least), so that the
 * others have theirs; one that lets a deadline pass is left, too. A member of another cluster than
 * the first that answered is passed over. Every call ends in exactly one callback, never inside the
 * call. The process has to ignore SIGPIPE. */
#ifndef RAFT_CLIENT_H
#define RAFT_CLIENT_H

#include "base/err.h"
#include "raft/node.h"

struct uv_loop_s;
struct raft_client;

#define RAFT_CLIENT_ADDRESSES_MAX 16
#define RAFT_CLIENT_REQUESTS_MAX  64 /* waiting at once; beyond it ERR_LIMIT */

/* `addresses` are host:port. `password` NULL or empty = none. Copied. */
int raft_client_new(struct uv_loop_s *loop, const char *const *addresses, size_t address_count,
                    const char *password, struct raft_client **ret_client,
                    struct error *err) MUST_CHECK;

/* Every connection that is made from here on is one of TLS; before the first call, and again when
 * the files have changed. `keyfile` NULL = in certfile. The files are read here. Errors as of
 * tls_context_new. */
int raft_client_use_tls(struct raft_client *client, const char *certfile, const char *keyfile,
                        const char *cafile, struct error *err) MUST_CHECK;

/* Who calls, up to RAFT_NODE_NAME_BYTES - 1 bytes: needed for raft_client_command_as and
 * raft_client_watch. Where the group has certificates, ours has to bear it. Before the first call.
 */
int raft_client_set_name(struct raft_client *client, const char *name,
                         struct error *err) MUST_CHECK;

/* What a process that stays wants to know. Not from inside a call. Before the first call. */
struct raft_client_events {
    void (*on_connected)(void *arg, const char *address);
    /* An address is no good: nobody answers, or he refuses, or is of another cluster than the one
     * that answered first. The same text comes again after a minute at the earliest. */
    void (*on_warning)(void *arg, const char *text);
    void *arg;
};
void raft_client_set_events(struct raft_client *client, const struct raft_client_events *events);

/* Ends every call with ERR_CANCELED (a command may have been sent); `closed` (may be NULL) comes
 * when nothing of it is left in the loop. Calls that are made meanwhile fail with ERR_CANCELED. */
void raft_client_close(struct raft_client *client, void (*closed)(void *arg), void *arg);

struct raft_client_view {
    uint64_t cluster;
    int64_t revision;
    const struct store_kv *kvs; /* in key order; borrowed until the callback returns */
    size_t count;
    bool same; /* of a watch: nothing has changed there, so no keys are given */
};

typedef void (*raft_client_read_done)(void *arg, int rc, const struct raft_client_view *view,
                                      const struct error *err);
/* rc 0: `result` says what the command gave. Otherwise ERR_UNAVAILABLE (not applied), ERR_UNKNOWN
 * (it may be), ERR_PERMISSION (wrong password or certificate), ERR_CANCELED, ERR_LIMIT. */
typedef void (*raft_client_command_done)(void *arg, int rc, const struct store_result *result,
                                         const struct error *err);
typedef void (*raft_client_status_done)(void *arg, int rc, const struct raft_status *status,
                                        const struct error *err);

/* All keys that start with `prefix`; linearizable. */
int raft_client_read_prefix(struct raft_client *client, struct span prefix, int64_t timeout_ms,
                            raft_client_read_done done, void *arg, struct error *err) MUST_CHECK;

/* Proposed by the member asked, with an empty actor: what belongs to a member's lease is refused.
 * The command is copied; its client, sequence, floor and actor are ignored. */
int raft_client_command(struct raft_client *client, const struct store_command *command,
                        int64_t timeout_ms, raft_client_command_done done, void *arg,
                        struct error *err) MUST_CHECK;

/* The same in our name: what belongs to a lease of ours may be touched, and leases that are granted
 * are ours. A renewal with a stamp is sent on by the member once only. ERR_REFUSED: a member of the
 * group has that name. */
int raft_client_command_as(struct raft_client *client, const struct store_command *command,
                           int64_t timeout_ms, raft_client_command_done done, void *arg,
                           struct error *err) MUST_CHECK;

/* As raft_client_read_prefix, but answered when there is something below `prefix` that differs from
 * what we have (of `cluster` at `revision`; 0, 0 = nothing), or after `hold_ms`. Linearizable like
 * a read: what it answers was so when the answer was made. ERR_REFUSED as above. */
struct raft_client_watch {
    uint64_t cluster;
    int64_t revision;
    int64_t hold_ms; /* below the deadline */
    struct span prefix;
};
int raft_client_watch(struct raft_client *client, const struct raft_client_watch *watch,
                      int64_t timeout_ms, raft_client_read_done done, void *arg,
                      struct error *err) MUST_CHECK;

/* The address that is connected; NULL: none is. */
const char *raft_client_connected(const struct raft_client *client, char *ret_text, size_t size);

/* Removes member `id` from the group; asked of its leader, anybody else is ERR_UNAVAILABLE.
 * ERR_BUSY: not just now, ask again (the leader itself gives its office away first); ERR_REFUSED:
 * never, or not before somebody is there again; ERR_NOT_FOUND; otherwise as a command. */
int raft_client_remove(struct raft_client *client, uint64_t id, int64_t timeout_ms,
                       raft_client_command_done done, void *arg, struct error *err) MUST_CHECK;

/* What the member that answered says of itself and the group. */
int raft_client_status(struct raft_client *client, int64_t timeout_ms, raft_client_status_done done,
                       void *arg, struct error *err) MUST_CHECK;

#endif
