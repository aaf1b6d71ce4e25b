/* Data of a COMMAND entry of the log: version byte 1, client (8), sequence (8), then the store's
 * command bytes. The request id stands in front so that the member that asked finds its pending
 * call without decoding the command of everybody else. PURE.
 *
 * Both versions only rise. What has one that this release does not know was written by a newer one,
 * and means something; nothing else that cannot be read does. */
#ifndef RAFT_ENGINE_LOG_COMMAND_H
#define RAFT_ENGINE_LOG_COMMAND_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#define LOG_COMMAND_VERSION      1
#define LOG_COMMAND_HEADER_BYTES 17

struct log_command {
    uint64_t client;
    uint64_t sequence;
    struct span command;
};

void log_command_header(uint64_t client, uint64_t sequence,
                        struct buf *out); /* the command bytes follow */
/* ERR_UNSUPPORTED: of a newer release, or with a command of one; ERR_INVALID: malformed. */
int log_command_decode(struct span data, struct log_command *ret_command) MUST_CHECK;

#endif
