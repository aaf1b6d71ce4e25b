/* Messages between members as bytes: what is written is read back, the bytes of this version are
 * fixed (tests/golden/raft; GOLDEN_WRITE=1 writes them anew, review the diff), and whatever is
 * wrong is refused whole. */
#include "raft/engine/peer_wire.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/configuration.h"
#include "raft/engine/log_command.h"
#include "tests/harness/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct buf configuration = BUF_INIT;
static struct raft_entry_rec entries[3];

/* One message of every kind, all fields different. */
static struct peer_message sample(enum peer_message_kind kind)
{
    struct peer_message message;
    memset(&message, 0, sizeof(message));
    message.kind = kind;
    message.version = 2;
    message.term = 7;
    switch (kind) {
    case PEER_APPEND: message.append = (struct peer_append){10, 4, 9, entries, 3}; break;
    case PEER_APPEND_RESULT:
        message.append_result = (struct peer_append_result){11, 10, 1, 3};
        break;
    case PEER_VOTE:
        message.vote = (struct peer_vote){0x1122334455667788, 12, 6, true, false};
        break;
    case PEER_VOTE_RESULT:
        message.vote_result = (struct peer_vote_result){true, false, 1, 3};
        break;
    case PEER_SNAPSHOT:
        message.snapshot =
            (struct peer_snapshot){20, 6, 1, buf_span(&configuration), span_str("state")};
        break;
    case PEER_TIMEOUT_NOW: message.timeout_now = (struct peer_timeout_now){13, 7}; break;
    case PEER_PROPOSE: message.propose = span_str("command"); break;
    case PEER_READ:
    case PEER_READ_RESULT:
    case PEER_PROBE:
    case PEER_PROBE_RESULT: message.read = (struct peer_read){14, 15}; break;
    }
    return message;
}

static const struct {
    enum peer_message_kind kind;
    const char *name;
} kinds[] = {
#define KIND(constant, name, number) {PEER_##constant, #name},
    PEER_MESSAGES(KIND)
#undef KIND
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int setup(void **state)
{
    uint64_t ids[] = {1, 0xabcdef, 3};
    (void)state;
    ASSERT(raft_first_configuration(ids, 3, &configuration, NULL) == 0);
    entries[0] = (struct raft_entry_rec){11, 5, RAFT_COMMAND, span_str("first")};
    entries[1] = (struct raft_entry_rec){12, 5, RAFT_CHANGE, buf_span(&configuration)};
    entries[2] = (struct raft_entry_rec){13, 7, RAFT_BARRIER, span_str("")};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_free(&configuration);
    return 0;
}

static void assert_golden(const char *name, struct span bytes)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "tests/golden/raft/%s.hex", name);
    golden_hex(path, bytes.data, bytes.len, "");
}

static void bytes_of_every_kind_are_those_of_version_1(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct buf bytes = BUF_INIT;
        struct peer_message message = sample(kinds[i].kind);
        peer_wire_encode(&message, &bytes);
        assert_golden(kinds[i].name, buf_span(&bytes));
        buf_free(&bytes);
    }
}

static void bytes_of_a_log_entry_and_a_configuration_are_fixed(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    struct log_command command;
    log_command_header(0x0102030405060708, 9, &bytes);
    buf_put_str(&bytes, "\1command"); /* as far as it is looked at here: its version */
    assert_golden("log_entry", buf_span(&bytes));
    assert_int_equal(log_command_decode(buf_span(&bytes), &command), 0);
    assert_true(command.client == 0x0102030405060708 && command.sequence == 9);
    assert_true(span_equal_str(command.command, "\1command"));
    assert_int_equal(
        log_command_decode(span_of(bytes.data, LOG_COMMAND_HEADER_BYTES - 1), &command),
        ERR_INVALID);
    bytes.data[0] = 2;
    assert_int_equal(log_command_decode(buf_span(&bytes), &command), ERR_UNSUPPORTED);
    buf_free(&bytes);
    assert_golden("configuration", buf_span(&configuration));
}

