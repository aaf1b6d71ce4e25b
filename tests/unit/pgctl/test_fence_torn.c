/* The page under a writer and a reader that are stopped after each of their instructions in turn
 * (ptrace): what is read is one whole lease, whoever of the two dies or sleeps where. */
#include "pgctl/fence.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* With sanitizers a call has many instructions: about so many of them are tried. */
enum { CHANGES_MAX = 16, STOPS = 150, NOT_ALLOWED = 77 };

/* What both processes see. */
struct shared {
    _Alignas(64) unsigned char page[FENCE_PAGE_BYTES];
    struct fence_lease lease; /* to be written, or that was read */
    bool was_read;
    volatile bool begun;
    volatile bool ended;
};

static struct shared *shared;

static struct fence_page *page(void)
{
    return (struct fence_page *)(void *)shared->page;
}

/* The number is in every field. */
static struct fence_lease lease_of(int64_t number)
{
    return (struct fence_lease){.epoch = {.cluster = (uint64_t)number, .revision = number},
                                .soft_ms = number,
                                .deadline_ms = number,
                                .watchdog_ms = number};
}

/* 0 if it is torn. */
static int64_t number_of(const struct fence_lease *lease)
{
    struct fence_lease whole = lease_of(lease->soft_ms);
    return memcmp(lease, &whole, sizeof whole) == 0 ? lease->soft_ms : 0;
}

static void write_lease(void)
{
    fence_page_write(page(), &shared->lease);
}

static void read_lease(void)
{
    shared->was_read = fence_page_read(page(), &shared->lease);
}

static void write_number(int64_t number)
{
    struct fence_lease lease = lease_of(number);
    fence_page_write(page(), &lease);
}

static int64_t number_read(void)
{
    struct fence_lease lease;
    assert_true(fence_page_read(page(), &lease));
    return number_of(&lease);
}

/* --- a process that is stopped after each instruction ----------------------------------------- */

/* One instruction; false if it was the last. */
static bool step(pid_t pid)
{
    int status = 0;
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSTOPPED(status);
}

/* Stopped where it begins to `act`. */
static pid_t begin(void (*act)(void))
{
    int status = 0;
    shared->begun = shared->ended = false;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(NOT_ALLOWED);
        }
        (void)raise(SIGSTOP);
        shared->begun = true;
        act();
        shared->ended = true;
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED) {
        skip(); /* nobody may be traced here */
    }
    while (!shared->begun) {
        assert_true(step(pid));
    }
    return pid;
}

static void finish(pid_t pid)
{
    int status = -1;
    assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(shared->ended);
}

/* --- the tests -------------------------------------------------------------------------------- */

static void a_writer_that_is_stopped_anywhere_leaves_a_whole_lease(void **state)
{
    (void)state;
    for (int64_t number = 1; number <= 4; number++) { /* into both copies, twice */
        unsigned before = 0;
        unsigned after = 0;
        write_number(number);
        shared->lease = lease_of(number + 1);
        pid_t pid = begin(write_lease);
        while (!shared->ended) {
            int64_t found = number_read();
            assert_true(found == number + 1 || (found == number && after == 0));
            before += found == number ? 1 : 0;
            after += found == number + 1 ? 1 : 0;
            assert_true(step(pid));
        }
        finish(pid);
        assert_int_equal(number_read(), number + 1);
        assert_true(before > 10 && after > 0);
    }
}

/* The page after each store of a writer that writes 3 behind 1 and 2. */
static size_t changes_of_a_write(unsigned char changes[][FENCE_PAGE_BYTES])
{
    size_t count = 0;
    write_number(1);
    write_number(2);
    memcpy(changes[count++], shared->page, FENCE_PAGE_BYTES);
    shared->lease = lease_of(3);
    pid_t pid = begin(write_lease);
    while (!shared->ended) {
        assert_true(step(pid));
        if (memcmp(changes[count - 1], shared->page, FENCE_PAGE_BYTES) != 0) {
            assert_true(count < CHANGES_MAX);
            memcpy(changes[count++], shared->page, FENCE_PAGE_BYTES);
        }
    }
    finish(pid);
    return count;
}

/* It had begun with what 1 says, and while it slept 2 was written, and 3 in part. */
static void a_reader_that_is_stopped_anywhere_gets_a_whole_lease(void **state)
{
    static unsigned char changes[CHANGES_MAX][FENCE_PAGE_BYTES];
    unsigned char first[FENCE_PAGE_BYTES];
    unsigned seen[4] = {0};
    unsigned stops = 0;
    (void)state;
    size_t count = changes_of_a_write(changes);
    assert_true(count >= 8); /* six fields, and the page's sequence */
    fence_page_init(page());
    write_number(1);
    memcpy(first, shared->page, sizeof first);
    pid_t pid = begin(read_lease);
    while (!shared->ended) {
        assert_true(step(pid));
        stops++;
    }
    finish(pid);
    unsigned stride = 1 + stops / STOPS;
    for (size_t i = 0; i < count; i++) {
        for (unsigned stop = 0; stop < stops; stop += stride) {
            memcpy(shared->page, first, sizeof first);
            pid = begin(read_lease);
            for (unsigned steps = 0; steps < stop; steps++) {
                assert_true(step(pid));
            }
            memcpy(shared->page, changes[i], sizeof first);
            finish(pid);
            assert_true(shared->was_read);
            assert_in_range(number_of(&shared->lease), 1, 3);
            seen[number_of(&shared->lease)]++;
        }
    }
    assert_true(seen[1] > 0 && seen[2] > 0 && seen[3] > 0);
}

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return -1;
    }
    fence_page_init(page());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(shared, sizeof *shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_writer_that_is_stopped_anywhere_leaves_a_whole_lease,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_is_stopped_anywhere_gets_a_whole_lease, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
