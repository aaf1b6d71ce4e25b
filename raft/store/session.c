/* Sessions: what makes a command that was sent again have one effect.
 *
 * A client (one start of one process) numbers its commands 1, 2, 3 ... and tells with each its
 * floor: all below it is answered and will not be sent again. Kept is the result of every applied
 * sequence >= floor.
 * - repeat of a kept sequence: the first result;
 * - sequence below the floor: a late copy of something answered, refused;
 * - sequence 1024 or more above its floor: over the limit, so the kept results are bounded; this is
 * told from the command alone, so every copy of it is refused;
 * - unknown client: its session begins.
 * A verdict may not depend on what else was applied in between, or a copy of a command that was
 * refused could take effect later: the simulator found that in a rule that refused unknown clients
 * with a floor above 1. The least recently used session is dropped when there are too many: see the
 * header for what this assumes.
 *
 * uthash keeps its elements in the order of insertion; a session that is used is taken out and
 * added again, so that this order is the order of use, and the snapshot writes it. */
#include "raft/store/session.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

/* Clients are random numbers already; folding them is hash enough. */
#define HASH_FUNCTION(key, len, ret_hash) ((ret_hash) = client_hash(key))
#define uthash_malloc(bytes)              mem_alloc(bytes)
#define uthash_free(ptr, bytes)           mem_free(ptr)
#include <uthash.h>

enum { SESSION_FIRST_CAPACITY = 4 };

struct session_result {
    uint64_t sequence;
    int64_t revision;
    int32_t code;
    uint16_t reason; /* 0 while the state is of format 1 */
    bool succeeded;
};

struct session {
    uint64_t client;
    uint64_t floor;
    struct session_result *results; /* ascending sequences */
    size_t count;
    size_t capacity;
    UT_hash_handle hh;
};

static unsigned client_hash(const void *client)
{
    uint64_t value = 0;
    memcpy(&value, client, sizeof(value));
    return (unsigned)(value ^ value >> 32);
}

static struct session *session_find(const struct session_map *map, uint64_t client)
{
    struct session *session = NULL;
    HASH_FIND(hh, map->head, &client, sizeof(client), session);
    return session;
}

static void session_append(struct session_map *map, struct session *session)
{
    HASH_ADD(hh, map->head, client, sizeof(session->client), session);
}

static void session_unlink(struct session_map *map, struct session *session)
{
    HASH_DEL(map->head, session);
}

static void session_free(struct session *session)
{
    mem_free(session->results);
    mem_free(session);
}

static struct session *session_new(struct session_map *map, uint64_t client, uint64_t floor)
{
    struct session *session = mem_new(struct session);
    session->client = client;
    session->floor = floor;
    session_append(map, session);
    return session;
}

void session_map_close(struct session_map *map)
{
    while (map->head != NULL) {
        struct session *session = map->head;
        session_unlink(map, session);
        session_free(session);
    }
}

/* First position with a sequence >= `sequence`; nearly always at one of the ends. */
static size_t session_seek(const struct session *session, uint64_t sequence)
{
    size_t at = session->count;
    while (at > 0 && session->results[at - 1].sequence >= sequence) {
        at--;
    }
    return at;
}

static void session_raise_floor(struct session *session, uint64_t floor)
{
    if (floor <= session->floor) {
        return;
    }
    session->floor = floor;
    size_t gone = session_seek(session, floor);
    session->count -= gone;
    if (gone > 0) {
        memmove(session->results, session->results + gone,
                session->count * sizeof(*session->results));
    }
}

static enum session_verdict session_refuse(struct store_result *ret_result, int code)
{
    ret_result->code = code;
    return SESSION_ANSWERED;
}

enum session_verdict session_begin(struct session_map *map, const struct store_command *command,
                                   struct store_result *ret_result)
{
    if (command->client == 0) {
        return SESSION_APPLY;
    }
    ASSERT(command->floor > 0 && command->sequence >= command->floor);
    if (command->sequence - command->floor >= STORE_CLIENT_RESULTS_MAX) {
        return session_refuse(ret_result, ERR_LIMIT);
    }
    struct session *session = session_find(map, command->client);
    if (session == NULL) {
        return SESSION_APPLY;
    }
    if (command->sequence < session->floor) {
        return session_refuse(ret_result, ERR_REFUSED);
    }
    size_t at = session_seek(session, command->sequence);
    if (at == session->count || session->results[at].sequence != command->sequence) {
        return SESSION_APPLY;
    }
    const struct session_result *kept = &session->results[at];
    *ret_result = (struct store_result){.code = kept->code,
                                        .succeeded = kept->succeeded,
                                        .repeated = true,
                                        .revision = kept->revision,
                                        .reason = (enum store_reason)kept->reason};
    return SESSION_ANSWERED;
}

