/* Answers of name servers, whole and broken, and the order of RFC 2782. */
#include "base/net/srv_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Of the question `e. SRV`: one record a.e:2379, priority 1, weight 5, ttl 60. */
static const uint8_t good[] = {
    0,    7,   0x81, 0x80, 0,  1,  0, 1,   0,    0,  0, 0,  /* head */
    1,    'e', 0,    0,    33, 0,  1,                       /* question */
    0xc0, 12,  0,    33,   0,  1,  0, 0,   0,    60, 0, 10, /* record */
    0,    1,   0,    5,    9,  75, 1, 'a', 0xc0, 12,        /* a.e:2379 */
};

static int parse(const uint8_t *bytes, size_t len, struct srv_answer *ret_answer)
{
    struct error err = {0};
    int rc = srv_answer_parse(span_of(bytes, len), ret_answer, &err);
    assert_int_equal(err.code, rc);
    return rc;
}

static int parse_with(size_t at, uint8_t byte, struct srv_answer *ret_answer)
{
    uint8_t bytes[sizeof good];
    memcpy(bytes, good, sizeof good);
    bytes[at] = byte;
    return parse(bytes, sizeof bytes, ret_answer);
}

static void record_is_read(void **state)
{
    struct srv_answer answer;
    (void)state;
    assert_int_equal(parse(good, sizeof good, &answer), 0);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.ttl_s, 60);
    assert_string_equal(answer.records[0].target, "a.e");
    assert_int_equal(answer.records[0].priority, 1);
    assert_int_equal(answer.records[0].weight, 5);
    assert_int_equal(answer.records[0].port, 2379);
}

static void answer_that_ends_anywhere_is_refused(void **state)
{
    struct srv_answer answer;
    (void)state;
    for (size_t len = 0; len < sizeof good; len++) {
        assert_int_equal(parse(good, len, &answer), ERR_CORRUPT);
    }
}

static void no_byte_of_an_answer_makes_it_crash(void **state)
{
    struct srv_answer answer;
    (void)state;
    for (size_t at = 0; at < sizeof good; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            int rc = parse_with(at, (uint8_t)byte, &answer);
            assert_true(rc == 0 || rc == ERR_CORRUPT || rc == ERR_NOT_FOUND || rc == ERR_REFUSED);
        }
    }
}

static void what_is_of_no_use_is_left_out(void **state)
{
    struct srv_answer answer;
    (void)state;
    assert_int_equal(parse_with(sizeof good - 3, '/', &answer), ERR_NOT_FOUND); /* no host */
    assert_int_equal(parse_with(sizeof good - 4, 0, &answer), ERR_NOT_FOUND);   /* "." */
    assert_int_equal(parse_with(22, 1, &answer), ERR_NOT_FOUND);                /* an A record */
    assert_int_equal(parse_with(24, 3, &answer), ERR_NOT_FOUND);                /* class CHAOS */
    assert_int_equal(parse_with(7, 0, &answer), ERR_CORRUPT);                   /* bytes behind */
}

static void answers_that_say_no_are_told_apart(void **state)
{
    struct srv_answer answer;
    (void)state;
    assert_int_equal(parse_with(3, 0x83, &answer), ERR_NOT_FOUND);
    assert_int_equal(parse_with(3, 0x82, &answer), ERR_REFUSED);
    assert_int_equal(parse_with(2, 0x01, &answer), ERR_CORRUPT); /* a question */
    assert_int_equal(parse_with(2, 0x83, &answer), 0);           /* truncated, and has one */
    uint8_t none[19];                                            /* head and question */
    memcpy(none, good, sizeof none);
    none[7] = 0;
    assert_int_equal(parse(none, sizeof none, &answer), ERR_NOT_FOUND);
    none[2] = 0x83;
    assert_int_equal(parse(none, sizeof none, &answer), ERR_CORRUPT); /* cut off before the first */
}

static void target_that_points_at_itself_is_refused(void **state)
{
    struct srv_answer answer;
    (void)state;
    assert_int_equal(parse_with(sizeof good - 1, sizeof good - 4, &answer), ERR_CORRUPT);
    assert_int_equal(parse_with(sizeof good - 1, sizeof good - 2, &answer), ERR_CORRUPT);
}

static void records_over_the_limit_are_left_out(void **state)
{
    enum { HEAD = 19, RECORD = sizeof good - 19, COUNT = SRV_RECORDS_MAX + 8 };
    uint8_t bytes[HEAD + RECORD * COUNT];
    struct srv_answer answer;
    (void)state;
    memcpy(bytes, good, HEAD);
    bytes[7] = COUNT;
    for (size_t i = 0; i < COUNT; i++) {
        memcpy(bytes + HEAD + i * RECORD, good + HEAD, RECORD);
    }
    assert_int_equal(parse(bytes, sizeof bytes, &answer), 0);
    assert_int_equal(answer.count, SRV_RECORDS_MAX);
    static const uint8_t large[SRV_ANSWER_BYTES_MAX + 1] = {0, 7, 0x81, 0x80};
    assert_int_equal(parse(large, sizeof large, &answer), ERR_CORRUPT);
}

static void order_is_by_priority_and_then_by_weight_as_the_lot_falls(void **state)
{
    size_t first_of[4] = {0};
    (void)state;
    for (uint64_t random = 0; random < 1000; random++) {
        struct srv_answer answer = {.count = 4,
                                    .records = {{.priority = 9, .weight = 9, .port = 1},
                                                {.priority = 2, .weight = 3, .port = 2},
                                                {.priority = 2, .weight = 1, .port = 3},
                                                {.priority = 2, .weight = 0, .port = 4}}};
        srv_answer_order(&answer, random * 0x9e3779b97f4a7c15U);
        assert_int_equal(answer.records[3].port, 1);
        first_of[answer.records[0].port - 1]++;
        assert_int_equal(answer.records[0].port + answer.records[1].port + answer.records[2].port,
                         9);
    }
    assert_int_equal(first_of[0], 0); /* of 5 points 3, 1 and 1 */
    assert_in_range(first_of[1], 500, 700);
    assert_in_range(first_of[2], 120, 280);
    assert_in_range(first_of[3], 120, 280);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_is_read),
        cmocka_unit_test(answer_that_ends_anywhere_is_refused),
        cmocka_unit_test(no_byte_of_an_answer_makes_it_crash),
        cmocka_unit_test(what_is_of_no_use_is_left_out),
        cmocka_unit_test(answers_that_say_no_are_told_apart),
        cmocka_unit_test(target_that_points_at_itself_is_refused),
        cmocka_unit_test(records_over_the_limit_are_left_out),
        cmocka_unit_test(order_is_by_priority_and_then_by_weight_as_the_lot_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
