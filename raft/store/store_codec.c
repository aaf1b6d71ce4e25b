/* Commands <-> bytes. Little endian; golden bytes in tests/golden/store. Types of format 2 have
 * version 2 and the same head; their bodies: client_codec.c.
 *
 *   version u8, type u8, client u64, sequence u64, floor u64, actor bytes, then by type:
 *   TXN            counts of compares, success, failure (u8), the compares, the two lists
 *     compare      target u8, relation u8, key bytes, number u64 or (VALUE) bytes
 *     operation    type u8, then one of
 *                  PUT key value lease | DELETE key | DELETE_PREFIX key | LEASE_END lease |
 *                  LEASE_GRANT lease ttl_ms stamp flags(u32)
 *   LEASE_GRANT    lease ttl_ms stamp flags(u32)      LEASE_RENEW    lease ttl_ms stamp
 *   LEASE_EXPIRE   lease number                       LEASE_REVOKE   lease
 *   MEMBER_SET     id, name bytes, address bytes      MEMBER_REMOVE  id
 *   COMPACT        number                             LEASE_KEEPALIVE lease
 *   FORMAT         nothing                            MEMBER_CLIENTS id, client URLs bytes
 *   DEPOSE         lease, then as TXN
 *
 * ("bytes" = u32 length, then that many). Nothing may be left over, so a command has exactly one
 * form. Bytes come from the log: whatever they are, decoding ends in a valid command or in
 * ERR_INVALID. */
#include "base/assert.h"
#include "raft/store/store_internal.h"

#include <string.h>

static uint8_t version_of(enum store_command_type type)
{
    return type > STORE_COMMAND_FORMAT_1_LAST ? 2 : 1;
}

_Static_assert(STORE_TXN_ITEMS_MAX <= UINT8_MAX, "counts are one byte");
_Static_assert(sizeof(struct store_compare) % _Alignof(struct store_op) == 0,
               "operations follow compares");

/* --- validation ------------------------------------------------------------------------------- */

static int validate_key(struct span key, bool may_be_empty, struct error *err)
{
    if (key.len > STORE_KEY_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "key of %zu bytes, at most %d", key.len,
                         STORE_KEY_BYTES_MAX);
    }
    if (key.len == 0 && !may_be_empty) {
        return error_set(err, ERR_INVALID, "empty key");
    }
    return 0;
}

static int validate_value(struct span value, struct error *err)
{
    if (value.len > STORE_VALUE_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "value of %zu bytes, at most %zu", value.len,
                         STORE_VALUE_BYTES_MAX);
    }
    return 0;
}

static int validate_lease(uint64_t lease, int64_t ttl_ms, struct error *err)
{
    if (lease == 0) {
        return error_set(err, ERR_INVALID, "lease without an id");
    }
    if (ttl_ms <= 0 || ttl_ms > STORE_LEASE_TTL_MS_MAX) {
        return error_set(err, ERR_INVALID, "ttl of %lld ms", (long long)ttl_ms);
    }
    return 0;
}

static int validate_grant(uint64_t lease, int64_t ttl_ms, uint32_t flags, struct span actor,
                          struct error *err)
{
    if ((flags & ~(uint32_t)STORE_LEASE_HOLDER) != 0) {
        return error_set(err, ERR_INVALID, "unknown lease flags 0x%x", (unsigned)flags);
    }
    if ((flags & STORE_LEASE_HOLDER) != 0 && actor.len == 0) {
        return error_set(err, ERR_INVALID, "a holder lease needs an owner");
    }
    return validate_lease(lease, ttl_ms, err);
}

int store_compare_validate(const struct store_compare *compare, struct error *err)
{
    if (compare->target < STORE_CMP_CREATE || compare->target > STORE_CMP_VALUE ||
        compare->relation < STORE_EQUAL || compare->relation > STORE_GREATER) {
        return error_set(err, ERR_INVALID, "unknown compare %d %d", (int)compare->target,
                         (int)compare->relation);
    }
    int rc = validate_key(compare->key, false, err);
    return rc != 0 ? rc : validate_value(compare->bytes, err);
}

