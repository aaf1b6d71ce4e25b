/* The handshake and the outer frame: golden bytes, both ways through, and everything that must not
 * get through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "raft/engine/cluster_id.h"
#include "raft/engine/crc32c.h"
#include "raft/engine/handshake.h"

#include <stdio.h>
#include <string.h>

static const struct handshake_identity caller_identity = {.id = 0x1111,
                                                          .cluster = 0xc1,
                                                          .incarnation = 7,
                                                          .flags = HANDSHAKE_WAITING,
                                                          .group_size = 3,
                                                          .name = "node1",
                                                          .address = "10.0.0.1:2222"};
static const struct handshake_identity listener_identity = {.id = 0x2222,
                                                            .cluster = 0xc1,
                                                            .incarnation = 9,
                                                            .group_size = 3,
                                                            .name = "node2",
                                                            .address = "10.0.0.2:2222"};

struct pair {
    struct handshake caller;
    struct handshake listener;
    struct buf to_listener;
    struct buf to_caller;
    struct error caller_err;
    struct error listener_err;
    int caller_rc;
    int listener_rc;
};

static void pair_start(struct pair *pair, const char *caller_password,
                       const char *listener_password, enum handshake_role role,
                       const struct handshake_identity *caller,
                       const struct handshake_identity *listener)
{
    memset(pair, 0, sizeof *pair);
    struct handshake_config config = {
        .caller = true, .role = role, .password = caller_password, .identity = caller};
    memset(config.nonce, 0xaa, sizeof config.nonce);
    handshake_init(&pair->caller, &config, &pair->to_listener);
    config = (struct handshake_config){
        .role = HANDSHAKE_MEMBER, .password = listener_password, .identity = listener};
    memset(config.nonce, 0xbb, sizeof config.nonce);
    handshake_init(&pair->listener, &config, &pair->to_caller);
}

static void pair_free(struct pair *pair)
{
    handshake_free(&pair->caller);
    handshake_free(&pair->listener);
    buf_free(&pair->to_caller);
    buf_free(&pair->to_listener);
}

static bool over(const struct handshake *handshake)
{
    return handshake->state == HANDSHAKE_DONE || handshake->state == HANDSHAKE_FAILED;
}

/* One frame from `in` into the handshake; false if there is none. */
static bool deliver(struct handshake *handshake, struct buf *in, struct buf *out, int *ret_rc,
                    struct error *err)
{
    struct peer_frame frame;
    size_t used = 0;
    int rc =
        peer_frame_decode(buf_span(in), PEER_FRAME_UNAUTHENTICATED_BYTES_MAX, &frame, &used, err);
    assert_true(rc >= 0);
    if (rc == 0 || over(handshake)) {
        return false;
    }
    *ret_rc = handshake_input(handshake, &frame, out, err);
    buf_drop(in, used);
    return true;
}

static void pair_run(struct pair *pair)
{
    while (deliver(&pair->listener, &pair->to_listener, &pair->to_caller, &pair->listener_rc,
                   &pair->listener_err) ||
           deliver(&pair->caller, &pair->to_caller, &pair->to_listener, &pair->caller_rc,
                   &pair->caller_err)) {
    }
}

static void expect_done(struct pair *pair)
{
    pair_run(pair);
    assert_int_equal(pair->caller.state, HANDSHAKE_DONE);
    assert_int_equal(pair->listener.state, HANDSHAKE_DONE);
    assert_string_equal(pair->caller.peer.name, "node2");
    assert_true(pair->listener.peer.id == pair->caller.self.id);
}

static void members_with_one_password_know_each_other(void **state)
{
    (void)state;
    struct pair pair;
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    expect_done(&pair);
    assert_memory_equal(&pair.listener.peer, &caller_identity, sizeof caller_identity);
    assert_memory_equal(&pair.caller.peer, &listener_identity, sizeof listener_identity);
    pair_free(&pair);
}

