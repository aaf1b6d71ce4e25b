/* The fence with a watchdog device that this test plays (tests/chaos/watchdog_preload.c): when is
 * it armed, petted, left alone and stopped? A sleeping program stands for the postmaster. */
#include "tests/unit/pgctl/fence_rig.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static char *device_path;

/* --- the device ------------------------------------------------------------------------------- */

static struct device {
    pthread_mutex_t lock;
    pthread_t thread;
    int listen_fd;
    int fd;
    /* How it is. */
    int open_error;
    int disable_error;
    int pet_error;
    int timeout_s_min; /* it takes none below */
    bool silent;       /* it answers nothing */
    /* What became of it. */
    bool running;
    bool fired; /* a host would have been reset */
    int timeout_s;
    unsigned opens;
    unsigned pets;
    unsigned unexpected; /* it was closed and runs on */
    bool magic;
    int64_t petted_ms;
    int64_t fired_ms;
    pid_t watched;         /* somebody who may write */
    bool stopped_too_soon; /* while he lived */
} device;

static void device_reset(void)
{
    pthread_mutex_lock(&device.lock);
    device.open_error = device.disable_error = device.pet_error = 0;
    device.timeout_s_min = 1;
    device.silent = device.running = device.fired = device.magic = false;
    device.timeout_s = 60;
    device.opens = device.pets = device.unexpected = 0;
    device.watched = 0;
    device.stopped_too_soon = false;
    pthread_mutex_unlock(&device.lock);
}

static void device_pet(void)
{
    device.petted_ms = now_ms();
    device.pets++;
}

static int device_answer(const char *what, int argument, int *ret_value)
{
    if (strcmp(what, "open") == 0) {
        if (device.open_error == 0) {
            device.opens++;
            device.running = true;
            device.magic = false;
            device.timeout_s = 60;
            device_pet();
        }
        return device.open_error;
    }
    if (strcmp(what, "settimeout") == 0) {
        device.timeout_s = argument < device.timeout_s_min ? device.timeout_s_min : argument;
        device_pet();
    }
    if (strcmp(what, "settimeout") == 0 || strcmp(what, "gettimeout") == 0) {
        *ret_value = device.timeout_s;
    }
    if (strcmp(what, "keepalive") == 0 || (strcmp(what, "write") == 0 && argument != 'V')) {
        if (device.pet_error == 0) {
            device_pet();
        }
        return device.pet_error;
    }
    if (strcmp(what, "disable") == 0) {
        device.stopped_too_soon =
            device.stopped_too_soon || (device.watched > 0 && pid_lives(device.watched));
        device.running = device.running && device.disable_error != 0;
        return device.disable_error;
    }
    device.magic = device.magic || strcmp(what, "write") == 0;
    return 0;
}

static void device_look(void)
{
    if (device.running && !device.fired &&
        now_ms() - device.petted_ms > 1000 * (int64_t)device.timeout_s) {
        device.fired = true;
        device.fired_ms = now_ms();
    }
}

static void device_read(void)
{
    char text[64];
    char what[32] = "";
    int argument = 0;
    int value = 0;
    ssize_t len = recv(device.fd, text, sizeof text - 1, MSG_DONTWAIT);

    if (len < 0 && errno == EAGAIN) {
        return;
    }
    if (len <= 0) {
        device.running = device.running && (device.disable_error != 0 || !device.magic);
        device.unexpected += device.running ? 1 : 0;
        close(device.fd);
        device.fd = -1;
        return;
    }
    text[len] = '\0';
    if (sscanf(text, "%31s %d", what, &argument) != 2) {
        abort();
    }
    int error = device_answer(what, argument, &value);
    snprintf(text, sizeof text, "%d %d", error, value);
    (void)!send(device.fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *device_run(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&device.lock);
        if (device.fd < 0) {
            device.fd = accept4(device.listen_fd, NULL, NULL, SOCK_CLOEXEC);
        }
        if (device.fd >= 0 && !device.silent) {
            device_read();
        }
        device_look();
        pthread_mutex_unlock(&device.lock);
        usleep(1000);
    }
    return NULL;
}

