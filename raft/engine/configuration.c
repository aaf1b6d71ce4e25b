/* libraft's encoding: version byte 1, count (8 bytes), then per server id (8), label (text with its
 * zero), role (1); zeros up to a multiple of 8. Little endian. Anything else is refused whole. */
#include "raft/engine/configuration.h"

#include "base/assert.h"
#include "raft/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CONFIGURATION_FORMAT 1

static void label_of(uint64_t id, char label[CONFIGURATION_LABEL_BYTES])
{
    (void)snprintf(label, CONFIGURATION_LABEL_BYTES, "%" PRIx64, id);
}

/* Takes the label and compares it: a label that is not the id in hex was not made by us. */
static bool take_label(struct span_reader *reader, uint64_t id)
{
    char label[CONFIGURATION_LABEL_BYTES];
    label_of(id, label);
    size_t len = strlen(label) + 1;
    for (size_t i = 0; i < len; i++) {
        if (span_take_u8(reader) != (uint8_t)label[i]) {
            return false;
        }
    }
    return true;
}

static bool take_server(struct span_reader *reader, struct configuration *configuration)
{
    struct configuration_server server = {.id = span_take_u64(reader)};
    if (server.id == 0 || configuration_find(configuration, server.id) < configuration->count ||
        !take_label(reader, server.id)) {
        return false;
    }
    uint8_t role = span_take_u8(reader);
    if (reader->failed || (role != RAFT_STANDBY && role != RAFT_VOTER)) {
        return false;
    }
    server.voter = role == RAFT_VOTER;
    configuration->servers[configuration->count++] = server;
    return true;
}

int configuration_decode(struct span bytes, struct configuration *ret_configuration,
                         struct error *err)
{
    struct configuration found = {0};
    struct span_reader reader = span_reader_of(bytes);
    uint8_t format = span_take_u8(&reader);
    uint64_t count = span_take_u64(&reader);
    if (reader.failed || format != CONFIGURATION_FORMAT || count == 0 ||
        count > CONFIGURATION_SERVERS_MAX) {
        return error_set(err, ERR_CORRUPT,
                         "configuration: format %u with %" PRIu64 " servers in %zu bytes",
                         (unsigned)format, count, bytes.len);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (!take_server(&reader, &found)) {
            return error_set(err, ERR_CORRUPT, "configuration: server %" PRIu64 " cannot be read",
                             i);
        }
    }
    if (bytes.len % 8 != 0 || reader.rest.len >= 8) {
        return error_set(err, ERR_CORRUPT, "configuration: %zu bytes left", reader.rest.len);
    }
    while (reader.rest.len > 0) {
        if (span_take_u8(&reader) != 0) {
            return error_set(err, ERR_CORRUPT, "configuration: bytes after the end");
        }
    }
    *ret_configuration = found;
    return 0;
}

void configuration_encode(const struct configuration *configuration, struct buf *out)
{
    size_t start = out->len;
    ASSERT(configuration->count > 0);
    buf_put_u8(out, CONFIGURATION_FORMAT);
    buf_put_u64(out, configuration->count);
    for (size_t i = 0; i < configuration->count; i++) {
        char label[CONFIGURATION_LABEL_BYTES];
        label_of(configuration->servers[i].id, label);
        buf_put_u64(out, configuration->servers[i].id);
        buf_put(out, label, strlen(label) + 1);
        buf_put_u8(out, configuration->servers[i].voter ? RAFT_VOTER : RAFT_STANDBY);
    }
    while ((out->len - start) % 8 != 0) {
        buf_put_u8(out, 0);
    }
}

void configuration_to_raft(const struct configuration *configuration,
                           struct raft_configuration *ret_raft)
{
    raft_configuration_init(ret_raft);
    for (size_t i = 0; i < configuration->count; i++) {
        char label[CONFIGURATION_LABEL_BYTES];
        label_of(configuration->servers[i].id, label);
        int rv =
            raft_configuration_add(ret_raft, configuration->servers[i].id, label,
                                   configuration->servers[i].voter ? RAFT_VOTER : RAFT_STANDBY);
        ASSERT(rv == 0);
    }
}

size_t configuration_find(const struct configuration *configuration, uint64_t id)
{
    size_t i = 0;
    while (i < configuration->count && configuration->servers[i].id != id) {
        i++;
    }
    return i;
}

bool configuration_is_voter(const struct configuration *configuration, uint64_t id)
{
    size_t i = configuration_find(configuration, id);
    return i < configuration->count && configuration->servers[i].voter;
}

size_t configuration_voters(const struct configuration *configuration)
{
    size_t voters = 0;
    for (size_t i = 0; i < configuration->count; i++) {
        voters += configuration->servers[i].voter ? 1 : 0;
    }
    return voters;
}

bool configuration_only_voter(const struct configuration *configuration, uint64_t id)
{
    return configuration_voters(configuration) == 1 && configuration_is_voter(configuration, id);
}