static void members_without_a_password_know_each_other(void **state)
{
    (void)state;
    struct pair pair;
    pair_start(&pair, NULL, "", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    expect_done(&pair);
    pair_free(&pair);
}

static void a_client_needs_no_id_and_no_cluster(void **state)
{
    (void)state;
    struct pair pair;
    struct handshake_identity client = {.id = 0};
    pair_start(&pair, "secret", "secret", HANDSHAKE_CLIENT, &client, &listener_identity);
    expect_done(&pair);
    assert_int_equal(pair.listener.peer_role, HANDSHAKE_CLIENT);
    pair_free(&pair);
}

static void expect_permission(const char *caller_password, const char *listener_password)
{
    struct pair pair;
    pair_start(&pair, caller_password, listener_password, HANDSHAKE_MEMBER, &caller_identity,
               &listener_identity);
    pair_run(&pair);
    assert_int_equal(pair.caller.state, HANDSHAKE_FAILED);
    assert_int_equal(pair.listener.state, HANDSHAKE_FAILED);
    assert_int_equal(pair.caller_rc, ERR_PERMISSION);
    assert_int_equal(pair.listener_rc, ERR_PERMISSION);
    pair_free(&pair);
}

static void a_wrong_or_missing_password_is_refused(void **state)
{
    (void)state;
    expect_permission("secret", "Secret");
    expect_permission("secret", "secret ");
    expect_permission(NULL, "secret");
    expect_permission("secret", NULL);
}

static void another_cluster_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct handshake_identity foreign = listener_identity;
    foreign.cluster = 0xc2;
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &foreign);
    pair_run(&pair);
    assert_int_equal(pair.listener_rc, ERR_CONFLICT);
    assert_int_equal(pair.caller.state, HANDSHAKE_FAILED);
    pair_free(&pair);
    /* Recovered from ours: who is left behind has to hear it from somebody who has proved himself.
     */
    foreign.cluster = cluster_id_recovered(caller_identity.cluster, 1);
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &foreign);
    expect_done(&pair);
    pair_free(&pair);
    foreign.cluster = 0; /* none yet: it may ask */
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &foreign);
    expect_done(&pair);
    pair_free(&pair);
}

static void the_password_is_not_in_what_is_sent(void **state)
{
    (void)state;
    struct pair pair;
    struct buf wire = BUF_INIT;
    pair_start(&pair, "sesame-open", "sesame-open", HANDSHAKE_MEMBER, &caller_identity,
               &listener_identity);
    for (bool more = true; more;) {
        buf_put_span(&wire, buf_span(&pair.to_listener));
        more = deliver(&pair.listener, &pair.to_listener, &pair.to_caller, &pair.listener_rc,
                       &pair.listener_err);
        buf_put_span(&wire, buf_span(&pair.to_caller));
        more = deliver(&pair.caller, &pair.to_caller, &pair.to_listener, &pair.caller_rc,
                       &pair.caller_err) ||
               more;
    }
    assert_int_equal(pair.listener.state, HANDSHAKE_DONE);
    assert_true(wire.len > 200);
    assert_null(memmem(wire.data, wire.len, "sesame", 6));
    buf_free(&wire);
    pair_free(&pair);
}

/* An attacker without the password sends our own messages back to us. */
static void a_reflected_hello_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    struct peer_frame frame;
    size_t used = 0;
    struct error err = {0};
    assert_int_equal(peer_frame_decode(buf_span(&pair.to_listener), 4096, &frame, &used, &err), 1);
    frame.type = PEER_FRAME_CHALLENGE;
    assert_int_equal(handshake_input(&pair.caller, &frame, &pair.to_caller, &err), ERR_PERMISSION);
    pair_free(&pair);
}