/* A member of today has members of 0.1 beside it while a group is upgraded, and their log. */
static void what_0_1_has_written_is_read(void **state)
{
    (void)state;
    char path[128];
    static uint8_t bytes[4096];
    for (size_t i = 0; i < KINDS; i++) {
        struct buf again = BUF_INIT;
        struct buf arena = BUF_INIT;
        struct peer_message wanted = sample(kinds[i].kind);
        struct peer_message read;
        struct buf as_today = BUF_INIT;
        (void)snprintf(path, sizeof(path), "tests/golden/0.1/raft/%s.hex", kinds[i].name);
        size_t len = golden_bytes(path, bytes, sizeof(bytes));
        assert_int_equal(peer_wire_decode(span_of(bytes, len), &read, &arena, NULL), 0);
        assert_int_equal(read.kind, wanted.kind);
        assert_int_equal(read.term, wanted.term);
        peer_wire_encode(&read, &again);
        peer_wire_encode(&wanted, &as_today);
        assert_true(span_equal(buf_span(&again), buf_span(&as_today)));
        buf_free(&again);
        buf_free(&as_today);
        buf_free(&arena);
    }
    struct log_command command;
    size_t len = golden_bytes("tests/golden/0.1/raft/log_entry.hex", bytes, sizeof(bytes));
    assert_int_equal(log_command_decode(span_of(bytes, len), &command), 0);
    assert_true(command.client == 0x0102030405060708 && command.sequence == 9);
    assert_true(span_equal_str(command.command, "\1command"));
    len = golden_bytes("tests/golden/0.1/raft/configuration.hex", bytes, sizeof(bytes));
    assert_true(span_equal(span_of(bytes, len), buf_span(&configuration)));
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct buf bytes = BUF_INIT;
        struct buf again = BUF_INIT;
        struct buf arena = BUF_INIT;
        struct peer_message message = sample(kinds[i].kind);
        struct peer_message read;
        peer_wire_encode(&message, &bytes);
        assert_int_equal(peer_wire_decode(buf_span(&bytes), &read, &arena, NULL), 0);
        assert_int_equal(read.kind, message.kind);
        assert_int_equal(read.term, message.term);
        assert_int_equal(read.version, message.version);
        peer_wire_encode(&read, &again);
        assert_true(span_equal(buf_span(&bytes), buf_span(&again)));
        if (read.kind == PEER_APPEND) {
            assert_int_equal(read.append.entries[1].index, 12);
        }
        buf_free(&bytes);
        buf_free(&again);
        buf_free(&arena);
    }
}

static void a_cut_or_lengthened_message_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct buf bytes = BUF_INIT;
        struct buf arena = BUF_INIT;
        struct peer_message message = sample(kinds[i].kind);
        struct peer_message read;
        peer_wire_encode(&message, &bytes);
        for (size_t len = 0; len < bytes.len; len++) {
            assert_true(peer_wire_decode(span_of(bytes.data, len), &read, &arena, NULL) != 0);
        }
        buf_put_u8(&bytes, 0);
        assert_int_equal(peer_wire_decode(buf_span(&bytes), &read, &arena, NULL), ERR_INVALID);
        buf_free(&bytes);
        buf_free(&arena);
    }
}

static int decode(const struct peer_message *message)
{
    struct buf bytes = BUF_INIT;
    struct buf arena = BUF_INIT;
    struct peer_message read;
    peer_wire_encode(message, &bytes);
    int rc = peer_wire_decode(buf_span(&bytes), &read, &arena, NULL);
    buf_free(&bytes);
    buf_free(&arena);
    return rc;
}

static void what_the_engine_would_only_assert_is_refused(void **state)
{
    (void)state;
    struct peer_message message = sample(PEER_APPEND);
    message.term = 0;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_APPEND);
    message.append.prev_term = 0; /* something before, without a term */
    assert_int_equal(decode(&message), ERR_INVALID);
    message.append.prev_index = 0;
    message.append.prev_term = 4;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_APPEND);
    message.term = 6; /* an entry above the leader's term */
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_APPEND);
    message.append.prev_term = 6; /* terms fall along the log */
    assert_int_equal(decode(&message), ERR_INVALID);
    struct raft_entry_rec broken = {11, 5, RAFT_CHANGE, span_str("no configuration")};
    message.append = (struct peer_append){10, 4, 9, &broken, 1};
    assert_int_equal(decode(&message), ERR_INVALID);
    broken.type = 4;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_SNAPSHOT);
    message.snapshot.configuration_index = 21;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_SNAPSHOT);
    message.snapshot.configuration = span_str("12345678");
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_SNAPSHOT);
    message.snapshot.last_term = 8;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_VOTE);
    message.vote.candidate = 0;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_PROPOSE);
    message.propose = span_str("");
    assert_int_equal(decode(&message), ERR_INVALID);
}

static int decode_bytes(const struct buf *bytes)
{
    struct buf arena = BUF_INIT;
    struct peer_message read;
    int rc = peer_wire_decode(buf_span(bytes), &read, &arena, NULL);
    buf_free(&arena);
    return rc;
}

/* Version, kind, version of the engine's message, term. */
static void put_header(struct buf *bytes, uint8_t version, uint8_t kind, uint64_t term)
{
    buf_clear(bytes);
    buf_put_u8(bytes, version);
    buf_put_u8(bytes, kind);
    buf_put_u8(bytes, 2);
    buf_put_u64(bytes, term);
}

