/* The file that says which agent of its name this one is. */
#include "agent/app_instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/pgquorum_instance_XXXXXX";
static char path[sizeof directory + 16];

static int directory_make(void **state)
{
    (void)state;
    strcpy(directory + sizeof directory - 7, "XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/instance", directory);
    return 0;
}

static int directory_remove(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

static void put(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void it_is_made_once_and_stays(void **state)
{
    char first[HA_INSTANCE_BYTES] = "";
    char again[HA_INSTANCE_BYTES] = "";
    struct error err = {0};
    (void)state;
    assert_int_equal(app_instance_open(directory, random_real(), first, &err), 0);
    assert_int_equal(strspn(first, "0123456789abcdef"), 16);
    assert_int_equal(app_instance_open(directory, random_real(), again, &err), 0);
    assert_string_equal(again, first);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(app_instance_open(directory, random_real(), again, &err), 0);
    assert_string_not_equal(again, first);
}

/* An agent that did not know its own file any more would be another one after an upgrade. */
static void the_file_of_0_1_is_read(void **state)
{
    char found[HA_INSTANCE_BYTES] = "";
    char text[64] = "";
    struct error err = {0};
    (void)state;
    FILE *file = fopen("tests/golden/0.1/agent/instance", "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    assert_int_equal(fclose(file), 0);
    put(text);
    assert_int_equal(app_instance_open(directory, random_real(), found, &err), 0);
    assert_string_equal(found, "0123456789abcdef");
}

static void what_is_no_instance_is_refused_by_name(void **state)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "0123456789abcdef",
                                        "0123456789abcdeX\n",
                                        "0123456789abcdef\n\n",
                                        "0123456789ABCDEF\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char instance[HA_INSTANCE_BYTES] = "before";
        struct error err = {0};
        put(texts[i]);
        assert_int_equal(app_instance_open(directory, random_real(), instance, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "remove it"));
        assert_string_equal(instance, "before");
    }
}

/* It must not be made anew each time: nobody would know this agent again. */
static void what_cannot_be_written_is_an_error(void **state)
{
    char instance[HA_INSTANCE_BYTES] = "before";
    char missing[sizeof path];
    struct error err = {0};
    (void)state;
    (void)snprintf(missing, sizeof missing, "%s/none", directory);
    assert_int_equal(app_instance_open(missing, random_real(), instance, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, missing));
    assert_string_equal(instance, "before");
}

/* A full disk takes a part of it. That part is never read as an instance, and nothing is in the way
 * once there is space. */
static void half_an_instance_is_none(void **state)
{
    char instance[HA_INSTANCE_BYTES] = "before";
    struct rlimit before;
    struct error err = {0};
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit little = {.rlim_cur = 5, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    int rc = app_instance_open(directory, random_real(), instance, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERR_NO_SPACE);
    assert_non_null(strstr(err.text, path));
    assert_string_equal(instance, "before");
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(app_instance_open(directory, random_real(), instance, &err), 0);
    assert_int_equal(strlen(instance), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_made_once_and_stays, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(the_file_of_0_1_is_read, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(what_is_no_instance_is_refused_by_name, directory_make,
                                        directory_remove),
        cmocka_unit_test_setup_teardown(half_an_instance_is_none, directory_make, directory_remove),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_is_an_error, directory_make,
                                        directory_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
