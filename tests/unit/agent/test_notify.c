/* What a service manager hears, at a socket of the test's own. */
#include "agent/notify.h"

#include "tests/harness/scratch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEARD_MS = 5000, WATCHED_US = 200000 };

static struct {
    char dir[128];
    char path[160];
    int fd;
    uv_loop_t loop;
    struct notify notify;
} rig;

static void listen_at(const char *path, bool is_abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    struct timeval patience = {.tv_sec = HEARD_MS / 1000};
    memcpy(address.sun_path + (is_abstract ? 1 : 0), path, len);
    rig.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(rig.fd >= 0);
    assert_int_equal(
        bind(rig.fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (is_abstract ? 1 : 0))),
        0);
    assert_int_equal(setsockopt(rig.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig.fd = -1;
    scratch_make(rig.dir, sizeof rig.dir, "/tmp", "notify");
    snprintf(rig.path, sizeof rig.path, "%s/socket", rig.dir);
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

/* Nothing of it is left open. */
static int tear_down(void **state)
{
    (void)state;
    notify_close(&rig.notify);
    notify_close(&rig.notify);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    if (rig.fd >= 0) {
        close(rig.fd);
    }
    unlink(rig.path);
    rmdir(rig.dir);
    return 0;
}

static void is_heard(const char *text)
{
    char heard[256] = "";
    ssize_t len = recv(rig.fd, heard, sizeof heard - 1, 0);
    assert_true(len > 0);
    assert_string_equal(heard, text);
}

static void nothing_is_heard(void)
{
    char heard[256];
    assert_int_equal(recv(rig.fd, heard, sizeof heard, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static unsigned heard_signs(void)
{
    char heard[256] = "";
    unsigned count = 0;
    while (recv(rig.fd, heard, sizeof heard - 1, MSG_DONTWAIT) > 0) {
        assert_string_equal(heard, "WATCHDOG=1");
        count++;
    }
    return count;
}

static void watch(pid_t whom)
{
    char text[32];
    snprintf(text, sizeof text, "%d", WATCHED_US);
    setenv("WATCHDOG_USEC", text, 1);
    snprintf(text, sizeof text, "%d", (int)whom);
    setenv("WATCHDOG_PID", text, 1);
}

static void start_and_end_are_told(void **state)
{
    (void)state;
    listen_at(rig.path, false);
    setenv("NOTIFY_SOCKET", rig.path, 1);
    notify_ready(&rig.notify, &rig.loop);
    is_heard("READY=1");
    notify_stopping(&rig.notify);
    is_heard("STOPPING=1");
    uv_run(&rig.loop, UV_RUN_DEFAULT); /* nothing that would keep it */
    nothing_is_heard();
}

static void the_start_is_told_until_it_is_taken(void **state)
{
    (void)state;
    setenv("NOTIFY_SOCKET", rig.path, 1);
    notify_ready(&rig.notify, &rig.loop);
    listen_at(rig.path, false);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    is_heard("READY=1");
    nothing_is_heard();
}

static void what_has_begun_to_end_is_not_ready_any_more(void **state)
{
    (void)state;
    setenv("NOTIFY_SOCKET", rig.path, 1);
    notify_ready(&rig.notify, &rig.loop);
    listen_at(rig.path, false);
    notify_stopping(&rig.notify);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    is_heard("STOPPING=1");
    nothing_is_heard();
}

static void a_socket_without_a_file_is_found(void **state)
{
    char name[176];
    (void)state;
    listen_at(rig.path, true);
    snprintf(name, sizeof name, "@%s", rig.path);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_ready(&rig.notify, &rig.loop);
    is_heard("READY=1");
}

static void signs_of_life_come_from_the_loop(void **state)
{
    unsigned signs = 0;
    (void)state;
    listen_at(rig.path, false);
    setenv("NOTIFY_SOCKET", rig.path, 1);
    watch(getpid());
    notify_ready(&rig.notify, &rig.loop);
    is_heard("READY=1");
    usleep(2 * WATCHED_US); /* a loop that hangs is silent */
    nothing_is_heard();
    uint64_t began_ms = uv_hrtime() / 1000000;
    while (uv_hrtime() / 1000000 - began_ms < 2 * WATCHED_US / 1000) {
        uv_run(&rig.loop, UV_RUN_ONCE);
        signs += heard_signs();
    }
    /* Late ones are not made up for; two may come of one turn. */
    assert_in_range(signs, NOTIFY_PARTS, 2 * NOTIFY_PARTS + 2);
    notify_stopping(&rig.notify);
    is_heard("STOPPING=1");
    uv_run(&rig.loop, UV_RUN_ONCE);
    assert_true(heard_signs() > 0);
}

static void another_process_is_watched_not_this_one(void **state)
{
    (void)state;
    listen_at(rig.path, false);
    setenv("NOTIFY_SOCKET", rig.path, 1);
    watch(getpid() + 1);
    notify_ready(&rig.notify, &rig.loop);
    is_heard("READY=1");
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    nothing_is_heard();
}

static void a_time_that_is_no_number_is_no_watch(void **state)
{
    static const char *const times[] = {"", "0", "-1", "1x", "99999999999999999999999"};
    (void)state;
    listen_at(rig.path, false);
    setenv("NOTIFY_SOCKET", rig.path, 1);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        setenv("WATCHDOG_USEC", times[i], 1);
        notify_ready(&rig.notify, &rig.loop);
        assert_false(rig.notify.watched);
        is_heard("READY=1");
        notify_close(&rig.notify);
        uv_run(&rig.loop, UV_RUN_DEFAULT);
    }
}

/* systemd takes only a time of after it has seen the one before, of its own clock. */
static void an_exchange_is_told_with_its_time_and_taken_back(void **state)
{
    struct timespec now;
    char text[128] = "";
    (void)state;
    listen_at(rig.path, false);
    setenv("NOTIFY_SOCKET", rig.path, 1);
    notify_ready(&rig.notify, &rig.loop);
    is_heard("READY=1");
    notify_reloading(&rig.notify, true);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    assert_true(recv(rig.fd, text, sizeof text - 1, 0) > 0);
    unsigned long long us = 0;
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu", &us), 1);
    unsigned long long now_us =
        (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
    assert_true(us <= now_us && now_us - us < 1000000);
    notify_reloading(&rig.notify, false);
    is_heard("READY=1");
}

static void without_a_manager_nothing_is_done(void **state)
{
    (void)state;
    watch(getpid());
    notify_ready(&rig.notify, &rig.loop);
    assert_false(rig.notify.watched);
    notify_reloading(&rig.notify, true);
    notify_stopping(&rig.notify);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
}

static void a_socket_that_cannot_be_used_stops_nobody(void **state)
{
    char name[sizeof rig.notify.address.sun_path + 2];
    (void)state;
    setenv("NOTIFY_SOCKET", rig.path, 1); /* nobody there */
    watch(getpid());
    notify_ready(&rig.notify, &rig.loop);
    notify_stopping(&rig.notify);
    notify_close(&rig.notify);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    memset(name, 'x', sizeof name);
    name[0] = '/';
    name[sizeof name - 1] = '\0';
    setenv("NOTIFY_SOCKET", name, 1); /* too long */
    notify_ready(&rig.notify, &rig.loop);
    assert_int_equal(rig.notify.address_len, 0);
    setenv("NOTIFY_SOCKET", "vsock:2:1", 1); /* of another kind */
    notify_ready(&rig.notify, &rig.loop);
    assert_int_equal(rig.notify.address_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(start_and_end_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_start_is_told_until_it_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_begun_to_end_is_not_ready_any_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_socket_without_a_file_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signs_of_life_come_from_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_process_is_watched_not_this_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_time_that_is_no_number_is_no_watch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_exchange_is_told_with_its_time_and_taken_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_manager_nothing_is_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_socket_that_cannot_be_used_stops_nobody, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
