/* What the agent and a witness begin with: what they say of their file, the signals, the end that
 * does not wait for ever. */
#include "agent/app_descriptors.h"
#include "agent/app_start.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/net/tcp.h"
#include "tests/harness/scratch.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct buf logged;
static enum log_level level_now;

/* Found before the library's. */
void log_write(enum log_level level, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    buf_printf(&logged, "%d %s\n", (int)level, line);
}

void log_configure(const struct log_settings *settings)
{
    level_now = settings->level;
}

int log_start_writer(void)
{
    return 0;
}

enum log_file_state log_file_wait(int timeout_ms, char ret_why[static LOG_FILE_WHY_BYTES])
{
    (void)timeout_ms;
    ret_why[0] = '\0';
    return LOG_FILE_OPEN;
}

bool log_flush(int timeout_ms)
{
    (void)timeout_ms;
    return true;
}

static int load(const char *text, struct config *ret_config)
{
    char path[] = "/tmp/app-start-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    buf_clear(&logged);
    int rc = app_start_load(config_load_witness, path, ret_config);
    assert_int_equal(unlink(path), 0);
    return rc;
}

#define WITNESS "scope: s\nname: w\nraft: {data_dir: /d, self_addr: '10.0.0.1:2222'}\n"

static void warnings_that_are_not_kept_are_counted_in_the_log(void **state)
{
    struct buf text = BUF_INIT;
    struct config config;
    (void)state;
    buf_put_str(&text, WITNESS "log: {level: DEBUG}\n");
    for (int i = 0; i < CONFIG_WARNINGS_MAX; i++) {
        buf_printf(&text, "strange_key_number_%d: 1\n", i);
    }
    assert_int_equal(load(buf_str(&text), &config), 0);
    assert_int_equal(level_now, LOG_LEVEL_DEBUG);
    assert_non_null(strstr(buf_str(&logged), "strange_key_number_31: no key that is known here"));
    assert_null(strstr(buf_str(&logged), "more warnings"));
    config_free(&config);
    buf_put_str(&text, "strange_key_a: 1\nstrange_key_b: 1\n");
    assert_int_equal(load(buf_str(&text), &config), 0);
    assert_null(strstr(buf_str(&logged), "strange_key_b"));
    assert_non_null(
        strstr(buf_str(&logged), "1 the configuration has 2 more warnings, which are not shown\n"));
    config_free(&config);
    buf_free(&text);
}

static void a_file_that_is_wrong_is_told_with_its_warnings(void **state)
{
    struct config config;
    (void)state;
    assert_int_equal(load(WITNESS "strange_key: 1\nlog: {level: LOUD}\n", &config), ERR_INVALID);
    assert_non_null(strstr(buf_str(&logged), "strange_key: no key that is known here"));
    assert_non_null(strstr(buf_str(&logged), ": log.level: 'LOUD' is no level"));
}

/* In a child, with the limits given: 0 when the soft one is `raised` then, and told if it is `told`
 * to be too low. */