/* The caller's proof, sent back as the listener's welcome: another label, so another mac. */
static void a_reflected_proof_is_no_welcome(void **state)
{
    (void)state;
    struct pair pair;
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    struct error err = {0};
    int rc = 0;
    assert_true(deliver(&pair.listener, &pair.to_listener, &pair.to_caller, &rc, &err));
    assert_true(deliver(&pair.caller, &pair.to_caller, &pair.to_listener, &rc, &err));
    struct peer_frame frame;
    size_t used = 0;
    assert_int_equal(peer_frame_decode(buf_span(&pair.to_listener), 4096, &frame, &used, &err), 1);
    assert_int_equal(frame.type, PEER_FRAME_PROOF);
    frame.type = PEER_FRAME_WELCOME;
    assert_int_equal(handshake_input(&pair.caller, &frame, &pair.to_caller, &err), ERR_PERMISSION);
    pair_free(&pair);
}

static void a_recorded_proof_does_not_open_another_connection(void **state)
{
    (void)state;
    struct pair first;
    pair_start(&first, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    struct buf recorded = BUF_INIT;
    struct error err = {0};
    int rc = 0;
    buf_put_span(&recorded, buf_span(&first.to_listener));
    assert_true(deliver(&first.listener, &first.to_listener, &first.to_caller, &rc, &err));
    assert_true(deliver(&first.caller, &first.to_caller, &first.to_listener, &rc, &err));
    buf_put_span(&recorded, buf_span(&first.to_listener));
    pair_free(&first);

    struct handshake listener;
    struct buf out = BUF_INIT;
    struct handshake_config config = {
        .role = HANDSHAKE_MEMBER, .password = "secret", .identity = &listener_identity};
    memset(config.nonce, 0xcc, sizeof config.nonce); /* what RAND_bytes would change */
    handshake_init(&listener, &config, &out);
    assert_true(deliver(&listener, &recorded, &out, &rc, &err));
    assert_int_equal(rc, 0);
    assert_true(deliver(&listener, &recorded, &out, &rc, &err));
    assert_int_equal(rc, ERR_PERMISSION);
    handshake_free(&listener);
    buf_free(&out);
    buf_free(&recorded);
}

static void put_sum(uint8_t *at, uint32_t crc)
{
    for (size_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(crc >> (8 * i));
    }
}

/* The one frame in `bytes` as a sender of just these would have sent it. */
static void sum_again(struct buf *bytes)
{
    struct span payload =
        span_of(bytes->data + PEER_FRAME_HEADER_BYTES, bytes->len - PEER_FRAME_HEADER_BYTES);
    put_sum(bytes->data + 32, crc32c(0, payload));
    put_sum(bytes->data + 36, crc32c(0, span_of(bytes->data, 36)));
}

/* Each byte of what the macs cover, changed on the way by somebody in the middle. */
static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct pair probe;
    pair_start(&probe, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    size_t hello_bytes = probe.to_listener.len;
    pair_free(&probe);
    for (size_t at = PEER_FRAME_HEADER_BYTES; at < hello_bytes; at++) {
        struct pair pair;
        pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity,
                   &listener_identity);
        pair.to_listener.data[at] ^= 1;
        sum_again(&pair.to_listener);
        pair_run(&pair);
        assert_int_not_equal(pair.listener.state, HANDSHAKE_DONE);
        assert_int_not_equal(pair.caller.state, HANDSHAKE_DONE);
        pair_free(&pair);
    }
}

static void frames_out_of_turn_are_refused(void **state)
{
    (void)state;
    const enum peer_frame_type types[] = {
        PEER_FRAME_CHALLENGE, PEER_FRAME_PROOF,   PEER_FRAME_WELCOME, PEER_FRAME_RAFT,
        PEER_FRAME_JOIN,      PEER_FRAME_REQUEST, PEER_FRAME_FIRST};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct pair pair;
        pair_start(&pair, NULL, NULL, HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
        struct peer_frame frame = {.type = types[i]};
        assert_int_equal(handshake_input(&pair.listener, &frame, &pair.to_caller, NULL),
                         ERR_INVALID);
        assert_int_equal(pair.listener.state, HANDSHAKE_FAILED);
        pair_free(&pair);
    }
}

