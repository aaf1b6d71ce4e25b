/* The fence where the system round it stands still or fails (tests/chaos/stall_preload.c): its
 * standard error, a look at a working directory, the list of all processes. */
#include "tests/unit/pgctl/fence_rig.h"

#include <fcntl.h>

static void broken(const char *what, bool is)
{
    char *path = mem_printf("%s/%s", rig_dir, what);
    if (is) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    } else {
        (void)unlink(path);
    }
    mem_free(path);
}

static int as_it_was(void **state)
{
    (void)state;
    broken("stderr", false);
    broken("cwd", false);
    broken("proc", false);
    return 0;
}

/* A fence whose standard error is that file. */
static struct rig *rig_saying_to(const char *name)
{
    char *path = mem_printf("%s/%s", rig_dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    int real = dup(STDERR_FILENO);
    assert_true(real >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    struct rig *rig = rig_new();
    (void)dup2(real, STDERR_FILENO);
    (void)close(real);
    (void)close(fd);
    mem_free(path);
    return rig;
}

static void said(const char *name, char *ret_text, size_t size)
{
    char *path = mem_printf("%s/%s", rig_dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, ret_text, size - 1);
    ret_text[len > 0 ? len : 0] = '\0';
    (void)close(fd);
    mem_free(path);
}

static void log_that_stands_still_holds_up_no_kill(void **state)
{
    char text[4096];
    (void)state;
    struct rig *rig = rig_saying_to("fence.log");
    assert_int_equal(rig_start(rig), 0);
    broken("stderr", true);
    struct fence_lease last = rig_lease(5, 400);
    rig_page(rig, last);
    RIG_WAIT(rig, rig->seen[FENCE_EVENT_ALL_GONE] > 0, 5000);
    assert_true(now_ms() - last.deadline_ms < 2000);
    said("fence.log", text, sizeof text);
    assert_string_equal(text, "");
    broken("stderr", false);
    rig_end(rig);
    said("fence.log", text, sizeof text); /* and what it had to say was only late */
    assert_non_null(strstr(text, "pgquorum-fence: the lease ends soon"));
    assert_non_null(strstr(text, "pgquorum-fence: the lease has ended"));
    assert_non_null(strstr(text, "pgquorum-fence: every process of the instance is gone after"));
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    if (rig_open("stall") != 0) {
        return 1;
    }
    char *stub = mem_printf("%s/stall_preload.so", rig_build);
    setenv("LD_PRELOAD", stub, 1);
    setenv("STALL_STUB", rig_dir, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);
    mem_free(stub);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(log_that_stands_still_holds_up_no_kill, as_it_was),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    rig_close();
    return rc == 0 ? 0 : 1;
}