static void device_start(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", device_path);
    pthread_mutex_init(&device.lock, NULL);
    device.fd = -1;
    device.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(bind(device.listen_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                listen(device.listen_fd, 4) == 0);
    device_reset();
    assert_int_equal(pthread_create(&device.thread, NULL, device_run, NULL), 0);
}

static struct device device_now(void)
{
    pthread_mutex_lock(&device.lock);
    struct device now = device;
    pthread_mutex_unlock(&device.lock);
    return now;
}

/* --- an agent --------------------------------------------------------------------------------- */

static void wait_state(struct rig *rig, enum fence_watchdog_state state)
{
    int64_t until_ms = now_ms() + 10000;
    while (rig_status(rig)->watchdog != state && now_ms() < until_ms) {
        uv_run(&rig->loop, UV_RUN_ONCE);
    }
    if (rig_status(rig)->watchdog != state) {
        fail_msg("state %d, not %d: %s", rig_status(rig)->watchdog, state,
                 rig_status(rig)->watchdog_why);
    }
}

static void wait_gone(struct rig *rig, int64_t bound_ms)
{
    assert_true(rig_saw(rig, FENCE_EVENT_ALL_GONE, bound_ms));
    rig->seen[FENCE_EVENT_ALL_GONE] = 0;
}

static void want(struct rig *rig, const char *path, int64_t timeout_ms)
{
    struct fence_watchdog_config config = {.device = path,
                                           .data_dir = rig_data_dir,
                                           .timeout_ms = timeout_ms,
                                           .timeout_ms_max = 2 * timeout_ms};
    struct error err;
    assert_int_equal(fence_client_watchdog(rig->client, &config, rig_on_done, rig, &err), 0);
    assert_int_equal(rig_answer(rig), 0);
}

/* A lease of `ttl_ms` from now on, as the agent's arithmetic would have it without a watchdog. */
static struct fence_lease lease_of(int64_t revision, int64_t ttl_ms)
{
    struct fence_lease lease = {.epoch = {.cluster = 1, .revision = revision},
                                .soft_ms = now_ms() + ttl_ms - 600,
                                .deadline_ms = now_ms() + ttl_ms - 400,
                                .watchdog_ms = now_ms() + ttl_ms};
    return lease;
}

static void renew_for(struct rig *rig, int64_t revision, int64_t ttl_ms, int64_t ms)
{
    int64_t until_ms = now_ms() + ms;
    while (now_ms() < until_ms) {
        rig_page(rig, lease_of(revision, ttl_ms));
        rig_run_for(rig, 100);
    }
}

/* The end of a test; the device does not outlive it. */
static void dog_end(struct rig *rig)
{
    rig_end(rig);
    assert_false(device_now().running);
}

/* With a timeout of 1 s: killed 1950 ms before its end; the pets end 2 s before. */
#define TTL 6000
#define W   1000

static struct rig *rig_armed(void)
{
    struct rig *rig = rig_new();
    device_reset();
    want(rig, device_path, W);
    wait_state(rig, FENCE_WATCHDOG_READY);
    assert_int_equal(device_now().opens, 0);
    rig_page(rig, lease_of(5, TTL));
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    assert_int_equal(device_now().opens, 1);
    assert_int_equal(device_now().timeout_s, 1);
    assert_int_equal(rig_status(rig)->watchdog_timeout_ms, W);
    return rig;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void armed_with_the_page_and_stopped_with_it(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    unsigned before = device_now().pets;
    renew_for(rig, 5, TTL, 2500);
    assert_false(device_now().fired);
    assert_true(device_now().pets >= before + 7);
    rig_page(rig, fence_lease_standby());
    wait_state(rig, FENCE_WATCHDOG_READY);
    assert_false(device_now().running);
    assert_true(device_now().magic);
    /* In pause: an epoch and no deadline. */
    rig_page(rig, lease_of(6, TTL));
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    struct fence_lease open = fence_lease_standby();
    open.epoch = (struct fence_epoch){.cluster = 1, .revision = 6};
    rig_page(rig, open);
    wait_state(rig, FENCE_WATCHDOG_READY);
    assert_false(device_now().running);
    dog_end(rig);
}

/* What is killed is killed early enough for the device to be stopped before it fires. */
static void lease_that_ends_resets_nobody(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    struct fence_lease last = lease_of(5, TTL);
    rig_page(rig, last);
    wait_gone(rig, 10000);
    int64_t late_ms = now_ms() - (last.watchdog_ms - pg_watchdog_reserve_ms(W));
    assert_true(late_ms >= 0 && late_ms < 700);
    wait_state(rig, FENCE_WATCHDOG_READY);
    rig_run_for(rig, 2 * W);
    assert_false(device_now().fired);
    dog_end(rig);
}

static void dead_agent_resets_nobody_either(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    rig_page(rig, lease_of(5, TTL));
    rig_free(rig);
    usleep(1000 * (TTL + W));
    assert_false(device_now().fired);
    assert_false(device_now().running);
    dog_end(rig_new());
}

static void next_agent_finds_it_armed(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    rig_page(rig, lease_of(5, TTL));
    int32_t pid = rig_status(rig)->fence_pid;
    rig_free(rig);
    rig = rig_new();
    assert_int_equal(rig_status(rig)->fence_pid, pid);
    assert_int_equal(rig_status(rig)->watchdog, FENCE_WATCHDOG_ARMED);
    want(rig, device_path, W);
    renew_for(rig, 5, TTL, 2500);
    assert_int_equal(rig_status(rig)->watchdog, FENCE_WATCHDOG_ARMED);
    assert_int_equal(device_now().opens, 1);
    assert_false(device_now().fired);
    /* Another timeout: without closing it. */
    want(rig, device_path, 2 * W);
    renew_for(rig, 5, 2 * TTL, 500);
    assert_int_equal(device_now().timeout_s, 2);
    assert_int_equal(device_now().opens, 1);
    dog_end(rig);
}

/* FS-20: nobody is left to kill. */
static void stopped_fence_and_agent_are_reset_in_time(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    struct fence_lease last = lease_of(5, TTL);
    rig_page(rig, last);
    rig_run_for(rig, 300);
    kill(rig_status(rig)->fence_pid, SIGSTOP);
    while (!device_now().fired && now_ms() < last.watchdog_ms + 5000) {
        usleep(5000);
    }
    assert_true(device_now().fired);
    assert_true(device_now().fired_ms <= last.watchdog_ms);
    device_reset(); /* and in a test everybody goes on */
    kill(rig_status(rig)->fence_pid, SIGCONT);
    wait_gone(rig, 10000);
    dog_end(rig);
}

/* Killed, it stops nothing; the one after it does, when it has seen that nothing is left. */
static void device_of_a_dead_fence_is_stopped_by_the_next(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    rig_page(rig, lease_of(5, TTL));
    kill(rig_status(rig)->fence_pid, SIGKILL);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 10000));
    rig_free(rig);
    rig = rig_new();
    want(rig, device_path, W);
    rig_run_for(rig, 200);
    assert_int_equal(device_now().unexpected, 1);
    assert_int_equal(device_now().opens, 1);
    assert_true(device_now().running);
    rig_kill(rig);
    rig_run_for(rig, 300);
    assert_false(device_now().running);
    assert_false(device_now().fired);
    assert_int_equal(device_now().opens, 2);
    dog_end(rig);
}

