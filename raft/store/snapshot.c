/* The whole replicated state <-> bytes. Little endian; golden bytes in tests/golden/store.
 *
 *   version u8 = format of the state, applied u64, revision u64
 *   from 2 on: compacted u64
 *   members   count u32: id u64, name bytes, address bytes
 *             from 2 on: client URLs bytes
 *   leases    count u32: id, ttl_ms, number, stamp (u64), flags u32, owner bytes
 *   keys      count u32: key, value (bytes), create, mod, version, lease (u64)
 *             from 2 on: action u8
 *   from 2 on: directories, as keys; the window (snapshot_history.c)
 *   sessions  count u32: see session.c
 *
 * Members, leases and keys ascend; sessions: the least recently used first. Not in it: when leases
 * were renewed, which is local; in format 1 the window is, too, and begins after the restored
 * revision. So two members that applied the same commands give the same bytes, whatever each has
 * restored from. Restoring checks every invariant before anything is replaced: the bytes come from
 * a disk or from another member. A state is written in its own format, not in the newest: members
 * of the release before can read it as long as they could apply it. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/mvcc.h"
#include "raft/store/store_internal.h"
#include "raft/store/v2_path.h"

/* --- encoding --------------------------------------------------------------------------------- */

static void encode_members(const struct member_map *map, unsigned format, struct buf *out)
{
    buf_put_u32(out, (uint32_t)map->count);
    for (size_t i = 0; i < map->count; i++) {
        buf_put_u64(out, map->members[i].id);
        buf_put_bytes(out, span_of(map->members[i].name, map->members[i].name_len));
        buf_put_bytes(out, span_of(map->members[i].address, map->members[i].address_len));
        if (format > 1) {
            buf_put_bytes(out, span_of(map->members[i].clients, map->members[i].clients_len));
        }
    }
}

static void encode_leases(const struct lease_map *map, struct buf *out)
{
    buf_put_u32(out, (uint32_t)map->count);
    for (size_t i = 0; i < map->count; i++) {
        const struct lease *lease = map->leases[i];
        buf_put_u64(out, lease->id);
        buf_put_u64(out, (uint64_t)lease->ttl_ms);
        buf_put_u64(out, lease->number);
        buf_put_u64(out, (uint64_t)lease->stamp);
        buf_put_u32(out, lease->flags);
        buf_put_bytes(out, lease_owner(lease));
    }
}

static void encode_keys(const struct kv_map *map, unsigned format, struct buf *out)
{
    buf_put_u32(out, (uint32_t)map->count);
    for (size_t i = 0; i < map->count; i++) {
        const struct kv_record *record = map->records[i];
        kv_record_encode(record, out);
        if (format > 1) {
            buf_put_u8(out, record->action);
        }
    }
}

void store_snapshot(const struct store *store, struct buf *out)
{
    size_t before = out->len;
    buf_put_u8(out, (uint8_t)store->format);
    buf_put_u64(out, store->applied);
    buf_put_u64(out, (uint64_t)store->revision);
    if (store->format > 1) {
        buf_put_u64(out, (uint64_t)store->history.compacted);
    }
    encode_members(&store->members, store->format, out);
    encode_leases(&store->leases, out);
    encode_keys(&store->kvs, store->format, out);
    if (store->format > 1) {
        encode_keys(&store->dirs, store->format, out);
        snapshot_history_encode(store, out);
    }
    session_map_encode(&store->sessions, store->format, out);
    ASSERT(out->len - before <= STORE_SNAPSHOT_BYTES_MAX);
}

/* --- decoding --------------------------------------------------------------------------------- */

static int corrupt(struct error *err, const char *what, uint32_t position)
{
    return error_set(err, ERR_CORRUPT, "%s %u is damaged", what, (unsigned)position);
}

