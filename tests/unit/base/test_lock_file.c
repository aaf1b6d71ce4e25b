/* Locks of processes that end, and of some that do not. */
#include "base/clock.h"
#include "base/lock_file.h"
#include "base/mem.h"
#include "tests/harness/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[96];
static char *path;

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

/* A process that has the lock, under `name` (NULL = its own), lets it go after `unlock_ms` and ends
 * after `end_ms`. */
static pid_t holder_new(const char *name, unsigned unlock_ms, unsigned end_ms)
{
    int words[2];
    char word = 0;
    assert_int_equal(pipe(words), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = -1;
        word = lock_file_take(path, 0, &fd, NULL) == 0 ? 'y' : 'n';
        if (name != NULL) {
            (void)!ftruncate(fd, 0);
            (void)!pwrite(fd, name, strlen(name), 0);
        }
        (void)!write(words[1], &word, 1);
        usleep(unlock_ms * 1000);
        (void)flock(fd, LOCK_UN);
        usleep((end_ms - unlock_ms) * 1000);
        _exit(0);
    }
    assert_int_equal(read(words[0], &word, 1), 1);
    assert_int_equal(word, 'y');
    close(words[0]);
    close(words[1]);
    return pid;
}

static void one_that_ends_is_waited_for(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "", "nobody", "2147483647\n"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error err;
        int fd = -1;
        pid_t holder = holder_new(names[i], 200, 200);
        assert_int_equal(lock_file_take(path, 0, &fd, &err), ERR_BUSY);
        int64_t began = now_ms();
        assert_int_equal(lock_file_take(path, 30, &fd, &err), ERR_BUSY);
        assert_true(now_ms() - began >= 30);
        assert_int_equal(lock_file_take(path, 20000, &fd, &err), 0);
        assert_int_equal(waitpid(holder, NULL, 0), holder);
        close(fd);
    }
}

/* Its ports may be its own for longer than the lock. */
static void the_end_of_who_is_named_is_waited_for(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    pid_t holder = holder_new(NULL, 100, 300);
    assert_int_equal(lock_file_take(path, 20000, &fd, &err), 0);
    assert_int_equal(waitpid(holder, NULL, WNOHANG), holder);
    close(fd);
}

static void a_free_lock_is_taken_at_once(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    pid_t holder = holder_new(NULL, 0, 2000); /* named, and has let it go */
    int64_t began = now_ms();
    usleep(20000);
    assert_int_equal(lock_file_take(path, 0, &fd, &err), 0);
    close(fd);
    assert_int_equal(lock_file_take(path, 20000, &fd, &err), 0); /* it names ourselves now */
    close(fd);
    assert_true(now_ms() - began < 1500);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
}

static void what_cannot_be_locked_is_no_busy_one(void **state)
{
    (void)state;
    struct error err;
    int fd = -1;
    char *missing = mem_printf("%s/none/lock", dir);
    char *link_path = mem_printf("%s/link", dir);
    assert_int_equal(lock_file_take(missing, 0, &fd, &err), ERR_NOT_FOUND);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_not_equal(lock_file_take(link_path, 0, &fd, &err), 0);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(fd, -1);
    mem_free(missing);
    mem_free(link_path);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "lockfile");
    path = mem_printf("%s/lock", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    mem_free(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_ends_is_waited_for),
        cmocka_unit_test(the_end_of_who_is_named_is_waited_for),
        cmocka_unit_test(a_free_lock_is_taken_at_once),
        cmocka_unit_test(what_cannot_be_locked_is_no_busy_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