static void one_that_cannot_be_had_is_told_with_a_remedy(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    device_reset();
    want(rig, "/nowhere/watchdog", W);
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "modprobe softdog"));
    want(rig, device_path, W);
    wait_state(rig, FENCE_WATCHDOG_READY);
    if (geteuid() != 0) {
        chmod(device_path, 0400);
        want(rig, device_path, W);
        wait_state(rig, FENCE_WATCHDOG_FAILED);
        assert_non_null(strstr(rig_status(rig)->watchdog_why, "udev"));
        chmod(device_path, 0700);
    }
    pthread_mutex_lock(&device.lock);
    device.open_error = EBUSY;
    pthread_mutex_unlock(&device.lock);
    rig_page(rig, lease_of(5, 60000));
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "another process has it"));
    /* It is tried again. */
    pthread_mutex_lock(&device.lock);
    device.open_error = 0;
    pthread_mutex_unlock(&device.lock);
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    /* And what fails while it runs is told. */
    pthread_mutex_lock(&device.lock);
    device.pet_error = EIO;
    pthread_mutex_unlock(&device.lock);
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "cannot be petted"));
    pthread_mutex_lock(&device.lock);
    device.pet_error = 0;
    pthread_mutex_unlock(&device.lock);
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    want(rig, "", 0);
    wait_state(rig, FENCE_WATCHDOG_NONE);
    rig_run_for(rig, 200);
    assert_false(device_now().running);
    dog_end(rig);
}