static int decode_members(struct store *store, struct span_reader *reader, struct error *err)
{
    uint32_t count = span_take_u32(reader);
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct store_member member = {.id = span_take_u64(reader)};
        member.name = span_take_bytes(reader, STORE_MEMBER_NAME_BYTES_MAX);
        member.address = span_take_bytes(reader, STORE_MEMBER_ADDRESS_BYTES_MAX);
        if (store->format > 1) {
            member.client_urls = span_take_bytes(reader, STORE_MEMBER_CLIENTS_BYTES_MAX);
        }
        if (reader->failed || member.id <= last || member.name.len == 0 ||
            member_map_set(&store->members, &member) != 0 ||
            member_map_set_clients(&store->members, member.id, member.client_urls) != 0) {
            return corrupt(err, "member", i);
        }
        last = member.id;
    }
    return 0;
}

static bool decoded_lease_is_sound(const struct store *store, const struct lease *lease)
{
    bool known = lease->flags <= STORE_LEASE_HOLDER ||
                 (lease->flags == STORE_LEASE_OWN && store->format > 1);
    return lease->ttl_ms > 0 && lease->ttl_ms <= STORE_LEASE_TTL_MS_MAX && known &&
           ((lease->flags & STORE_LEASE_HOLDER) == 0 || lease->owner_len > 0);
}

static int decode_leases(struct store *store, struct span_reader *reader, struct error *err)
{
    uint32_t count = span_take_u32(reader);
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = span_take_u64(reader);
        int64_t ttl_ms = (int64_t)span_take_u64(reader);
        uint64_t number = span_take_u64(reader);
        int64_t stamp = (int64_t)span_take_u64(reader);
        uint32_t flags = span_take_u32(reader);
        struct span owner = span_take_bytes(reader, STORE_ACTOR_BYTES_MAX);
        if (reader->failed || id <= last || i >= STORE_LEASES_MAX) {
            return corrupt(err, "lease", i);
        }
        if (number == 0 || number > store->applied) {
            return corrupt(err, "the number of lease", i);
        }
        struct lease *lease = lease_map_add(&store->leases, id, number, owner);
        lease->ttl_ms = ttl_ms;
        lease->stamp = stamp;
        lease->flags = flags;
        if (!decoded_lease_is_sound(store, lease)) {
            return corrupt(err, "lease", i);
        }
        last = id;
    }
    return 0;
}

static bool decoded_key_is_sound(const struct store *store, const struct store_kv *kv)
{
    size_t count = store->kvs.count + store->dirs.count;
    size_t bytes = store->kvs.bytes + store->dirs.bytes + kv->key.len + kv->value.len;
    return kv->key.len > 0 && kv->create_revision > 1 && kv->create_revision <= kv->mod_revision &&
           kv->mod_revision <= store->revision && kv->version >= 1 &&
           kv->version <= STORE_COUNT_MAX && count < STORE_KEYS_MAX && bytes <= STORE_BYTES_MAX;
}

static void decode_key(struct span_reader *reader, unsigned format, struct store_kv *kv,
                       uint8_t *ret_action)
{
    kv->key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    kv->value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
    kv->create_revision = (int64_t)span_take_u64(reader);
    kv->mod_revision = (int64_t)span_take_u64(reader);
    kv->version = (int64_t)span_take_u64(reader);
    kv->lease = span_take_u64(reader);
    *ret_action = format > 1 ? span_take_u8(reader) : 0;
    if (*ret_action > STORE_ACTION_BELOW) {
        reader->failed = true;
    }
}

