/* Codes, their names, and texts that are cut but never overrun. */
#include "base/err.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const int codes[] = {
#define CODE(name, value, text) name,
    ERR_CODES(CODE)
#undef CODE
};
enum { CODES = sizeof codes / sizeof codes[0] };

static void every_code_is_negative_and_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < CODES; i++) {
        assert_true(codes[i] < 0);
        assert_string_not_equal(err_name(codes[i]), "unknown code");
        for (int k = 0; k < i; k++) {
            assert_int_not_equal(codes[i], codes[k]);
            assert_string_not_equal(err_name(codes[i]), err_name(codes[k]));
        }
    }
    assert_string_equal(err_name(0), "ok");
    assert_string_equal(err_name(1), "unknown code");
    assert_string_equal(err_name(-1000), "unknown code");
}

static void setting_gives_the_code_back_and_makes_the_text(void **state)
{
    struct error err;
    (void)state;
    memset(&err, 'x', sizeof err);
    assert_int_equal(error_set(&err, ERR_TIMEOUT, "asking '%s': %d ms", "n2", 17), ERR_TIMEOUT);
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_string_equal(err.text, "asking 'n2': 17 ms");
}

static void contexts_stand_before_the_cause(void **state)
{
    struct error err;
    (void)state;
    (void)error_set(&err, ERR_IO, "read: %s", "bad sector");
    error_wrap(&err, "file '%s'", "a");
    error_wrap(&err, "starting");
    assert_string_equal(err.text, "starting: file 'a': read: bad sector");
    assert_int_equal(err.code, ERR_IO);
}

static void who_wants_only_the_code_gives_no_error(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERR_LIMIT, "%s", "unheard"), ERR_LIMIT);
    error_wrap(NULL, "%s", "unheard");
}

/* All lengths round the limit, with a guard behind the struct. */
static void long_texts_are_cut_and_terminated(void **state)
{
    struct {
        struct error err;
        char guard[64];
    } box;
    char text[2 * ERROR_TEXT_BYTES];
    (void)state;
    for (size_t len = ERROR_TEXT_BYTES - 4; len < ERROR_TEXT_BYTES + 4; len++) {
        memset(&box, '#', sizeof box);
        memset(text, 't', len);
        text[len] = '\0';
        (void)error_set(&box.err, ERR_IO, "%s", text);
        assert_int_equal(strlen(box.err.text),
                         len < ERROR_TEXT_BYTES ? len : (size_t)ERROR_TEXT_BYTES - 1);
        error_wrap(&box.err, "context");
        assert_int_equal(strlen(box.err.text), ERROR_TEXT_BYTES - 1);
        assert_memory_equal(box.err.text, "context: ttt", 12);
        error_wrap(&box.err, "%s", text);
        assert_memory_equal(box.err.text, text, ERROR_TEXT_BYTES - 4);
        assert_true(strlen(box.err.text) < ERROR_TEXT_BYTES);
        for (size_t i = 0; i < sizeof box.guard; i++) {
            assert_int_equal(box.guard[i], '#');
        }
    }
}

static void a_text_is_no_format(void **state)
{
    struct error err;
    (void)state;
    (void)error_set(&err, ERR_IO, "%%s %%n");
    error_wrap(&err, "kept");
    assert_string_equal(err.text, "kept: %s %n");
}

static void every_errno_has_a_code(void **state)
{
    static const struct {
        int errnum;
        int code;
    } cases[] = {
        {0, 0},
        {ENOENT, ERR_NOT_FOUND},
        {ENOTDIR, ERR_NOT_FOUND},
        {ESRCH, ERR_NOT_FOUND},
        {EEXIST, ERR_EXISTS},
        {ENOMEM, ERR_NOMEM},
        {ETIMEDOUT, ERR_TIMEOUT},
        {ECANCELED, ERR_CANCELED},
        {EPIPE, ERR_CLOSED},
        {ECONNRESET, ERR_CLOSED},
        {ECONNREFUSED, ERR_REFUSED},
        {EACCES, ERR_PERMISSION},
        {EPERM, ERR_PERMISSION},
        {EBUSY, ERR_BUSY},
        {EADDRINUSE, ERR_BUSY},
        {ENOSPC, ERR_NO_SPACE},
        {EDQUOT, ERR_NO_SPACE},
        {EINVAL, ERR_INVALID},
        {EIO, ERR_IO},
        {EMFILE, ERR_IO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(err_from_errno(cases[i].errnum), cases[i].code);
    }
    for (int errnum = 1; errnum < 200; errnum++) {
        assert_true(err_from_errno(errnum) < 0); /* no failure maps to success */
    }
}

/* What quotes it as JSON would lose it otherwise. */
static void texts_are_utf8_wherever_they_are_cut(void **state)
{
    struct error err;
    char text[2 * ERROR_TEXT_BYTES];
    (void)state;
    for (size_t before = ERROR_TEXT_BYTES - 8; before < ERROR_TEXT_BYTES; before++) {
        memset(text, 't', before);
        (void)snprintf(text + before, sizeof text - before, "%s", "\xf0\x9f\x90\x98x");
        (void)error_set(&err, ERR_IO, "%s", text);
        json_t *shown = json_string(err.text);
        assert_non_null(shown);
        json_decref(shown);
        text[before - 4] = '\0';
        (void)error_set(&err, ERR_IO, "\xc3\xa9");
        error_wrap(&err, "%s", text);
        shown = json_string(err.text);
        assert_non_null(shown);
        json_decref(shown);
    }
    (void)error_set(&err, ERR_IO, "'%.4s' and \xe9", "abc\xc3\xa9");
    assert_string_equal(err.text, "'abc?' and ?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_negative_and_has_a_name_of_its_own),
        cmocka_unit_test(setting_gives_the_code_back_and_makes_the_text),
        cmocka_unit_test(contexts_stand_before_the_cause),
        cmocka_unit_test(who_wants_only_the_code_gives_no_error),
        cmocka_unit_test(long_texts_are_cut_and_terminated),
        cmocka_unit_test(a_text_is_no_format),
        cmocka_unit_test(every_errno_has_a_code),
        cmocka_unit_test(texts_are_utf8_wherever_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
