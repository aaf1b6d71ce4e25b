/* What tests write to a stream, whatever carries it, and what they are told of it. */
#ifndef TESTS_UNIT_BASE_NET_WRITTEN_FIXTURE_H
#define TESTS_UNIT_BASE_NET_WRITTEN_FIXTURE_H

#include "tests/unit/base_net/tcp_fixture.h"

enum { LIMIT = 256 * 1024 /* of the queue */, PIECE = 16 * 1024, NOTES_MAX = 64 };

/* --- bytes ------------------------------------------------------------------------------------ */

/* Byte `at` of the stream that is sent. */
static inline uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

static inline void put_pattern(uint8_t *bytes, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = pattern(from + i);
    }
}

static inline void assert_pattern(const struct buf *got)
{
    for (size_t i = 0; i < got->len; i++) {
        if (got->data[i] != pattern(i)) {
            fail_msg("byte %zu of %zu is wrong", i, got->len);
        }
    }
}

/* Writes until one more piece is refused; returns how many bytes were taken. */
static inline size_t fill(struct end *end)
{
    static uint8_t piece[PIECE];
    size_t taken = 0;
    for (;;) {
        struct error err = {0};
        size_t waited = stream_pending(end->stream);
        put_pattern(piece, taken, sizeof piece);
        int rc = stream_write(end->stream, span_of(piece, sizeof piece), NULL, NULL, &err);
        assert_true(stream_pending(end->stream) <= LIMIT);
        if (rc != 0) {
            assert_int_equal(rc, ERR_LIMIT);
            assert_non_null(strstr(err.text, "bytes wait already, the limit is"));
            assert_int_equal(stream_pending(end->stream), waited); /* nothing of it was taken */
            return taken;
        }
        taken += sizeof piece;
    }
}

/* --- what came of it -------------------------------------------------------------------------- */

static char notes[NOTES_MAX]; /* what happened, in order: a letter each */

struct note {
    char letter;
    int rc;
    struct end *end; /* whose `during` is called, or NULL */
};

static inline void note_done(void *arg, int rc, const struct error *err)
{
    struct note *note = arg;
    size_t len = strlen(notes);
    assert_true(rc == 0 || err->code == rc);
    assert_true(len + 1 < NOTES_MAX);
    notes[len] = note->letter;
    notes[len + 1] = '\0';
    note->rc = rc;
    if (note->end != NULL && note->end->during != NULL) {
        note->end->during(note->end);
    }
}

static inline void note_closed(void *arg)
{
    note_done(arg, 0, NULL);
}

#endif
