/* The value of synchronous_standby_names, there and back. */
#include "pgctl/pg_sync.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* clang-format off */
static const struct { const char *value, *back; } understood[] = {
    {"", ""},
    {"  \t\n", ""},
    {"node1", "\"node1\""},
    {"\"node1\"", "\"node1\""},
    {"\"a\"\"b\"", "\"a\"\"b\""},
    {"*", "\"*\""},
    {"node1, node2", "1 (\"node1\",\"node2\")"},
    {"2 (node1,node2)", "2 (\"node1\",\"node2\")"},
    {"FIRST 2 (node1, node2)", "2 (\"node1\",\"node2\")"},
    {"First 1(node1)", "\"node1\""},
    {"ANY 1 (node1,node2)", "ANY 1 (\"node1\",\"node2\")"},
    {"any 1 (\"Node 1\")", "ANY 1 (\"Node 1\")"},
    {"any", "\"any\""}, /* a standby of that name */
    {"first, any", "1 (\"first\",\"any\")"},
    {"5", "\"5\""},
    {"any 1 (5,_x$1)", "ANY 1 (\"5\",\"_x$1\")"},
    {"\"\xC3\xA4,()\"", "\"\xC3\xA4,()\""},
};
static const char *const refused[] = {
    ",", "a,", "a b", "2 (a,b", "2 ()", "0 (a)", "33 (a)", "ANY 2", "2 (a,b) c", "2 a", "\"a", "a;b",
    "99999999999999999999999 (a)", "()", "a)", "ANY (a)",
    "a123456789012345678901234567890123456789012345678901234567890123", /* 64 bytes */
};
/* clang-format on */

static void what_postgresql_takes_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof understood / sizeof understood[0]; i++) {
        struct pg_sync_names names;
        struct buf text = BUF_INIT;
        struct error err;
        if (pg_sync_names_parse(understood[i].value, &names, &err) != 0) {
            fail_msg("'%s': %s", understood[i].value, err.text);
        }
        pg_sync_names_put(&text, &names);
        assert_string_equal(buf_str(&text), understood[i].back);
        buf_free(&text);
    }
}

static void what_it_does_not_take_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct pg_sync_names names;
        struct error err = {0};
        if (pg_sync_names_parse(refused[i], &names, &err) == 0) {
            fail_msg("'%s' is understood", refused[i]);
        }
        assert_non_null(strstr(err.text, "synchronous_standby_names"));
    }
}

static void the_largest_one_fits_and_one_more_name_does_not(void **state)
{
    struct pg_sync_names names = {.any = true, .number = PG_SYNC_NAMES_MAX};
    struct pg_sync_names back;
    struct buf text = BUF_INIT;
    struct error err;
    (void)state;
    names.count = PG_SYNC_NAMES_MAX;
    for (size_t i = 0; i < PG_SYNC_NAMES_MAX; i++) {
        memset(names.names[i], '"', PG_NAME_BYTES - 1);
    }
    pg_sync_names_put(&text, &names);
    assert_true(text.len < PG_SYNC_VALUE_BYTES);
    assert_int_equal(pg_sync_names_parse(buf_str(&text), &back, &err), 0);
    assert_memory_equal(&back, &names, sizeof names);
    text.len--; /* the parenthesis */
    buf_put_str(&text, ",x)");
    assert_int_equal(pg_sync_names_parse(buf_str(&text), &back, &err), ERR_LIMIT);
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_postgresql_takes_is_understood),
        cmocka_unit_test(what_it_does_not_take_is_refused),
        cmocka_unit_test(the_largest_one_fits_and_one_more_name_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