static void a_name_with_control_characters_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    struct handshake_identity evil = caller_identity;
    strcpy(evil.name, "a\nb");
    pair_start(&pair, NULL, NULL, HANDSHAKE_MEMBER, &evil, &listener_identity);
    pair_run(&pair);
    assert_int_equal(pair.listener_rc, ERR_INVALID);
    pair_free(&pair);
}

static void hex_of(struct span bytes, char *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        sprintf(out + 2 * i, "%02x", bytes.data[i]);
    }
}

/* Two releases have to understand each other: these bytes change only with the version in them. */
static void golden_bytes_of_the_handshake(void **state)
{
    (void)state;
    struct pair pair;
    char hex[1024];
    pair_start(&pair, "secret", "secret", HANDSHAKE_MEMBER, &caller_identity, &listener_identity);
    hex_of(buf_span(&pair.to_listener), hex);
    assert_string_equal(hex, "7a00000002010000"
                             "1111000000000000"
                             "0000000000000000"
                             "c100000000000000"
                             "a83dc4f90303ae2d"
                             "0101"
                             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                             "1111000000000000"
                             "c100000000000000"
                             "0700000000000000"
                             "0403"
                             "05000000"
                             "6e6f646531"
                             "0d000000"
                             "31302e302e302e313a32323232");
    struct error err = {0};
    int rc = 0;
    assert_true(deliver(&pair.listener, &pair.to_listener, &pair.to_caller, &rc, &err));
    assert_true(deliver(&pair.caller, &pair.to_caller, &pair.to_listener, &rc, &err));
    hex_of(buf_span(&pair.to_listener), hex);
    /* mac computed apart, with Python's hmac, from label + NUL, and the two payloads with their
     * lengths; so were the checksums */
    assert_string_equal(hex, "440000000203000011110000000000000000000000000000c100000000000000"
                             "6f7b86756bcbf659"
                             "97d3bf7cf9f13685c0ebd108a04d5bdb366f5c4c4d243d08540a7fd2ffda76e0");
    assert_true(deliver(&pair.listener, &pair.to_listener, &pair.to_caller, &rc, &err));
    hex_of(buf_span(&pair.to_caller), hex);
    assert_string_equal(hex, "440000000204000022220000000000000000000000000000c100000000000000"
                             "ce9b6a70a1141c47"
                             "e2f91ea979ddc2f7e02cee2dc0fc872d22f9efb2e5c7d150ea7643d5cde72430");
    pair_free(&pair);
}

/* --- frame ------------------------------------------------------------------------------------ */

static void a_frame_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    struct peer_frame frame = {
        .type = PEER_FRAME_RAFT, .from = 1, .to = 2, .cluster = 3, .payload = span_str("xyz")};
    peer_frame_encode(&frame, &bytes);
    char hex[256];
    hex_of(buf_span(&bytes), hex);
    assert_string_equal(hex, "2700000002100000"
                             "0100000000000000"
                             "0200000000000000"
                             "0300000000000000"
                             "85682325ea7296c7"
                             "78797a");
    struct peer_frame back;
    size_t used = 0;
    assert_int_equal(peer_frame_decode(buf_span(&bytes), 4096, &back, &used, NULL), 1);
    assert_int_equal(used, bytes.len);
    assert_int_equal(back.type, PEER_FRAME_RAFT);
    assert_true(back.from == 1 && back.to == 2 && back.cluster == 3);
    assert_true(span_equal_str(back.payload, "xyz"));
    buf_free(&bytes);
}

static void a_beginning_of_a_frame_waits_for_the_rest(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    struct peer_frame frame = {.type = PEER_FRAME_PING, .payload = span_str("xyz")};
    peer_frame_encode(&frame, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        struct peer_frame back;
        size_t used = 0;
        assert_int_equal(peer_frame_decode(span_of(bytes.data, len), 4096, &back, &used, NULL), 0);
    }
    buf_free(&bytes);
}

