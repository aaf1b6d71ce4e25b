/* PURE. */
#include "raft/etcd/etcd_grpc_text.h"

#include "raft/etcd/etcd_text.h"

#include <string.h>
#include <strings.h>

enum { TIMEOUT_DIGITS_MAX = 8, CALL_MS_MAX = 86400 * 1000 };

bool grpc_timeout_parse(struct span text, int64_t *ret_ms)
{
    static const char units[] = "HMSmun";
    static const int64_t unit_ns[] = {
        3600LL * 1000000000, 60LL * 1000000000, 1000000000, 1000000, 1000, 1};
    uint64_t value = 0;
    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1 || text.data[text.len - 1] == '\0' ||
        !go_parse_u64(span_of(text.data, text.len - 1), &value)) {
        return false;
    }
    const char *unit = strchr(units, text.data[text.len - 1]);
    if (unit == NULL) {
        return false;
    }
    /* 8 digits of hours are too many nanoseconds for 64 bits by far: stop at what nobody waits for.
     */
    int64_t ns = unit_ns[unit - units];
    int64_t max = (int64_t)CALL_MS_MAX * 1000000 / ns;
    int64_t count = (int64_t)value < max ? (int64_t)value : max;
    *ret_ms = (count * ns + 999999) / 1000000;
    return true;
}

void grpc_percent_encode(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~' || text.data[i] == '%') {
            buf_printf(out, "%%%02X", (unsigned)text.data[i]);
        } else {
            buf_put_u8(out, text.data[i]);
        }
    }
}

bool grpc_is_content_type(struct span value)
{
    static const char type[] = "application/grpc";
    const size_t len = sizeof type - 1;
    return value.len >= len && strncasecmp((const char *)value.data, type, len) == 0 &&
           (value.len == len || value.data[len] == '+' || value.data[len] == ';');
}
