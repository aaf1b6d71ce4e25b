/* A stream of commands as the log may hold them: each is a length byte pair and that many bytes.
 * Whatever they are, two members agree after each, the structure is sound, and what decodes encodes
 * to the same bytes. */
#include "base/assert.h"
#include "base/buf.h"
#include "raft/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct span command)
{
    struct store_command decoded;
    struct buf arena = BUF_INIT;
    struct buf again = BUF_INIT;
    if (store_command_decode(command, &decoded, &arena, NULL) == 0) {
        ASSERT(store_command_encode(&decoded, &again, NULL) == 0);
        ASSERT(span_equal(command, buf_span(&again)));
    }
    buf_free(&arena);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *one = store_new();
    struct store *two = store_new();
    struct span_reader reader = span_reader_of(span_of(data, size));
    for (uint64_t index = 1; reader.rest.len > 2; index++) {
        size_t len = span_take_u16(&reader);
        len = len < reader.rest.len ? len : reader.rest.len;
        struct span command = span_of(reader.rest.data, len);
        reader.rest = span_of(reader.rest.data + len, reader.rest.len - len);
        struct store_result a;
        struct store_result b;
        check_round_trip(command);
        store_apply(one, index, command, &a, NULL);
        store_apply(two, index, command, &b, NULL);
        ASSERT(a.code == b.code && a.revision == b.revision && a.succeeded == b.succeeded);
        store_check(one);
    }
    store_free(one);
    store_free(two);
    return 0;
}