static void timeout_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    device_reset();
    device.timeout_s_min = 2;
    want(rig, device_path, W); /* 2 s at most */
    rig_page(rig, lease_of(5, 20000));
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    assert_int_equal(rig_status(rig)->watchdog_timeout_ms, 2 * W);
    rig_page(rig, fence_lease_standby());
    wait_state(rig, FENCE_WATCHDOG_READY);
    pthread_mutex_lock(&device.lock);
    device.timeout_s_min = 3;
    pthread_mutex_unlock(&device.lock);
    rig_page(rig, lease_of(6, 20000));
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "timeout of 3 s"));
    assert_false(device_now().running);
    dog_end(rig);
}

static void one_that_does_not_stop_is_petted_for_ever(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    device_reset();
    device.disable_error = EBUSY;
    want(rig, device_path, W);
    rig_page(rig, lease_of(5, TTL));
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    rig_page(rig, fence_lease_standby());
    wait_state(rig, FENCE_WATCHDOG_READY);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "nowayout"));
    rig_run_for(rig, 3 * W);
    assert_false(device_now().fired);
    assert_int_equal(rig_quit(rig), ERR_REFUSED);
    rig_page(rig, lease_of(6, TTL));
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    assert_int_equal(device_now().opens, 1);
    rig_page(rig, fence_lease_standby());
    /* The host goes down. */
    kill(rig_status(rig)->fence_pid, SIGTERM);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 10000));
    rig_free(rig);
    device_reset();
}

/* Neither is the fence kept from killing, nor does it say that all is well. */
static void one_that_hangs_holds_up_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    pthread_mutex_lock(&device.lock);
    device.silent = true;
    pthread_mutex_unlock(&device.lock);
    struct fence_lease last = lease_of(5, TTL);
    rig_page(rig, last);
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "does not answer"));
    wait_gone(rig, 10000);
    assert_true(now_ms() < last.deadline_ms);
    device_reset();
    dog_end(rig);
}

/* A primary is not started before it is known how things are with its watchdog. */
static void start_waits_for_the_watchdog(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    device_reset();
    pthread_mutex_lock(&device.lock);
    device.silent = true;
    pthread_mutex_unlock(&device.lock);
    want(rig, device_path, W);
    wait_state(rig, FENCE_WATCHDOG_READY);
    rig_page(rig, lease_of(5, 20000));
    rig_run_for(rig, 200);
    assert_int_equal(rig_start(rig), ERR_BUSY);
    pthread_mutex_lock(&device.lock);
    device.silent = false;
    pthread_mutex_unlock(&device.lock);
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    assert_int_equal(rig_start(rig), 0);
    dog_end(rig);
}

/* Whom the fence has not started: that the one before is gone says nothing of him. */
static void one_started_by_hand_keeps_it_armed(void **state)
{
    (void)state;
    struct rig *rig = rig_armed();
    assert_int_equal(rig_start(rig), 0);
    rig_page(rig, fence_lease_standby());
    rig_kill(rig);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        unsetenv("LD_PRELOAD");
        _exit(chdir(rig_data_dir) == 0 ? execl("/bin/sleep", "sleep", "60", (char *)NULL) : 1);
    }
    rig_run_for(rig, 100);
    struct fence_lease last = lease_of(6, TTL);
    rig_page(rig, last);
    wait_state(rig, FENCE_WATCHDOG_ARMED);
    pthread_mutex_lock(&device.lock);
    device.watched = pid;
    pthread_mutex_unlock(&device.lock);
    wait_gone(rig, 10000); /* at its deadline */
    wait_state(rig, FENCE_WATCHDOG_READY);
    assert_false(device_now().stopped_too_soon);
    assert_false(device_now().running);
    assert_false(device_now().fired);
    (void)waitpid(pid, NULL, 0);
    dog_end(rig);
}

