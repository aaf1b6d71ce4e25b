/* Commands as words: what shlex.split of Python gives, by hand. */
#include "pgctl/pg_parse.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* clang-format off */
static const struct { const char *text, *words; } split[] = {
    {"", ""},
    {" \t\r\n ", ""},
    {"/bin/true", "[/bin/true]"},
    {"  a  b\tc\n", "[a][b][c]"},
    {"sh -c 'echo \"$1\" \\x' -- ", "[sh][-c][echo \"$1\" \\x][--]"},
    {"\"a b\"c'd e'", "[a bcd e]"},
    {"''", "[]"},
    {"a '' \"\"", "[a][][]"},
    {"\"a\\\"b\\\\c\\d\"", "[a\"b\\c\\d]"},
    {"a\\ b \\'c \\\"", "[a b]['c][\"]"},
    {"a\\\nb", "[a\nb]"},
    {"x#y $HOME *", "[x#y][$HOME][*]"},
    {"\xC3\xA4 b", "[\xC3\xA4][b]"},
};
static const struct { const char *text, *why; } refused[] = {
    {"a 'b", "a ' is not closed: close it"},
    {"\"", "a \" is not closed: close it"},
    {"\"a\\\"", "a \" is not closed: close it"},
    {"a \\", "it ends with a backslash: take it out"},
};
/* clang-format on */

static void commands_are_split_as_a_shell_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof split / sizeof split[0]; i++) {
        char *memory = mem_alloc(strlen(split[i].text) + 1);
        const char *words[PG_WORDS_MAX];
        size_t count = 99;
        struct error err = {0};
        struct buf text = BUF_INIT;
        assert_int_equal(pg_words_split(split[i].text, memory, words, &count, &err), 0);
        for (size_t j = 0; j < count; j++) {
            buf_printf(&text, "[%s]", words[j]);
        }
        assert_string_equal(buf_str(&text), split[i].words);
        buf_free(&text);
        mem_free(memory);
    }
}

static void what_is_not_closed_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char memory[64];
        const char *words[PG_WORDS_MAX];
        size_t count = 99;
        struct error err = {0};
        assert_int_equal(pg_words_split(refused[i].text, memory, words, &count, &err), ERR_INVALID);
        assert_string_equal(err.text, refused[i].why);
        assert_int_equal(count, 99);
    }
}

static void words_have_a_limit(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    const char *words[PG_WORDS_MAX];
    size_t count = 0;
    struct error err = {0};
    for (int i = 0; i < PG_WORDS_MAX; i++) {
        buf_put_str(&text, "w ");
    }
    char *memory = mem_alloc(text.len + 4);
    assert_int_equal(pg_words_split(buf_str(&text), memory, words, &count, &err), 0);
    assert_int_equal(count, PG_WORDS_MAX);
    buf_put_str(&text, "w");
    assert_int_equal(pg_words_split(buf_str(&text), memory, words, &count, &err), ERR_LIMIT);
    buf_free(&text);
    mem_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_split_as_a_shell_does),
        cmocka_unit_test(what_is_not_closed_is_refused),
        cmocka_unit_test(words_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