static void session_put(struct session *session, const struct session_result *result)
{
    size_t at = session_seek(session, result->sequence);
    ASSERT(at == session->count || session->results[at].sequence != result->sequence);
    if (session->count == session->capacity) {
        session->capacity = session->capacity == 0 ? SESSION_FIRST_CAPACITY : session->capacity * 2;
        session->results =
            mem_resize(session->results, session->capacity * sizeof(*session->results));
    }
    memmove(session->results + at + 1, session->results + at,
            (session->count - at) * sizeof(*session->results));
    session->results[at] = *result;
    session->count++;
}

void session_finish(struct session_map *map, const struct store_command *command,
                    const struct store_result *result)
{
    if (command->client == 0) {
        return;
    }
    struct session *session = session_find(map, command->client);
    if (session == NULL) {
        if (HASH_COUNT(map->head) >= STORE_CLIENTS_MAX) {
            struct session *oldest = map->head;
            session_unlink(map, oldest);
            session_free(oldest);
        }
        session = session_new(map, command->client, command->floor);
    } else {
        session_unlink(map, session);
        session_append(map, session);
    }
    session_raise_floor(session, command->floor);
    session_put(session, &(struct session_result){.sequence = command->sequence,
                                                  .revision = result->revision,
                                                  .code = result->code,
                                                  .reason = (uint16_t)result->reason,
                                                  .succeeded = result->succeeded});
}

void session_map_encode(const struct session_map *map, unsigned format, struct buf *out)
{
    buf_put_u32(out, (uint32_t)HASH_COUNT(map->head));
    for (const struct session *session = map->head; session != NULL; session = session->hh.next) {
        buf_put_u64(out, session->client);
        buf_put_u64(out, session->floor);
        buf_put_u32(out, (uint32_t)session->count);
        for (size_t i = 0; i < session->count; i++) {
            buf_put_u64(out, session->results[i].sequence);
            buf_put_u64(out, (uint64_t)session->results[i].revision);
            buf_put_u32(out, (uint32_t)session->results[i].code);
            buf_put_u8(out, session->results[i].succeeded ? 1 : 0);
            if (format > 1) {
                buf_put_u16(out, session->results[i].reason);
            }
        }
    }
}

static int session_decode_results(struct session *session, unsigned format,
                                  struct span_reader *reader, struct error *err)
{
    uint32_t count = span_take_u32(reader);
    if (reader->failed || count > STORE_CLIENT_RESULTS_MAX) {
        return error_set(err, ERR_CORRUPT, "a session with %u results", (unsigned)count);
    }
    uint64_t least = session->floor;
    for (uint32_t i = 0; i < count; i++) {
        struct session_result result = {.sequence = span_take_u64(reader),
                                        .revision = (int64_t)span_take_u64(reader)};
        result.code = (int32_t)span_take_u32(reader);
        uint8_t succeeded = span_take_u8(reader);
        result.reason = format > 1 ? span_take_u16(reader) : 0;
        if (reader->failed || succeeded > 1 || result.sequence < least ||
            result.sequence - session->floor >= STORE_CLIENT_RESULTS_MAX) {
            return error_set(err, ERR_CORRUPT, "result %u of a session is damaged", (unsigned)i);
        }
        result.succeeded = succeeded == 1;
        session_put(session, &result);
        least = result.sequence + 1;
    }
    return 0;
}

int session_map_decode(struct session_map *map, unsigned format, struct span_reader *reader,
                       struct error *err)
{
    uint32_t count = span_take_u32(reader);
    if (reader->failed || count > STORE_CLIENTS_MAX) {
        return error_set(err, ERR_CORRUPT, "%u sessions", (unsigned)count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t client = span_take_u64(reader);
        uint64_t floor = span_take_u64(reader);
        /* The upper bound keeps `sequence + 1` and `floor + window` from wrapping. */
        if (reader->failed || client == 0 || floor == 0 || floor > STORE_SEQUENCE_MAX ||
            session_find(map, client) != NULL) {
            return error_set(err, ERR_CORRUPT, "session %u is damaged", (unsigned)i);
        }
        int rc = session_decode_results(session_new(map, client, floor), format, reader, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

void session_map_check(const struct session_map *map)
{
    ASSERT(HASH_COUNT(map->head) <= STORE_CLIENTS_MAX);
    for (const struct session *session = map->head; session != NULL; session = session->hh.next) {
        ASSERT(session->client != 0 && session->floor > 0);
        ASSERT(session->count <= STORE_CLIENT_RESULTS_MAX);
        for (size_t i = 0; i < session->count; i++) {
            ASSERT(session->results[i].sequence >= session->floor);
            ASSERT(i == 0 || session->results[i - 1].sequence < session->results[i].sequence);
        }
    }
}