/* All versions and all kinds that a byte can say; what we do not know is not guessed. */
static void an_unknown_version_or_kind_is_refused(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    for (unsigned version = 0; version < 256; version++) {
        struct peer_message message = sample(PEER_VOTE);
        buf_clear(&bytes);
        peer_wire_encode(&message, &bytes);
        bytes.data[0] = (uint8_t)version;
        assert_int_equal(decode_bytes(&bytes), version == PEER_WIRE_VERSION ? 0 : ERR_UNSUPPORTED);
    }
    for (unsigned kind = 0; kind < 256; kind++) {
        bool known = false;
        for (size_t i = 0; i < KINDS; i++) {
            known = known || (unsigned)kinds[i].kind == kind;
        }
        put_header(&bytes, PEER_WIRE_VERSION, (uint8_t)kind, 7);
        for (size_t len = 0; !known && len < 64; len++) {
            assert_int_equal(decode_bytes(&bytes), ERR_INVALID);
            buf_put_u8(&bytes, 0);
        }
    }
    buf_free(&bytes);
}

static void a_bool_is_0_or_1(void **state)
{
    (void)state;
    static const struct {
        enum peer_message_kind kind;
        size_t from_end; /* where its two bools stand */
    } rows[] = {{PEER_VOTE, 2}, {PEER_VOTE_RESULT, 6}};
    struct buf bytes = BUF_INIT;
    for (unsigned i = 0; i < 2U * 256 * 2; i++) {
        unsigned value = i / 2 % 256;
        size_t row = i / 512;
        struct peer_message message = sample(rows[row].kind);
        buf_clear(&bytes);
        peer_wire_encode(&message, &bytes);
        bytes.data[bytes.len - rows[row].from_end + i % 2] = (uint8_t)value;
        assert_int_equal(decode_bytes(&bytes), value <= 1 ? 0 : ERR_INVALID);
    }
    buf_free(&bytes);
}

/* Half of what 64 bits hold, and one more; only messages of ours may have no term. */
static void terms_and_indexes_stay_far_from_their_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct peer_message message = sample(kinds[i].kind);
        message.term = UINT64_MAX / 2;
        assert_int_equal(decode(&message), 0);
        message.term++;
        assert_int_equal(decode(&message), ERR_INVALID);
        message.term = 0;
        assert_int_equal(decode(&message), kinds[i].kind > PEER_TIMEOUT_NOW ? 0 : ERR_INVALID);
    }
    struct peer_message message = sample(PEER_APPEND);
    message.append.prev_index = UINT64_MAX / 2;
    assert_int_equal(decode(&message), 0);
    message.append.prev_index++;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_SNAPSHOT);
    message.snapshot.last_index = UINT64_MAX / 2;
    assert_int_equal(decode(&message), 0);
    message.snapshot.last_index++;
    assert_int_equal(decode(&message), ERR_INVALID);
}

static void a_snapshot_of_nothing_is_refused(void **state)
{
    (void)state;
    struct peer_message message = sample(PEER_SNAPSHOT);
    message.snapshot.last_index = 0;
    message.snapshot.configuration_index = 0;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_SNAPSHOT);
    message.snapshot.last_term = 0;
    assert_int_equal(decode(&message), ERR_INVALID);
    message = sample(PEER_SNAPSHOT);
    message.snapshot.configuration_index = 0;
    assert_int_equal(decode(&message), ERR_INVALID);
    message.snapshot.configuration_index = 20; /* of its last entry */
    assert_int_equal(decode(&message), 0);
    message.snapshot.last_term = 7; /* of the leader's own term */
    assert_int_equal(decode(&message), 0);
    message.snapshot.data = span_str("");
    assert_int_equal(decode(&message), 0);
}

static void an_append_from_the_very_beginning_is_read(void **state)
{
    (void)state;
    struct peer_message message = sample(PEER_APPEND);
    message.append = (struct peer_append){0, 0, 0, NULL, 0};
    assert_int_equal(decode(&message), 0);
    message.append = (struct peer_append){3, 7, 0, NULL, 0};
    assert_int_equal(decode(&message), 0);
    message.append.prev_term = 8; /* a later term before it */
    assert_int_equal(decode(&message), ERR_INVALID);
    struct raft_entry_rec entry = {1, 0, RAFT_COMMAND, span_str("x")};
    message.append = (struct peer_append){0, 0, 0, &entry, 1};
    assert_int_equal(decode(&message), ERR_INVALID);
    entry.term = 1;
    assert_int_equal(decode(&message), 0);
}

