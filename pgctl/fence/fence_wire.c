/* PURE: bounded writer and reader over one datagram. A failed put or take sets `failed` and does
 * nothing more, so that a message is written or read in one go and looked at once at the end. */
#include "pgctl/fence/fence_wire.h"

#include <stdio.h>
#include <string.h>

/* --- bytes ------------------------------------------------------------------------------------ */

struct cursor {
    uint8_t *bytes;
    size_t len; /* capacity when writing */
    size_t at;
    bool failed;
};

static uint8_t *cursor_take(struct cursor *cursor, size_t len)
{
    if (cursor->failed || cursor->len - cursor->at < len) {
        cursor->failed = true;
        return NULL;
    }
    uint8_t *bytes = cursor->bytes + cursor->at;
    cursor->at += len;
    return bytes;
}

static void put_int(struct cursor *cursor, uint64_t value, size_t width)
{
    uint8_t *bytes = cursor_take(cursor, width);
    for (size_t i = 0; bytes != NULL && i < width; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t take_int(struct cursor *cursor, size_t width)
{
    const uint8_t *bytes = cursor_take(cursor, width);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < width; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void put_text(struct cursor *cursor, const char *text)
{
    size_t len = strlen(text);
    if (len >= UINT16_MAX) {
        cursor->failed = true;
        return;
    }
    put_int(cursor, len, 2);
    uint8_t *bytes = cursor_take(cursor, len + 1);
    if (bytes != NULL) {
        memcpy(bytes, text, len + 1);
    }
}

/* Points into the datagram. A text with a zero inside is refused: it would be cut where it is used.
 */
static char *take_text(struct cursor *cursor)
{
    static char empty[1] = "";
    size_t len = (size_t)take_int(cursor, 2);
    uint8_t *bytes = cursor_take(cursor, len + 1);
    if (bytes == NULL || bytes[len] != 0 || memchr(bytes, 0, len) != NULL) {
        cursor->failed = true;
        return empty;
    }
    return (char *)bytes;
}

static void put_head(struct cursor *cursor, enum fence_type type, uint32_t id)
{
    put_int(cursor, FENCE_WIRE_VERSION, 2);
    put_int(cursor, (uint64_t)type, 2);
    put_int(cursor, id, 4);
}

static size_t finish(const struct cursor *cursor)
{
    return cursor->failed ? 0 : cursor->at;
}

/* --- requests --------------------------------------------------------------------------------- */

size_t fence_wire_put_request(uint8_t *bytes, size_t capacity, const struct fence_request *request)
{
    struct cursor cursor = {.bytes = bytes, .len = capacity};

    put_head(&cursor, request->type, request->id);
    switch (request->type) {
    case FENCE_TYPE_START:
        put_int(&cursor, (uint64_t)request->kill_way, 1);
        put_int(&cursor, request->argc, 2);
        put_int(&cursor, request->envc, 2);
        put_text(&cursor, request->data_dir);
        put_text(&cursor, request->log_path);
        for (size_t i = 0; i < request->argc; i++) {
            put_text(&cursor, request->argv[i]);
        }
        for (size_t i = 0; i < request->envc; i++) {
            put_text(&cursor, request->env[i]);
        }
        put_int(&cursor, request->epoch.cluster, 8);
        put_int(&cursor, (uint64_t)request->epoch.revision, 8);
        put_int(&cursor, (uint64_t)request->not_after_ms, 8);
        break;
    case FENCE_TYPE_STOP:
        put_int(&cursor, (uint64_t)request->stop_mode, 1);
        put_int(&cursor, (uint64_t)request->kill_at_ms, 8);
        break;
    case FENCE_TYPE_KILL:
    case FENCE_TYPE_ADOPT: put_text(&cursor, request->data_dir); break;
    case FENCE_TYPE_WATCHDOG:
        put_int(&cursor, (uint64_t)request->watchdog_s, 2);
        put_int(&cursor, (uint64_t)request->watchdog_s_max, 2);
        put_text(&cursor, request->device);
        put_text(&cursor, request->data_dir);
        break;
    case FENCE_TYPE_HELLO:
    case FENCE_TYPE_RELOAD:
    case FENCE_TYPE_QUERY:
    case FENCE_TYPE_QUIT:
    case FENCE_TYPE_STATUS: break;
    }
    return finish(&cursor);
}

static void take_start(struct cursor *cursor, struct fence_request *request)
{
    uint64_t way = take_int(cursor, 1);
    request->argc = (size_t)take_int(cursor, 2);
    request->envc = (size_t)take_int(cursor, 2);
    if (way > FENCE_KILL_LOOP || request->argc == 0 || request->argc > FENCE_ARGS_MAX ||
        request->envc > FENCE_ENV_MAX) {
        cursor->failed = true;
        return;
    }
    request->kill_way = (enum fence_kill_way)way;
    request->data_dir = take_text(cursor);
    request->log_path = take_text(cursor);
    for (size_t i = 0; i < request->argc; i++) {
        request->argv[i] = take_text(cursor);
    }
    for (size_t i = 0; i < request->envc; i++) {
        request->env[i] = take_text(cursor);
    }
    request->epoch.cluster = take_int(cursor, 8);
    request->epoch.revision = (int64_t)take_int(cursor, 8);
    bool before = !cursor->failed && cursor->at == cursor->len;
    request->not_after_ms = before ? FENCE_NO_DEADLINE : (int64_t)take_int(cursor, 8);
}

static void take_stop(struct cursor *cursor, struct fence_request *request)
{
    uint64_t mode = take_int(cursor, 1);
    if (mode > FENCE_STOP_IMMEDIATE) {
        cursor->failed = true;
        return;
    }
    request->stop_mode = (enum fence_stop_mode)mode;
    request->kill_at_ms = (int64_t)take_int(cursor, 8);
}

static void take_watchdog(struct cursor *cursor, struct fence_request *request)
{
    request->watchdog_s = (int)take_int(cursor, 2);
    request->watchdog_s_max = (int)take_int(cursor, 2);
    request->device = take_text(cursor);
    request->data_dir = take_text(cursor);
    bool wanted = request->device[0] != '\0';
    if (wanted && (request->watchdog_s < 1 || request->watchdog_s_max < request->watchdog_s)) {
        cursor->failed = true;
    }
}

bool fence_wire_get_request(uint8_t *bytes, size_t len, struct fence_request *ret_request)
{
    struct cursor cursor = {.bytes = bytes, .len = len};
    uint64_t version = take_int(&cursor, 2);
    uint64_t type = take_int(&cursor, 2);

    memset(ret_request, 0, sizeof *ret_request);
    ret_request->id = (uint32_t)take_int(&cursor, 4);
    if (cursor.failed || version == 0 || type < FENCE_TYPE_HELLO || type > FENCE_TYPE_ADOPT) {
        return false;
    }
    ret_request->type = (enum fence_type)type;
    if (ret_request->type == FENCE_TYPE_START) {
        take_start(&cursor, ret_request);
    } else if (ret_request->type == FENCE_TYPE_STOP) {
        take_stop(&cursor, ret_request);
    } else if (ret_request->type == FENCE_TYPE_KILL || ret_request->type == FENCE_TYPE_ADOPT) {
        ret_request->data_dir = take_text(&cursor);
    } else if (ret_request->type == FENCE_TYPE_WATCHDOG) {
        take_watchdog(&cursor, ret_request);
    }
    return !cursor.failed;
}

/* --- replies ---------------------------------------------------------------------------------- */

/* Order is the wire's: new flags go to the end. */
static unsigned flags_of(const struct fence_status *status)
{
    return (unsigned)status->running | (unsigned)status->exited << 1 |
           (unsigned)status->killing << 2 | (unsigned)status->all_gone << 3 |
           (unsigned)status->by_cgroup << 4 | (unsigned)status->memory_locked << 5 |
           (unsigned)status->real_time << 6 | (unsigned)status->oom_protected << 7;
}

static void flags_to(uint64_t flags, struct fence_status *status)
{
    status->running = (flags & 1) != 0;
    status->exited = (flags & 2) != 0;
    status->killing = (flags & 4) != 0;
    status->all_gone = (flags & 8) != 0;
    status->by_cgroup = (flags & 16) != 0;
    status->memory_locked = (flags & 32) != 0;
    status->real_time = (flags & 64) != 0;
    status->oom_protected = (flags & 128) != 0;
}

size_t fence_wire_put_reply(uint8_t *bytes, size_t capacity, const struct fence_reply *reply)
{
    struct cursor cursor = {.bytes = bytes, .len = capacity};
    const struct fence_status *status = &reply->status;

    put_head(&cursor, FENCE_TYPE_STATUS, reply->id);
    put_int(&cursor, (uint64_t)(int64_t)reply->code, 4);
    put_int(&cursor, (uint64_t)(int64_t)reply->event, 2);
    put_int(&cursor, flags_of(status), 2);
    put_int(&cursor, (uint64_t)(int64_t)status->fence_pid, 4);
    put_int(&cursor, (uint64_t)(int64_t)status->postmaster_pid, 4);
    put_int(&cursor, (uint64_t)(int64_t)status->wait_status, 4);
    put_int(&cursor, status->starts, 4);
    put_int(&cursor, (uint64_t)status->kill_ms, 8);
    put_int(&cursor, status->fired.cluster, 8);
    put_int(&cursor, (uint64_t)status->fired.revision, 8);
    put_int(&cursor, status->stopped.cluster, 8);
    put_int(&cursor, (uint64_t)status->stopped.revision, 8);
    put_text(&cursor, reply->text);
    put_int(&cursor, (uint64_t)status->watchdog, 1);
    put_int(&cursor, (uint64_t)status->watchdog_timeout_ms, 8);
    put_text(&cursor, status->watchdog_why);
    return finish(&cursor);
}

static void take_status(struct cursor *cursor, struct fence_status *status)
{
    flags_to(take_int(cursor, 2), status);
    status->fence_pid = (int32_t)take_int(cursor, 4);
    status->postmaster_pid = (int32_t)take_int(cursor, 4);
    status->wait_status = (int32_t)take_int(cursor, 4);
    status->starts = (uint32_t)take_int(cursor, 4);
    status->kill_ms = (int64_t)take_int(cursor, 8);
    status->fired.cluster = take_int(cursor, 8);
    status->fired.revision = (int64_t)take_int(cursor, 8);
    status->stopped.cluster = take_int(cursor, 8);
    status->stopped.revision = (int64_t)take_int(cursor, 8);
}

static void take_watchdog_status(struct cursor *cursor, struct fence_status *status)
{
    if (cursor->failed || cursor->at == cursor->len) {
        return; /* of a release that knows no watchdog */
    }
    uint64_t state = take_int(cursor, 1);
    status->watchdog_timeout_ms = (int64_t)take_int(cursor, 8);
    const char *why = take_text(cursor);
    (void)snprintf(status->watchdog_why, sizeof status->watchdog_why, "%s", why);
    cursor->failed = cursor->failed || state > FENCE_WATCHDOG_FAILED;
    status->watchdog = (enum fence_watchdog_state)(cursor->failed ? 0 : state);
}

bool fence_wire_get_reply(const uint8_t *bytes, size_t len, struct fence_reply *ret_reply)
{
    /* The cursor serves both directions; nothing is written through it here. */
    struct cursor cursor = {.bytes = (uint8_t *)(uintptr_t)bytes, .len = len};
    uint64_t version = take_int(&cursor, 2);
    uint64_t type = take_int(&cursor, 2);

    memset(ret_reply, 0, sizeof *ret_reply);
    ret_reply->id = (uint32_t)take_int(&cursor, 4);
    ret_reply->code = (int32_t)take_int(&cursor, 4);
    ret_reply->event = (int16_t)take_int(&cursor, 2);
    take_status(&cursor, &ret_reply->status);
    const char *text = take_text(&cursor);
    size_t text_len = strnlen(text, sizeof ret_reply->text - 1);
    memcpy(ret_reply->text, text, text_len);
    take_watchdog_status(&cursor, &ret_reply->status);
    return !cursor.failed && version != 0 && type == FENCE_TYPE_STATUS &&
           ret_reply->event >= FENCE_ANSWER && ret_reply->event < FENCE_EVENT_LOST &&
           ret_reply->code <= 0;
}
