/* clang-format off */
/* The messages between agent and fence, as bytes: one datagram of a SOCK_SEQPACKET socket each, no
 * allocation (the fence may not allocate). Little endian:
 *
 *     version u16, type u16, id u32, then by type:
 *     start   kill way u8, argc u16, envc u16, then data_dir, log_path, argv..., env..., each as
 *             length u16, bytes, zero; then cluster u64 and revision i64 of the epoch, and
 *             not_after i64 (an agent of before it sends none: no limit)
 *     stop    mode u8, kill_at i64
 *     kill, adopt    data_dir as above
 *     hello, reload, query, quit    nothing
 *     watchdog  timeout u16, the largest u16 (both in s), then device, data_dir as above
 *     status  code i32 (0 or ERR_*), event i16 (enum fence_event; -1 = answer to `id`), the fields,
 *             text as above, then of the watchdog: state u8, timeout i64, why as above (a fence of
 *             before it sends none of these three)
 *
 * Whoever reads skips bytes after what it knows: a later version may add fields, and may not move
 * any. */
/* clang-format on */
#ifndef PGCTL_FENCE_FENCE_WIRE_H
#define PGCTL_FENCE_FENCE_WIRE_H

#include "pgctl/fence.h"

#define FENCE_WIRE_VERSION 1
#define FENCE_TEXT_BYTES   256
#define FENCE_ANSWER       (-1)

enum fence_type {
    FENCE_TYPE_HELLO = 1,
    FENCE_TYPE_START = 2,
    FENCE_TYPE_STOP = 3,
    FENCE_TYPE_KILL = 4,
    FENCE_TYPE_RELOAD = 5,
    FENCE_TYPE_QUERY = 6,
    FENCE_TYPE_QUIT = 7,
    FENCE_TYPE_WATCHDOG = 8,
    FENCE_TYPE_ADOPT = 9,
    FENCE_TYPE_STATUS = 100,
};

/* A decoded request. Strings point into the datagram, each ends with its zero; the arrays end with
 * NULL. */
struct fence_request {
    enum fence_type type;
    uint32_t id;
    enum fence_kill_way kill_way;
    struct fence_epoch epoch; /* of a start: what the page said when it was asked for */
    int64_t
        not_after_ms; /* of a start, lease clock: read later, it is refused; FENCE_NO_DEADLINE */
    enum fence_stop_mode stop_mode;
    int64_t kill_at_ms;
    int watchdog_s;
    int watchdog_s_max;
    const char *device;
    const char *data_dir;
    const char *log_path; /* "" = none */
    size_t argc;
    size_t envc;
    char *argv[FENCE_ARGS_MAX + 1];
    char *env[FENCE_ENV_MAX + 2]; /* room for one that the fence adds */
};

struct fence_reply {
    uint32_t id; /* of the request; 0 for an event */
    int32_t code;
    int event; /* FENCE_ANSWER or enum fence_event */
    struct fence_status status;
    char text[FENCE_TEXT_BYTES]; /* why, if code is not 0 */
};

/* All return the length, or 0 if it does not fit into `capacity`. The encoder of a request looks at
 * the fields of its type only. */
size_t fence_wire_put_request(uint8_t *bytes, size_t capacity, const struct fence_request *request);
size_t fence_wire_put_reply(uint8_t *bytes, size_t capacity, const struct fence_reply *reply);
/* False if the bytes break a rule. The datagram has to outlive the request. */
bool fence_wire_get_request(uint8_t *bytes, size_t len, struct fence_request *ret_request);
bool fence_wire_get_reply(const uint8_t *bytes, size_t len, struct fence_reply *ret_reply);

#endif