static int decode_keys(struct store *store, bool directories, struct span_reader *reader,
                       struct error *err)
{
    struct kv_map *map = directories ? &store->dirs : &store->kvs;
    uint32_t count = span_take_u32(reader);
    struct span last = span_of(NULL, 0);
    for (uint32_t i = 0; i < count; i++) {
        struct store_kv kv = {0};
        uint8_t action = 0;
        decode_key(reader, store->format, &kv, &action);
        struct lease *lease = lease_map_find(&store->leases, kv.lease);
        if (reader->failed || span_compare(kv.key, last) <= 0 ||
            !decoded_key_is_sound(store, &kv) || (kv.lease != 0 && lease == NULL) ||
            (directories && !v2_path_is_clean(kv.key))) {
            return corrupt(err, directories ? "directory" : "key", i);
        }
        struct kv_record *record = kv_record_new(kv.key, kv.value);
        record->create_revision = kv.create_revision;
        record->mod_revision = kv.mod_revision;
        record->version = kv.version;
        record->lease = kv.lease;
        record->action = action;
        record->flags = directories ? KV_DIRECTORY : 0;
        if (lease != NULL) {
            list_append(&lease->keys, &record->in_lease);
        }
        kv_map_set_take(map, record);
        last = kv.key;
    }
    return 0;
}

static int check_own_leases(const struct store *store, struct error *err)
{
    for (size_t i = 0; i < store->leases.count; i++) {
        const struct lease *lease = store->leases.leases[i];
        if (lease->flags == STORE_LEASE_OWN && list_empty(&lease->keys)) {
            return corrupt(err, "a lease without its key,", (uint32_t)i);
        }
    }
    return 0;
}

/* The first field, and with it the format. In format 1 the window begins after what is restored. */
static int decode_head(struct store *store, struct span_reader *reader, struct error *err)
{
    uint8_t version = span_take_u8(reader);
    if (!reader->failed && (version < 1 || version > 2)) {
        return error_set(err, ERR_UNSUPPORTED, "snapshot of version %u, known are 1 and 2",
                         (unsigned)version);
    }
    store->format = version;
    store->applied = span_take_u64(reader);
    store->revision = (int64_t)span_take_u64(reader);
    if (reader->failed || store->applied > STORE_COUNT_MAX || store->revision < 1 ||
        store->revision > STORE_COUNT_MAX) {
        return error_set(err, ERR_CORRUPT, "the head of the snapshot is damaged");
    }
    watch_history_init(&store->history, store->revision + 1);
    if (version == 1) {
        return 0;
    }
    store->history.compacted = (int64_t)span_take_u64(reader);
    if (reader->failed || store->history.compacted < 2 ||
        store->history.compacted > store->revision) {
        return error_set(err, ERR_CORRUPT, "the compact revision of the snapshot is damaged");
    }
    return 0;
}

static int decode_format_2(struct store *store, struct span_reader *reader, struct error *err)
{
    if (store->format == 1) {
        return 0;
    }
    int rc = decode_keys(store, true, reader, err);
    rc = rc != 0 ? rc : snapshot_history_decode(store, reader, err);
    return rc != 0 ? rc : check_own_leases(store, err);
}

static int decode_state(struct store *store, struct span bytes, struct error *err)
{
    struct span_reader reader = span_reader_of(bytes);
    int rc = decode_head(store, &reader, err);
    rc = rc != 0 ? rc : decode_members(store, &reader, err);
    rc = rc != 0 ? rc : decode_leases(store, &reader, err);
    rc = rc != 0 ? rc : decode_keys(store, false, &reader, err);
    rc = rc != 0 ? rc : decode_format_2(store, &reader, err);
    rc = rc != 0 ? rc : session_map_decode(&store->sessions, store->format, &reader, err);
    if (rc == 0 && !span_reader_done(&reader)) {
        rc =
            error_set(err, ERR_CORRUPT, "%zu bytes after the end of the snapshot", reader.rest.len);
    }
    return rc;
}

int store_restore(struct store *store, struct span bytes, struct error *err)
{
    struct store loaded;
    store_state_init(&loaded);
    int rc = decode_state(&loaded, bytes, err);
    if (rc != 0) {
        error_wrap(err, "restoring the store");
        store_state_close(&loaded);
        return rc;
    }
    store_state_close(store);
    *store = loaded;
    return 0;
}