/* What cannot be stopped and has too long a timeout would, if it counted, leave no time at all to a
 * lease: it is petted, and told, and nothing else. */
static void one_that_neither_fits_nor_stops_is_unfit(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    device_reset();
    device.disable_error = EBUSY;
    device.timeout_s_min = 3;
    want(rig, device_path, W); /* 2 s at most */
    rig_page(rig, lease_of(5, TTL));
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "timeout of 3 s"));
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "nowayout"));
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "another device"));
    assert_int_equal(rig_status(rig)->watchdog_timeout_ms, 0);
    assert_int_equal(rig_start(rig), 0);
    renew_for(rig, 5, TTL, 6000); /* longer than it waits, and than a failure is let rest */
    assert_int_equal(rig->seen[FENCE_EVENT_ALL_GONE], 0);
    assert_true(rig_status(rig)->running);
    assert_int_equal(rig_status(rig)->watchdog, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "nowayout"));
    assert_false(device_now().fired);
    assert_int_equal(device_now().opens, 1);
    /* With a ttl that it fits into it is one like any other. */
    want(rig, device_path, 2 * W);
    renew_for(rig, 5, 4 * TTL, 500);
    assert_int_equal(rig_status(rig)->watchdog, FENCE_WATCHDOG_ARMED);
    assert_int_equal(rig_status(rig)->watchdog_timeout_ms, 3 * W);
    rig_page(rig, fence_lease_standby());
    rig_kill(rig);
    assert_int_equal(rig_quit(rig), ERR_REFUSED);
    kill(rig_status(rig)->fence_pid, SIGTERM);
    assert_true(rig_saw(rig, FENCE_EVENT_LOST, 10000));
    rig_free(rig);
    device_reset();
}

static void file_that_is_no_device_is_not_written_to(void **state)
{
    struct stat st;
    (void)state;
    struct rig *rig = rig_new();
    device_reset();
    char *path = mem_printf("%s/plain", rig_dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    want(rig, path, W);
    wait_state(rig, FENCE_WATCHDOG_FAILED);
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "no device"));
    assert_non_null(strstr(rig_status(rig)->watchdog_why, "watchdog.device"));
    rig_page(rig, lease_of(5, 20000));
    rig_run_for(rig, 300);
    assert_int_equal(rig_status(rig)->watchdog, FENCE_WATCHDOG_FAILED);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    mem_free(path);
    want(rig, "", 0);
    dog_end(rig);
}

static int all_tests(void)
{
    device_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(armed_with_the_page_and_stopped_with_it),
        cmocka_unit_test(lease_that_ends_resets_nobody),
        cmocka_unit_test(dead_agent_resets_nobody_either),
        cmocka_unit_test(next_agent_finds_it_armed),
        cmocka_unit_test(stopped_fence_and_agent_are_reset_in_time),
        cmocka_unit_test(device_of_a_dead_fence_is_stopped_by_the_next),
        cmocka_unit_test(one_that_cannot_be_had_is_told_with_a_remedy),
        cmocka_unit_test(timeout_that_does_not_fit_is_refused),
        cmocka_unit_test(one_that_does_not_stop_is_petted_for_ever),
        cmocka_unit_test(one_that_hangs_holds_up_nothing),
        cmocka_unit_test(start_waits_for_the_watchdog),
        cmocka_unit_test(one_started_by_hand_keeps_it_armed),
        cmocka_unit_test(one_that_neither_fits_nor_stops_is_unfit),
        cmocka_unit_test(file_that_is_no_device_is_not_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    if (rig_open("dog") != 0) {
        return 1;
    }
    device_path = mem_printf("%s/watchdog", rig_dir);
    char *stub = mem_printf("%s/watchdog_preload.so", rig_build);
    setenv("LD_PRELOAD", stub, 1);
    setenv("WATCHDOG_STUB", device_path, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 0);
    int rc = all_tests();
    rig_close();
    mem_free(stub);
    mem_free(device_path);
    return rc == 0 ? 0 : 1;
}