static int validate_op(const struct store_op *op, struct span actor, struct error *err)
{
    int rc = 0;
    switch (op->type) {
    case STORE_OP_PUT:
        rc = validate_key(op->key, false, err);
        return rc != 0 ? rc : validate_value(op->value, err);
    case STORE_OP_DELETE: return validate_key(op->key, false, err);
    case STORE_OP_DELETE_PREFIX: return validate_key(op->key, true, err);
    case STORE_OP_LEASE_GRANT: return validate_grant(op->lease, op->ttl_ms, op->flags, actor, err);
    case STORE_OP_LEASE_END: return validate_lease(op->lease, 1, err);
    }
    return error_set(err, ERR_INVALID, "unknown operation %d", (int)op->type);
}

static int validate_txn(const struct store_command *command, struct error *err)
{
    if (command->compare_count > STORE_TXN_ITEMS_MAX ||
        command->success_count > STORE_TXN_ITEMS_MAX ||
        command->failure_count > STORE_TXN_ITEMS_MAX) {
        return error_set(err, ERR_LIMIT, "more than %d items in a transaction",
                         STORE_TXN_ITEMS_MAX);
    }
    int rc = 0;
    for (size_t i = 0; i < command->compare_count && rc == 0; i++) {
        rc = store_compare_validate(&command->compares[i], err);
        if (rc == 0 && command->compares[i].range_end.len > 0) {
            rc = error_set(err, ERR_INVALID, "a compare of a range, which only clients have");
        }
    }
    for (size_t i = 0; i < command->success_count && rc == 0; i++) {
        rc = validate_op(&command->success[i], command->actor, err);
    }
    for (size_t i = 0; i < command->failure_count && rc == 0; i++) {
        rc = validate_op(&command->failure[i], command->actor, err);
    }
    return rc;
}

static int validate_member(const struct store_member *member, bool whole, struct error *err)
{
    if (member->id == 0 ||
        (whole && (member->name.len == 0 || member->name.len > STORE_MEMBER_NAME_BYTES_MAX ||
                   member->address.len > STORE_MEMBER_ADDRESS_BYTES_MAX))) {
        return error_set(err, ERR_INVALID, "member without id or name, or with one too long");
    }
    return 0;
}

static int validate_clients(const struct store_member *member, struct error *err)
{
    if (member->client_urls.len > STORE_MEMBER_CLIENTS_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "client URLs of %zu bytes, at most %d",
                         member->client_urls.len, STORE_MEMBER_CLIENTS_BYTES_MAX);
    }
    return validate_member(member, false, err);
}

static int validate_session(const struct store_command *command, struct error *err)
{
    if (command->actor.len > STORE_ACTOR_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "actor of %zu bytes", command->actor.len);
    }
    if (command->client != 0 && (command->floor == 0 || command->floor > command->sequence ||
                                 command->sequence > STORE_SEQUENCE_MAX)) {
        return error_set(err, ERR_INVALID, "sequence and floor do not fit together");
    }
    return 0;
}

int store_command_validate(const struct store_command *command, struct error *err)
{
    int rc = validate_session(command, err);
    if (rc != 0) {
        return rc;
    }
    switch (command->type) {
    case STORE_TXN: return validate_txn(command, err);
    case STORE_LEASE_GRANT:
        return validate_grant(command->lease, command->ttl_ms, command->flags, command->actor, err);
    case STORE_LEASE_RENEW: return validate_lease(command->lease, command->ttl_ms, err);
    case STORE_LEASE_EXPIRE:
    case STORE_LEASE_REVOKE: return validate_lease(command->lease, 1, err);
    case STORE_MEMBER_SET: return validate_member(&command->member, true, err);
    case STORE_MEMBER_REMOVE: return validate_member(&command->member, false, err);
    case STORE_MEMBER_CLIENTS: return validate_clients(&command->member, err);
    case STORE_LEASE_KEEPALIVE: return validate_lease(command->lease, 1, err);
    case STORE_CLIENT_TXN:
    case STORE_V2: return store_client_validate(command, err);
    case STORE_DEPOSE:
        rc = validate_txn(command, err);
        return rc != 0 ? rc : store_depose_validate(command, err);
    case STORE_COMPACT:
    case STORE_FORMAT: return 0;
    }
    return error_set(err, ERR_INVALID, "unknown command %d", (int)command->type);
}

