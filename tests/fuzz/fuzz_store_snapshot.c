/* Bytes that claim to be a snapshot: refused, or a sound store whose own snapshot is the same
 * bytes. */
#include "base/assert.h"
#include "base/buf.h"
#include "raft/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *store = store_new();
    struct buf again = BUF_INIT;
    struct error err;
    if (store_restore(store, span_of(data, size), &err) == 0) {
        store_check(store);
        store_snapshot(store, &again);
        ASSERT(span_equal(span_of(data, size), buf_span(&again)));
    } else {
        ASSERT(store_applied(store) == 0 && store_revision(store) == 1);
    }
    buf_free(&again);
    store_free(store);
    return 0;
}