static int decode_changed(size_t at, uint8_t value, size_t frame_bytes_max)
{
    struct buf bytes = BUF_INIT;
    struct peer_frame frame = {.type = PEER_FRAME_PING, .payload = span_str("xyz")};
    peer_frame_encode(&frame, &bytes);
    bytes.data[at] = value;
    sum_again(&bytes);
    struct peer_frame back;
    size_t used = 0;
    int rc = peer_frame_decode(buf_span(&bytes), frame_bytes_max, &back, &used, NULL);
    buf_free(&bytes);
    return rc;
}

static void bytes_that_are_no_frame_are_refused(void **state)
{
    (void)state;
    assert_int_equal(decode_changed(4, 3, 4096), ERR_UNSUPPORTED); /* version */
    assert_int_equal(decode_changed(5, 0, 4096), ERR_INVALID);     /* type */
    assert_int_equal(decode_changed(5, 99, 4096), ERR_INVALID);
    assert_int_equal(decode_changed(6, 1, 4096), ERR_INVALID);  /* reserved */
    assert_int_equal(decode_changed(0, 35, 4096), ERR_INVALID); /* shorter than its header */
    assert_int_equal(decode_changed(0, 39, 42), ERR_LIMIT);
    assert_int_equal(decode_changed(0, 39, 43), 1);
    assert_int_equal(decode_changed(3, 0x7f, 4096), ERR_LIMIT); /* 2 GiB are not waited for */
    struct span http = span_str("GET /primary HTTP/1.1\r\nHost: somewhere\r\n\r\n");
    struct peer_frame back;
    size_t used = 0;
    assert_int_equal(peer_frame_decode(http, 4096, &back, &used, NULL), ERR_UNSUPPORTED);
}

/* Also in the length: a frame that is taken for a longer one would be waited for. */
static void a_flipped_bit_anywhere_in_a_frame_is_noticed(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    struct peer_frame frame = {
        .type = PEER_FRAME_RAFT, .from = 1, .to = 2, .cluster = 3, .payload = span_str("xyz")};
    peer_frame_encode(&frame, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        struct peer_frame back;
        size_t used = 0;
        bytes.data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        int rc = peer_frame_decode(buf_span(&bytes), 4096, &back, &used, NULL);
        assert_int_equal(rc, bit / 8 == 4 ? ERR_UNSUPPORTED : ERR_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
    buf_free(&bytes);
}

/* The hello of the release before: it had no checksums. */
static void a_frame_of_the_version_before_is_refused_by_its_number(void **state)
{
    (void)state;
    uint8_t hello[128] = {124, 0, 0, 0, 1, PEER_FRAME_HELLO};
    struct peer_frame back;
    struct error err = {0};
    size_t used = 0;
    assert_int_equal(peer_frame_decode(span_of(hello, sizeof hello), 4096, &back, &used, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "version 1 where 2 is spoken"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_with_one_password_know_each_other),
        cmocka_unit_test(members_without_a_password_know_each_other),
        cmocka_unit_test(a_client_needs_no_id_and_no_cluster),
        cmocka_unit_test(a_wrong_or_missing_password_is_refused),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(the_password_is_not_in_what_is_sent),
        cmocka_unit_test(a_reflected_hello_is_refused),
        cmocka_unit_test(a_reflected_proof_is_no_welcome),
        cmocka_unit_test(a_recorded_proof_does_not_open_another_connection),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(frames_out_of_turn_are_refused),
        cmocka_unit_test(a_name_with_control_characters_is_refused),
        cmocka_unit_test(golden_bytes_of_the_handshake),
        cmocka_unit_test(a_frame_comes_back_as_it_was),
        cmocka_unit_test(a_beginning_of_a_frame_waits_for_the_rest),
        cmocka_unit_test(bytes_that_are_no_frame_are_refused),
        cmocka_unit_test(a_flipped_bit_anywhere_in_a_frame_is_noticed),
        cmocka_unit_test(a_frame_of_the_version_before_is_refused_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