/* --- encoding --------------------------------------------------------------------------------- */

static void encode_grant(struct buf *out, uint64_t lease, int64_t ttl_ms, int64_t stamp,
                         uint32_t flags)
{
    buf_put_u64(out, lease);
    buf_put_u64(out, (uint64_t)ttl_ms);
    buf_put_u64(out, (uint64_t)stamp);
    buf_put_u32(out, flags);
}

void store_compare_encode(struct buf *out, const struct store_compare *compare)
{
    buf_put_u8(out, (uint8_t)compare->target);
    buf_put_u8(out, (uint8_t)compare->relation);
    buf_put_bytes(out, compare->key);
    if (compare->target == STORE_CMP_VALUE) {
        buf_put_bytes(out, compare->bytes);
    } else {
        buf_put_u64(out, (uint64_t)compare->number);
    }
}

static void encode_op(struct buf *out, const struct store_op *op)
{
    buf_put_u8(out, (uint8_t)op->type);
    switch (op->type) {
    case STORE_OP_PUT:
        buf_put_bytes(out, op->key);
        buf_put_bytes(out, op->value);
        buf_put_u64(out, op->lease);
        return;
    case STORE_OP_DELETE:
    case STORE_OP_DELETE_PREFIX: buf_put_bytes(out, op->key); return;
    case STORE_OP_LEASE_GRANT:
        encode_grant(out, op->lease, op->ttl_ms, op->stamp, op->flags);
        return;
    case STORE_OP_LEASE_END: buf_put_u64(out, op->lease); return;
    }
}

static void encode_txn(struct buf *out, const struct store_command *command)
{
    buf_put_u8(out, (uint8_t)command->compare_count);
    buf_put_u8(out, (uint8_t)command->success_count);
    buf_put_u8(out, (uint8_t)command->failure_count);
    for (size_t i = 0; i < command->compare_count; i++) {
        store_compare_encode(out, &command->compares[i]);
    }
    for (size_t i = 0; i < command->success_count; i++) {
        encode_op(out, &command->success[i]);
    }
    for (size_t i = 0; i < command->failure_count; i++) {
        encode_op(out, &command->failure[i]);
    }
}

static void encode_body(struct buf *out, const struct store_command *command)
{
    switch (command->type) {
    case STORE_TXN: encode_txn(out, command); return;
    case STORE_LEASE_GRANT:
        encode_grant(out, command->lease, command->ttl_ms, command->stamp, command->flags);
        return;
    case STORE_LEASE_RENEW:
        buf_put_u64(out, command->lease);
        buf_put_u64(out, (uint64_t)command->ttl_ms);
        buf_put_u64(out, (uint64_t)command->stamp);
        return;
    case STORE_LEASE_EXPIRE:
        buf_put_u64(out, command->lease);
        buf_put_u64(out, command->number);
        return;
    case STORE_LEASE_REVOKE: buf_put_u64(out, command->lease); return;
    case STORE_MEMBER_SET:
        buf_put_u64(out, command->member.id);
        buf_put_bytes(out, command->member.name);
        buf_put_bytes(out, command->member.address);
        return;
    case STORE_MEMBER_REMOVE: buf_put_u64(out, command->member.id); return;
    case STORE_MEMBER_CLIENTS:
        buf_put_u64(out, command->member.id);
        buf_put_bytes(out, command->member.client_urls);
        return;
    case STORE_COMPACT: buf_put_u64(out, command->number); return;
    case STORE_LEASE_KEEPALIVE: buf_put_u64(out, command->lease); return;
    case STORE_CLIENT_TXN:
    case STORE_V2: store_client_encode(out, command); return;
    case STORE_FORMAT: return;
    case STORE_DEPOSE:
        buf_put_u64(out, command->lease);
        encode_txn(out, command);
        return;
    }
}

