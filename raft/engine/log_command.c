#include "raft/engine/log_command.h"

#include "raft/store.h"

void log_command_header(uint64_t client, uint64_t sequence, struct buf *out)
{
    buf_put_u8(out, LOG_COMMAND_VERSION);
    buf_put_u64(out, client);
    buf_put_u64(out, sequence);
}

int log_command_decode(struct span data, struct log_command *ret_command)
{
    struct span_reader reader = span_reader_of(data);
    uint8_t version = span_take_u8(&reader);
    if (!reader.failed && version > LOG_COMMAND_VERSION) {
        return ERR_UNSUPPORTED;
    }
    uint64_t client = span_take_u64(&reader);
    uint64_t sequence = span_take_u64(&reader);
    if (reader.failed || version != LOG_COMMAND_VERSION) {
        return ERR_INVALID;
    }
    struct span command = reader.rest;
    if (command.len > 0 && command.data[0] > STORE_COMMAND_VERSION_MAX) {
        return ERR_UNSUPPORTED;
    }
    *ret_command = (struct log_command){.client = client, .sequence = sequence, .command = command};
    return 0;
}