/* As many entries, and as many bytes, as there may be; and one more, all of it there. */
static void counts_and_lengths_end_at_their_limits(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    for (uint32_t more = 0; more < 2; more++) {
        uint32_t count = PEER_WIRE_ENTRIES_MAX + more;
        put_header(&bytes, PEER_WIRE_VERSION, PEER_APPEND, 7);
        buf_put_u64(&bytes, 10); /* previous index, its term, commit */
        buf_put_u64(&bytes, 4);
        buf_put_u64(&bytes, 9);
        buf_put_u32(&bytes, count);
        for (uint32_t i = 0; i < count; i++) {
            buf_put_u64(&bytes, 7);
            buf_put_u16(&bytes, RAFT_COMMAND);
            buf_put_u32(&bytes, 0);
        }
        assert_int_equal(decode_bytes(&bytes), more == 0 ? 0 : ERR_INVALID);

        uint32_t len = PEER_WIRE_ENTRY_BYTES_MAX + more;
        put_header(&bytes, PEER_WIRE_VERSION, PEER_PROPOSE, 7);
        buf_put_u32(&bytes, len);
        buf_reserve(&bytes, len);
        memset(bytes.data + bytes.len, 'x', len);
        bytes.len += len;
        assert_int_equal(decode_bytes(&bytes), more == 0 ? 0 : ERR_INVALID);
    }
    buf_free(&bytes);
}

static void our_configuration_bytes_are_the_librarys(void **state)
{
    (void)state;
    struct configuration parsed;
    struct raft_configuration theirs;
    struct raft_buffer encoded;
    assert_int_equal(configuration_decode(buf_span(&configuration), &parsed, NULL), 0);
    configuration_to_raft(&parsed, &theirs);
    assert_int_equal(raft_configuration_encode(&theirs, &encoded), 0);
    assert_true(span_equal(buf_span(&configuration), span_of(encoded.base, encoded.len)));
    raft_free(encoded.base);
    raft_configuration_close(&theirs);
}

static void a_damaged_configuration_is_refused(void **state)
{
    (void)state;
    struct configuration parsed;
    struct error err;
    for (size_t len = 0; len < configuration.len; len++) {
        assert_int_equal(configuration_decode(span_of(configuration.data, len), &parsed, &err),
                         ERR_CORRUPT);
    }
    for (size_t at = 0; at < configuration.len; at++) {
        struct buf copy = BUF_INIT;
        struct buf again = BUF_INIT;
        buf_put_span(&copy, buf_span(&configuration));
        copy.data[at] ^= 1;
        if (configuration_decode(buf_span(&copy), &parsed, &err) == 0) {
            configuration_encode(
                &parsed, &again); /* another role is another configuration, nothing else passes */
            assert_true(span_equal(buf_span(&copy), buf_span(&again)));
        }
        buf_free(&copy);
        buf_free(&again);
    }
}

static void the_first_configuration_is_the_same_in_any_order(void **state)
{
    (void)state;
    uint64_t one[] = {3, 0xabcdef, 1};
    uint64_t twice[] = {3, 3};
    uint64_t many[CONFIGURATION_VOTERS_MAX + 1] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct buf bytes = BUF_INIT;
    assert_int_equal(raft_first_configuration(one, 3, &bytes, NULL), 0);
    assert_true(span_equal(buf_span(&bytes), buf_span(&configuration)));
    assert_int_equal(raft_first_configuration(twice, 2, &bytes, NULL), ERR_EXISTS);
    assert_int_equal(raft_first_configuration(one, 0, &bytes, NULL), ERR_INVALID);
    assert_int_equal(raft_first_configuration(many, CONFIGURATION_VOTERS_MAX + 1, &bytes, NULL),
                     ERR_LIMIT);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_every_kind_are_those_of_version_1),
        cmocka_unit_test(bytes_of_a_log_entry_and_a_configuration_are_fixed),
        cmocka_unit_test(what_0_1_has_written_is_read),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_cut_or_lengthened_message_is_refused),
        cmocka_unit_test(what_the_engine_would_only_assert_is_refused),
        cmocka_unit_test(an_unknown_version_or_kind_is_refused),
        cmocka_unit_test(a_bool_is_0_or_1),
        cmocka_unit_test(terms_and_indexes_stay_far_from_their_end),
        cmocka_unit_test(a_snapshot_of_nothing_is_refused),
        cmocka_unit_test(an_append_from_the_very_beginning_is_read),
        cmocka_unit_test(counts_and_lengths_end_at_their_limits),
        cmocka_unit_test(our_configuration_bytes_are_the_librarys),
        cmocka_unit_test(a_damaged_configuration_is_refused),
        cmocka_unit_test(the_first_configuration_is_the_same_in_any_order),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