int store_command_encode(const struct store_command *command, struct buf *out, struct error *err)
{
    int rc = store_command_validate(command, err);
    if (rc != 0) {
        return rc;
    }
    size_t start = out->len;
    buf_put_u8(out, version_of(command->type));
    buf_put_u8(out, (uint8_t)command->type);
    buf_put_u64(out, command->client);
    buf_put_u64(out, command->sequence);
    buf_put_u64(out, command->floor);
    buf_put_bytes(out, command->actor);
    encode_body(out, command);
    if (out->len - start > STORE_COMMAND_BYTES_MAX) {
        size_t bytes = out->len - start;
        out->len = start;
        return error_set(err, ERR_LIMIT, "command of %zu bytes, at most %zu", bytes,
                         STORE_COMMAND_BYTES_MAX);
    }
    return 0;
}

/* --- decoding --------------------------------------------------------------------------------- */

void store_compare_decode(struct span_reader *reader, struct store_compare *compare)
{
    compare->target = span_take_u8(reader);
    compare->relation = span_take_u8(reader);
    compare->key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    if (compare->target == STORE_CMP_VALUE) {
        compare->bytes = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
    } else {
        compare->number = (int64_t)span_take_u64(reader);
    }
}

static void decode_op(struct span_reader *reader, struct store_op *op)
{
    op->type = span_take_u8(reader);
    switch (op->type) {
    case STORE_OP_PUT:
        op->key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
        op->value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
        op->lease = span_take_u64(reader);
        return;
    case STORE_OP_DELETE:
    case STORE_OP_DELETE_PREFIX: op->key = span_take_bytes(reader, STORE_KEY_BYTES_MAX); return;
    case STORE_OP_LEASE_GRANT:
        op->lease = span_take_u64(reader);
        op->ttl_ms = (int64_t)span_take_u64(reader);
        op->stamp = (int64_t)span_take_u64(reader);
        op->flags = span_take_u32(reader);
        return;
    case STORE_OP_LEASE_END: op->lease = span_take_u64(reader); return;
    }
    /* Unknown: validation refuses it. */
}

/* The counts are bounded first, so that the arena is too: at most 3 * 128 items. */
static void decode_txn(struct span_reader *reader, struct store_command *command, struct buf *arena)
{
    size_t compares = span_take_u8(reader);
    size_t success = span_take_u8(reader);
    size_t failure = span_take_u8(reader);
    if (compares > STORE_TXN_ITEMS_MAX || success > STORE_TXN_ITEMS_MAX ||
        failure > STORE_TXN_ITEMS_MAX) {
        reader->failed = true;
        return;
    }
    size_t bytes =
        compares * sizeof(struct store_compare) + (success + failure) * sizeof(struct store_op);
    buf_clear(arena);
    buf_reserve(arena, bytes);
    memset(arena->data, 0, bytes);
    struct store_compare *compare = (struct store_compare *)(void *)arena->data;
    struct store_op *op = (struct store_op *)(void *)(compare + compares);
    for (size_t i = 0; i < compares && !reader->failed; i++) {
        store_compare_decode(reader, &compare[i]);
    }
    for (size_t i = 0; i < success + failure && !reader->failed; i++) {
        decode_op(reader, &op[i]);
    }
    command->compares = compare;
    command->compare_count = compares;
    command->success = op;
    command->success_count = success;
    command->failure = op + success;
    command->failure_count = failure;
}