static int provides(rlim_t soft, rlim_t hard, rlim_t raised, bool told)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
        struct config config;
        bool good = setrlimit(RLIMIT_NOFILE, &limit) == 0 && load(WITNESS, &config) == 0 &&
                    getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == raised;
        bool tells = strstr(buf_str(&logged), " files may be open at once") != NULL;
        _exit(good && tells == told ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void there_are_open_files_for_clients_and_the_rest(void **state)
{
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(provides(64, 1024, 1024, true), 0);
    if (limit.rlim_max >= APP_DESCRIPTORS) {
        assert_int_equal(provides(1024, limit.rlim_max, APP_DESCRIPTORS, false), 0);
        assert_int_equal(provides(APP_DESCRIPTORS, APP_DESCRIPTORS, APP_DESCRIPTORS, false), 0);
    }
}

/* --- connections that have to wait --------------------------------------------------------------
 */

static int64_t now_ms;

static int64_t fake_mono_ms(void *arg)
{
    (void)arg;
    return now_ms;
}

/* Found before the library's. */
const struct clock *clock_real(void)
{
    static const struct clock fake = {.mono_ms = fake_mono_ms};
    return &fake;
}

static void close_accepted(void *arg, struct stream *stream)
{
    (void)arg;
    stream_close(stream, NULL, NULL);
}

static void turn_for(uv_loop_t *loop, uint64_t ms)
{
    uv_update_time(loop);
    for (uint64_t until = uv_now(loop) + ms; uv_now(loop) < until;) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
}

static unsigned shortages_told(void)
{
    unsigned count = 0;
    for (const char *at = buf_str(&logged); (at = strstr(at, "has to wait")) != NULL; at++) {
        count++;
    }
    return count;
}

static void connections_that_wait_for_open_files_are_told_of_once_a_minute(void **state)
{
    struct net_addr addr = {.host = "127.0.0.1"};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct tcp_listener *listener;
    struct rlimit files;
    uv_loop_t loop;
    (void)state;
    now_ms = 1000;
    app_descriptors_provide();
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(tcp_listener_start(&loop, &addr, 16, &(struct tcp_options){0}, close_accepted,
                                        NULL, &listener, NULL),
                     0);
    to.sin_port = htons(tcp_listener_port(listener));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit none = {.rlim_cur = (rlim_t)peer + 1, .rlim_max = files.rlim_max};
    buf_clear(&logged);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&to, sizeof to), 0);
    turn_for(&loop, 350);
    assert_int_equal(shortages_told(), 1);
    assert_non_null(strstr(buf_str(&logged), "to wait: Too many open files, retrying\n"));
    now_ms += 60000;
    turn_for(&loop, 150);
    assert_int_equal(shortages_told(), 2);
    assert_non_null(strstr(buf_str(&logged), "retrying, ")); /* so many times more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(close(peer), 0);
    tcp_listener_stop(listener, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static struct app_signals signals;
static int heard[3];
static size_t heard_count;

static void on_signal(uv_signal_t *handle, int number)
{
    assert_ptr_equal(handle->data, heard);
    heard[heard_count++] = number;
    if (heard_count == 3) {
        app_start_signals_close(&signals);
    }
}

static void three_signals_are_heard_until_they_are_closed(void **state)
{
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    app_start_signals(&loop, &signals, on_signal, heard);
    assert_int_equal(raise(SIGHUP) | raise(SIGTERM) | raise(SIGINT), 0);
    buf_clear(&logged);
    app_start_turn(&loop);
    assert_int_equal(heard_count, 3);
    assert_string_equal(buf_str(&logged), "");
}

static void what_does_not_close_in_time_is_left(void **state)
{
    int status = 0;
    (void)state;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        uv_loop_t loop;
        uv_timer_t timer;
        (void)uv_loop_init(&loop);
        app_start_signals(&loop, &signals, on_signal, heard); /* nobody closes them */
        (void)uv_timer_init(&loop, &timer);
        app_start_close_within(&timer, 60000);
        app_start_close_within(&timer, 10);
        app_start_turn(&loop);
        _exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void a_directory_is_made_with_those_above_it(void **state)
{
    char dir[64];
    char path[128];
    struct error err = {0};
    struct stat found;
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "app");
    (void)snprintf(path, sizeof path, "%s/a/b", dir);
    assert_int_equal(app_start_directory("state_dir", path, &err), 0);
    assert_int_equal(app_start_directory("state_dir", path, &err), 0); /* it is there */
    assert_int_equal(stat(path, &found), 0);
    assert_true(S_ISDIR(found.st_mode) && (found.st_mode & 0777) == 0700);
    assert_int_equal(rmdir(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_directory_that_cannot_be_made_is_told_with_its_key(void **state)
{
    char path[] = "/tmp/app-start-XXXXXX";
    char below[64];
    struct error err = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    (void)snprintf(below, sizeof below, "%s/raft", path);
    assert_int_not_equal(app_start_directory("raft.data_dir", below, &err), 0);
    assert_non_null(strstr(err.text, "raft.data_dir: making '/tmp/app-start-"));
    assert_non_null(strstr(err.text, "Not a directory: make it, for the user of pgquorum, or give "
                                     "another"));
    assert_int_not_equal(app_start_directory("state_dir", path, &err), 0); /* a file is there */
    assert_non_null(strstr(err.text, "state_dir: '/tmp/app-start-"));
    assert_non_null(strstr(err.text, "is no directory: give another"));
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_made_with_those_above_it),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_told_with_its_key),
        cmocka_unit_test(warnings_that_are_not_kept_are_counted_in_the_log),
        cmocka_unit_test(a_file_that_is_wrong_is_told_with_its_warnings),
        cmocka_unit_test(there_are_open_files_for_clients_and_the_rest),
        cmocka_unit_test(connections_that_wait_for_open_files_are_told_of_once_a_minute),
        cmocka_unit_test(three_signals_are_heard_until_they_are_closed),
        cmocka_unit_test(what_does_not_close_in_time_is_left),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&logged);
    return failed;
}