int configuration_append(struct configuration *configuration, uint64_t id, bool voter,
                         struct error *err)
{
    if (id == 0 || id == UINT64_MAX) {
        return error_set(err, ERR_INVALID, "0 and the largest number are no member ids");
    }
    if (configuration_find(configuration, id) < configuration->count) {
        return error_set(err, ERR_EXISTS, "member %" PRIx64 " is in the group already", id);
    }
    if (configuration->count == CONFIGURATION_SERVERS_MAX) {
        return error_set(err, ERR_LIMIT, "a group has at most %d members",
                         CONFIGURATION_SERVERS_MAX);
    }
    if (voter && configuration_voters(configuration) == CONFIGURATION_VOTERS_MAX) {
        return error_set(err, ERR_LIMIT, "a group has at most %d voters", CONFIGURATION_VOTERS_MAX);
    }
    configuration->servers[configuration->count++] =
        (struct configuration_server){.id = id, .voter = voter};
    return 0;
}

int configuration_remove(struct configuration *configuration, uint64_t id, struct error *err)
{
    size_t i = configuration_find(configuration, id);
    if (i == configuration->count) {
        return error_set(err, ERR_NOT_FOUND, "member %" PRIx64 " is not in the group", id);
    }
    for (; i + 1 < configuration->count; i++) {
        configuration->servers[i] = configuration->servers[i + 1];
    }
    configuration->count--;
    return 0;
}

int configuration_promote(struct configuration *configuration, uint64_t id, struct error *err)
{
    size_t i = configuration_find(configuration, id);
    if (i == configuration->count) {
        return error_set(err, ERR_NOT_FOUND, "member %" PRIx64 " is not in the group", id);
    }
    if (configuration->servers[i].voter) {
        return error_set(err, ERR_EXISTS, "member %" PRIx64 " is a voter already", id);
    }
    if (configuration_voters(configuration) == CONFIGURATION_VOTERS_MAX) {
        return error_set(err, ERR_LIMIT, "a group has at most %d voters", CONFIGURATION_VOTERS_MAX);
    }
    configuration->servers[i].voter = true;
    return 0;
}

static bool same_server(const struct configuration_server *a, const struct configuration_server *b)
{
    return a->id == b->id && a->voter == b->voter;
}

/* `longer` is `shorter` with one server inserted at any place. */
static bool is_one_more(const struct configuration *shorter, const struct configuration *longer)
{
    size_t skipped = 0;
    for (size_t i = 0; i < shorter->count; i++) {
        if (skipped == 0 && !same_server(&shorter->servers[i], &longer->servers[i])) {
            skipped = 1;
        }
        if (!same_server(&shorter->servers[i], &longer->servers[i + skipped])) {
            return false;
        }
    }
    return true;
}

bool configuration_is_one_step(const struct configuration *from, const struct configuration *to)
{
    if (to->count == from->count + 1) { /* appended: at the end only */
        return is_one_more(from, to) &&
               configuration_find(from, to->servers[from->count].id) == from->count;
    }
    if (from->count == to->count + 1) {
        return to->count > 0 && is_one_more(to, from);
    }
    if (from->count != to->count) {
        return false;
    }
    size_t roles = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (from->servers[i].id != to->servers[i].id) {
            return false;
        }
        roles += from->servers[i].voter != to->servers[i].voter ? 1 : 0;
    }
    return roles == 1;
}

int raft_first_configuration(const uint64_t *ids, size_t count, struct buf *out, struct error *err)
{
    struct configuration configuration = {0};
    for (size_t i = 0; i < count; i++) {
        int rc = configuration_append(&configuration, ids[i], true, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (count == 0) {
        return error_set(err, ERR_INVALID, "a group needs a member");
    }
    /* The bytes are the same on every member, whatever order it learnt the ids in. */
    for (size_t i = 1; i < count; i++) {
        struct configuration_server moved = configuration.servers[i];
        size_t j = i;
        for (; j > 0 && configuration.servers[j - 1].id > moved.id; j--) {
            configuration.servers[j] = configuration.servers[j - 1];
        }
        configuration.servers[j] = moved;
    }
    configuration_encode(&configuration, out);
    return 0;
}

size_t raft_boot_members(const struct raft_boot *boot, uint64_t *ret_ids, size_t count_max)
{
    struct span bytes = boot->has_snapshot ? boot->configuration : (struct span){0};
    for (size_t i = 0; i < boot->entry_count; i++) {
        if (boot->entries[i].type == RAFT_CHANGE) {
            bytes = boot->entries[i].data;
        }
    }
    struct configuration configuration = {0};
    if (bytes.len == 0 || configuration_decode(bytes, &configuration, NULL) != 0) {
        return 0;
    }
    size_t count = configuration.count < count_max ? configuration.count : count_max;
    for (size_t i = 0; i < count; i++) {
        ret_ids[i] = configuration.servers[i].id;
    }
    return count;
}