static void decode_body(struct span_reader *reader, struct store_command *command,
                        struct buf *arena)
{
    switch (command->type) {
    case STORE_TXN: decode_txn(reader, command, arena); return;
    case STORE_LEASE_GRANT:
        command->lease = span_take_u64(reader);
        command->ttl_ms = (int64_t)span_take_u64(reader);
        command->stamp = (int64_t)span_take_u64(reader);
        command->flags = span_take_u32(reader);
        return;
    case STORE_LEASE_RENEW:
        command->lease = span_take_u64(reader);
        command->ttl_ms = (int64_t)span_take_u64(reader);
        command->stamp = (int64_t)span_take_u64(reader);
        return;
    case STORE_LEASE_EXPIRE:
        command->lease = span_take_u64(reader);
        command->number = span_take_u64(reader);
        return;
    case STORE_LEASE_REVOKE: command->lease = span_take_u64(reader); return;
    case STORE_MEMBER_SET:
        command->member.id = span_take_u64(reader);
        command->member.name = span_take_bytes(reader, STORE_MEMBER_NAME_BYTES_MAX);
        command->member.address = span_take_bytes(reader, STORE_MEMBER_ADDRESS_BYTES_MAX);
        return;
    case STORE_MEMBER_REMOVE: command->member.id = span_take_u64(reader); return;
    case STORE_MEMBER_CLIENTS:
        command->member.id = span_take_u64(reader);
        command->member.client_urls = span_take_bytes(reader, STORE_MEMBER_CLIENTS_BYTES_MAX);
        return;
    case STORE_COMPACT: command->number = span_take_u64(reader); return;
    case STORE_LEASE_KEEPALIVE: command->lease = span_take_u64(reader); return;
    case STORE_CLIENT_TXN:
    case STORE_V2: store_client_decode(reader, command, arena); return;
    case STORE_FORMAT: return;
    case STORE_DEPOSE:
        command->lease = span_take_u64(reader);
        decode_txn(reader, command, arena);
        return;
    }
    reader->failed = true;
}

bool store_command_has_output(struct span command)
{
    return command.len > 0 && command.data[0] == 2;
}

bool store_command_is_renewal(struct span command)
{
    return command.len > 1 && command.data[1] == STORE_LEASE_RENEW;
}

struct span store_command_actor(struct span bytes)
{
    struct span_reader reader = span_reader_of(bytes);
    (void)span_take_u16(&reader); /* version, type */
    for (int i = 0; i < 3; i++) { /* client, sequence, floor */
        (void)span_take_u64(&reader);
    }
    struct span actor = span_take_bytes(&reader, STORE_ACTOR_BYTES_MAX);
    return reader.failed ? span_of(NULL, 0) : actor;
}

int store_command_decode(struct span bytes, struct store_command *ret_command,
                         struct buf *ret_arena, struct error *err)
{
    if (bytes.len > STORE_COMMAND_BYTES_MAX) {
        return error_set(err, ERR_INVALID, "command of %zu bytes", bytes.len);
    }
    struct span_reader reader = span_reader_of(bytes);
    struct store_command command = {0};
    uint8_t version = span_take_u8(&reader);
    command.type = span_take_u8(&reader);
    if (version != version_of(command.type)) {
        return error_set(err, ERR_INVALID, "command of version %u, where its type has %u",
                         (unsigned)version, (unsigned)version_of(command.type));
    }
    command.client = span_take_u64(&reader);
    command.sequence = span_take_u64(&reader);
    command.floor = span_take_u64(&reader);
    command.actor = span_take_bytes(&reader, STORE_ACTOR_BYTES_MAX);
    decode_body(&reader, &command, ret_arena);
    if (!span_reader_done(&reader)) {
        return error_set(err, ERR_INVALID, "command is cut, too long, or of an unknown type");
    }
    if (store_command_validate(&command, err) != 0) {
        return ERR_INVALID;
    }
    *ret_command = command;
    return 0;
}
