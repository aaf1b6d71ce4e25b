/* Bodies in chunks: whatever pieces they come in, and what no two readers may read differently. */
#include "base/mem.h"
#include "base/net/http1_chunks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BODY_MAX = 64 };

static struct http1_chunks chunks;
static char body[65536];
static size_t used;

/* Takes `text` in pieces of `piece` bytes. */
static enum http1_chunk_state take(const char *text, size_t len, size_t piece, size_t max)
{
    size_t body_len = 0;
    chunks = (struct http1_chunks){0};
    used = 0;
    while (used < len && !http1_chunks_ended(&chunks)) {
        size_t n = len - used < piece ? len - used : piece;
        size_t got = 0;
        uint8_t *bytes = mem_memdup(text + used, n); /* of just that size: overruns are seen */
        used += http1_chunks_take(&chunks, bytes, n, max, &got);
        assert_true(body_len + got < sizeof body);
        memcpy(body + body_len, bytes, got);
        body_len += got;
        mem_free(bytes);
    }
    body[body_len] = '\0';
    assert_int_equal(body_len, chunks.body_len);
    return chunks.state;
}

static void they_are_put_together_in_any_pieces(void **state)
{
    static const char text[] = "5\r\nhello\r\n1;a=b;c=\"d\"\r\n,\r\n00A\r\n 012345678\r\n"
                               "0;last\r\nX-One: 1\r\nx-two:\r\n\r\nGET /";
    (void)state;
    for (size_t piece = 1; piece < sizeof text; piece++) {
        assert_int_equal(take(text, strlen(text), piece, BODY_MAX), HTTP1_CHUNK_DONE);
        assert_string_equal(body, "hello, 012345678");
        assert_string_equal(text + used, "GET /"); /* the next request is not touched */
    }
    assert_int_equal(take("0\r\n\r\n", 5, 1, BODY_MAX), HTTP1_CHUNK_DONE);
    assert_string_equal(body, "");
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
    static const char *const bad[] = {
        "\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "g\r\n",
        ";a\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\001\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "0\r\n: none\r\n\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\nX: 1\r\n folded\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\nX: \x7f\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t piece = 1; piece <= strlen(bad[i]); piece++) {
            if (take(bad[i], strlen(bad[i]), piece, BODY_MAX) != HTTP1_CHUNK_MALFORMED) {
                fail_msg("'%s' is taken", bad[i]);
            }
        }
    }
    assert_int_equal(take("5\r\nhel\0o\r\n0\r\n\r\n", 15, 4, BODY_MAX), HTTP1_CHUNK_DONE);
    assert_int_equal(take("5\0\r\n", 4, 4, BODY_MAX), HTTP1_CHUNK_MALFORMED);
    assert_int_equal(take("0\r\nX\0: 1\r\n\r\n", 12, 4, BODY_MAX), HTTP1_CHUNK_MALFORMED);
}

static void a_body_is_not_larger_than_allowed(void **state)
{
    (void)state;
    assert_int_equal(take("40\r\n", 4, 9, BODY_MAX), HTTP1_CHUNK_DATA);
    assert_int_equal(take("41\r\n", 4, 9, BODY_MAX), HTTP1_CHUNK_TOO_LARGE);
    assert_int_equal(take("5\r\nhello\r\n3c\r\n", 14, 9, BODY_MAX), HTTP1_CHUNK_TOO_LARGE);
    assert_int_equal(take("5\r\nhello\r\n3b\r\n", 14, 9, BODY_MAX), HTTP1_CHUNK_DATA);
    assert_int_equal(take("ffffffffffffffffffffffff\r\n", 26, 9, BODY_MAX), HTTP1_CHUNK_TOO_LARGE);
}

static void nor_is_what_stands_round_it(void **state)
{
    enum { LARGE = 1024 * 1024 };
    static char text[LARGE];
    size_t len = 0;
    (void)state;
    memset(text, '0', sizeof text); /* digits that say nothing */
    assert_int_equal(take(text, sizeof text, 4096, BODY_MAX), HTTP1_CHUNK_TOO_LARGE);
    assert_true(used <= HTTP1_CHUNK_LINE_BYTES_MAX + 1);
    memcpy(text, "1;", 2);
    assert_int_equal(take(text, sizeof text, 4096, BODY_MAX), HTTP1_CHUNK_TOO_LARGE);
    assert_true(used <= HTTP1_CHUNK_LINE_BYTES_MAX + 1);
    memcpy(text, "0\r\nX:", 5);
    assert_int_equal(take(text, sizeof text, 4096, BODY_MAX), HTTP1_CHUNK_TOO_LARGE);
    assert_true(used <= HTTP1_TRAILER_BYTES_MAX + 4);
    while (len + 110 < sizeof text) { /* each line is short enough, each chunk carries a byte */
        len += (size_t)snprintf(text + len, sizeof text - len, "1;%0100d\r\nx\r\n", 0);
    }
    assert_int_equal(take(text, len, 4096, LARGE), HTTP1_CHUNK_TOO_LARGE);
    assert_true(used < 4 * HTTP1_CHUNK_EXCESS_BYTES);
    for (len = 0; len + 6 < sizeof body;) { /* what an honest client with small writes sends */
        len += (size_t)snprintf(text + len, sizeof text - len, "1\r\nx\r\n");
    }
    assert_int_equal(take(text, len, 4096, LARGE), HTTP1_CHUNK_SIZE);
    assert_int_equal(used, len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_put_together_in_any_pieces),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_body_is_not_larger_than_allowed),
        cmocka_unit_test(nor_is_what_stands_round_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
