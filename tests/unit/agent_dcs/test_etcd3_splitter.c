/* A stream of objects, cut anywhere. */
#include "agent/dcs/etcd3_splitter.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STREAM                                                                                   \
    "{\"result\":{\"created\":true}}\n{\"a\":\"} {\\\\\\\" ] \\\"\"} {\"b\":[1,{\"c\":[]}]}\n\n" \
    "[{}]{\"d\":\"\\u007d\"}"

static void feed(struct etcd3_splitter *splitter, const char *bytes, size_t len)
{
    etcd3_splitter_feed(splitter, span_of(bytes, len));
}

/* Objects that come out, compact, one a line. */
static bool drain(struct etcd3_splitter *splitter, struct buf *out)
{
    bool bad = false;
    for (json_t *object = etcd3_splitter_next(splitter, &bad); object != NULL;
         object = etcd3_splitter_next(splitter, &bad)) {
        char *text = json_dumps(object, JSON_COMPACT);
        buf_printf(out, "%s\n", text);
        json_decref(object);
        free(text); /* jansson's */
    }
    return !bad;
}

static const char wanted[] = "{\"result\":{\"created\":true}}\n{\"a\":\"} {\\\\\\\" ] \\\"\"}\n"
                             "{\"b\":[1,{\"c\":[]}]}\n[{}]\n{\"d\":\"}\"}\n";

static void stream_may_be_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= strlen(STREAM); cut++) {
        struct etcd3_splitter splitter = {0};
        struct buf out = BUF_INIT;
        feed(&splitter, STREAM, cut);
        assert_true(drain(&splitter, &out));
        feed(&splitter, STREAM + cut, strlen(STREAM) - cut);
        assert_true(drain(&splitter, &out));
        assert_string_equal(buf_str(&out), wanted);
        buf_free(&out);
        etcd3_splitter_free(&splitter);
    }
}

static void stream_may_come_byte_by_byte(void **state)
{
    struct etcd3_splitter splitter = {0};
    struct buf out = BUF_INIT;
    (void)state;
    for (size_t i = 0; i < strlen(STREAM); i++) {
        feed(&splitter, STREAM + i, 1);
        assert_true(drain(&splitter, &out));
    }
    assert_string_equal(buf_str(&out), wanted);
    assert_int_equal(splitter.bytes.len, 0);
    buf_free(&out);
    etcd3_splitter_free(&splitter);
}

static void garbage_is_bad(void **state)
{
    static const char *const bad[] = {
        "}", "]", "x{}", "{]", "{\"a\"}", "404 {\"a\":1}", "{'a':1}", "{\"a\":\"\xff\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct etcd3_splitter splitter = {0};
        struct buf out = BUF_INIT;
        feed(&splitter, bad[i], strlen(bad[i]));
        if (drain(&splitter, &out)) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_int_equal(out.len, 0);
        buf_free(&out);
        etcd3_splitter_free(&splitter);
    }
}

static void object_without_an_end_is_bad_at_the_limit(void **state)
{
    struct etcd3_splitter splitter = {0};
    char *piece = mem_alloc(65536);
    bool bad = false;
    size_t fed = 0;
    (void)state;
    memset(piece, 'x', 65536);
    feed(&splitter, "{\"a\":\"", 6);
    while (!bad) {
        assert_true(fed <= ETCD3_OBJECT_BYTES_MAX);
        feed(&splitter, piece, 65536);
        fed += 65536;
        assert_null(etcd3_splitter_next(&splitter, &bad));
    }
    mem_free(piece);
    etcd3_splitter_free(&splitter);
}

static void depth_beyond_the_parser_s_is_bad(void **state)
{
    struct etcd3_splitter splitter = {0};
    struct buf deep = BUF_INIT;
    struct buf out = BUF_INIT;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        buf_put_str(&deep, "[");
    }
    for (int i = 0; i < 100000; i++) {
        buf_put_str(&deep, "]");
    }
    etcd3_splitter_feed(&splitter, buf_span(&deep));
    assert_false(drain(&splitter, &out));
    buf_free(&deep);
    buf_free(&out);
    etcd3_splitter_free(&splitter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_may_be_cut_at_every_byte),
        cmocka_unit_test(stream_may_come_byte_by_byte),
        cmocka_unit_test(garbage_is_bad),
        cmocka_unit_test(object_without_an_end_is_bad_at_the_limit),
        cmocka_unit_test(depth_beyond_the_parser_s_is_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
