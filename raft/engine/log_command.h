/* Data of a COMMAND entry of the log: version byte 1, client (8), sequence (8), then the store's
 * command bytes. The request id stands in front so that the member that asked finds its pending
 * call without decoding the command of everybody else. PURE. */
#ifndef RAFT_ENGINE_LOG_COMMAND_H
#define RAFT_ENGINE_LOG_COMMAND_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>

#define LOG_COMMAND_VERSION      1
#define LOG_COMMAND_HEADER_BYTES 17

struct log_command {
    uint64_t client;
    uint64_t sequence;
    struct span command;
};

void log_command_header(uint64_t client, uint64_t sequence,
                        struct buf *out); /* the command bytes follow */
bool log_command_decode(struct span data, struct log_command *ret_command);

#endif
