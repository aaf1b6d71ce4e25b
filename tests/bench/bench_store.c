/* Store latency and rate through the whole stack: three members in three processes on loopback,
 * each with SQLite on a disk and TCP; the Raft leader puts 128 bytes through its in-process face,
 * one at a time and 64 in flight: the next is sent when one was answered.
 *
 *     bench_store SECONDS      prints one JSON line for each load
 *
 * A put that fails, or a leader that changes, ends it with status 1: figures of what is left would
 * be of another load. So does more time than the loads and START_SECONDS_MAX need. */
#include "base/clock.h"
#include "base/mem.h"
#include "raft/group.h"
#include "tests/bench/samples.h"
#include "tests/harness/free_port.h"
#include "tests/harness/scratch.h"

#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    MEMBERS = 3,
    VALUE_BYTES = 128,
    SAMPLES_MAX = 4 * 1000 * 1000,
    KEYS = 1000,
    LOOK_MS = 100,     /* for the leader */
    WARM_UP_MS = 1000, /* of each load, before what counts */
    PUT_MS = 10000,
    SECONDS_MAX = 60,
    START_SECONDS_MAX = 30
};

static const int loads[] = {1, 64}; /* in flight */
enum { LOADS = sizeof loads / sizeof loads[0] };

struct bench {
    uv_loop_t loop;
    struct raft_group *group;
    uv_timer_t timer;
    int seconds;
    bool begun;
    int load;         /* index */
    int in_flight;    /* that are not answered yet */
    int64_t begin_ns; /* of what counts */
    int64_t end_ns;
    uint64_t term; /* of the leader, which is this member */
    uint64_t next;
    size_t answered;        /* between begin and end */
    struct samples samples; /* of what was sent between them */
};

struct put {
    struct bench *bench;
    int64_t sent_ns;
};

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "bench_store: ");
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(1);
}

static void report(struct bench *bench)
{
    const struct samples *samples = &bench->samples;
    samples_sort(&bench->samples);
    if (samples->count == 0) {
        give_up("no put was answered in %d s", bench->seconds);
    }
    printf("{\"in_flight\": %d, \"puts\": %zu, \"per_s\": %.0f, \"p50_ms\": %s, \"p99_ms\": %s, "
           "\"max_ms\": %.3f}\n",
           loads[bench->load], samples->count, (double)bench->answered / bench->seconds,
           samples_json(samples_percentile(samples, 50)),
           samples_json(samples_percentile(samples, 99)), (double)samples->ms[samples->count - 1]);
    (void)fflush(stdout);
}

/* The term in which this member leads; 0: it does not. */
static uint64_t leading(const struct bench *bench)
{
    struct raft_status status;
    struct raft_node *node = raft_group_node(bench->group);
    if (node == NULL) {
        return 0;
    }
    raft_node_status(node, &status);
    return status.role == RAFT_ROLE_LEADER && status.member_count == MEMBERS ? status.term : 0;
}

static void start_put(struct bench *bench);
static void start_load(struct bench *bench);

static void end_load(struct bench *bench)
{
    if (leading(bench) != bench->term) {
        give_up("the leader has changed under the load");
    }
    report(bench);
    if (++bench->load == LOADS) {
        exit(0);
    }
    start_load(bench);
}

static void on_put(void *arg, int rc, const struct store_result *result)
{
    struct put *put = arg;
    struct bench *bench = put->bench;

    if (rc != 0 || result->code != 0) {
        give_up("a put failed: %s", err_name(rc != 0 ? rc : result->code));
    }
    int64_t now = now_ns();
    bench->answered += now >= bench->begin_ns && now < bench->end_ns;
    if (put->sent_ns >= bench->begin_ns) {
        samples_add(&bench->samples, (double)(now - put->sent_ns) / 1e6);
    }
    mem_free(put);
    if (now < bench->end_ns) {
        start_put(bench);
    } else if (--bench->in_flight == 0) {
        end_load(bench);
    }
}

static void start_put(struct bench *bench)
{
    char key[32];
    char value[VALUE_BYTES];
    struct error err;
    struct put *put = mem_new(struct put);

    memset(value, 'x', sizeof value);
    (void)snprintf(key, sizeof key, "/bench/%llu", (unsigned long long)(bench->next++ % KEYS));
    struct store_op op = {
        .type = STORE_OP_PUT, .key = span_str(key), .value = span_of(value, sizeof value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    put->bench = bench;
    put->sent_ns = now_ns();
    if (raft_node_propose(raft_group_node(bench->group), &command, PUT_MS, 0, on_put, put, &err) !=
        0) {
        give_up("a put was not taken: %s", err.text);
    }
}

static void start_load(struct bench *bench)
{
    samples_clear(&bench->samples);
    bench->answered = 0;
    bench->in_flight = loads[bench->load];
    bench->begin_ns = now_ns() + (int64_t)WARM_UP_MS * 1000000;
    bench->end_ns = bench->begin_ns + (int64_t)bench->seconds * 1000000000;
    for (int i = 0; i < loads[bench->load]; i++) {
        start_put(bench);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    if (bench->begun || leading(bench) == 0) {
        return;
    }
    bench->begun = true;
    bench->term = leading(bench);
    samples_init(&bench->samples, SAMPLES_MAX);
    start_load(bench);
}

static void on_fatal(void *arg, const struct error *err)
{
    (void)arg;
    give_up("%s", err->text);
}

static void quiet(void *arg)
{
    (void)arg;
}

static void quiet_text(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

/* Ends with the leader's exit, or its parent's end. */
static void member(int index, int seconds, char addresses[MEMBERS][32], const char *dir)
{
    static struct bench bench;
    char data_dir[256];
    const char *partners[MEMBERS - 1];
    size_t count = 0;
    struct error err;
    char name[16];

    for (int i = 0; i < MEMBERS; i++) {
        if (i != index) {
            partners[count++] = addresses[i];
        }
    }
    (void)snprintf(data_dir, sizeof data_dir, "%s/%d", dir, index);
    (void)snprintf(name, sizeof name, "bench%d", index);
    struct raft_group_config config = {.data_dir = data_dir,
                                       .name = name,
                                       .self_addr = addresses[index],
                                       .partner_addrs = partners,
                                       .partner_count = count,
                                       .password = "bench",
                                       .election_timeout_ms = 1000,
                                       .heartbeat_ms = 100};
    struct raft_group_callbacks callbacks = {.on_ready = quiet,
                                             .on_change = quiet,
                                             .on_waiting = quiet_text,
                                             .on_warning = quiet_text,
                                             .on_fatal = on_fatal,
                                             .arg = &bench};
    bench.seconds = seconds;
    (void)uv_loop_init(&bench.loop);
    (void)uv_timer_init(&bench.loop, &bench.timer);
    bench.timer.data = &bench;
    (void)uv_timer_start(&bench.timer, on_timer, LOOK_MS, LOOK_MS);
    if (raft_group_open(&bench.loop, &config, &callbacks, &bench.group, &err) != 0) {
        give_up("%s", err.text);
    }
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    give_up("member %d has ended", index);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int seconds_of(const char *text)
{
    char *end = NULL;
    long seconds = strtol(text, &end, 10);
    if (end == text || *end != '\0' || seconds < 1 || seconds > SECONDS_MAX) {
        fprintf(stderr, "bench_store: SECONDS '%s' is no number from 1 to %d\n", text, SECONDS_MAX);
        exit(2);
    }
    return (int)seconds;
}

static void end_members(const pid_t *pids)
{
    for (int i = 0; i < MEMBERS; i++) {
        (void)kill(pids[i], SIGKILL);
    }
    while (wait(NULL) > 0) {
    }
}

/* The first that ends: the leader when it has its figures. */
static int wait_first(int seconds)
{
    int status = 1;
    (void)alarm((unsigned)(LOADS * (seconds + 1 + PUT_MS / 1000) + START_SECONDS_MAX));
    if (wait(&status) < 0) {
        fprintf(stderr, "bench_store: no leader, or no figures, in time\n");
        return 1;
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "bench_store: a member was ended by signal %d\n", WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void on_alarm(int number)
{
    (void)number;
}

int main(int argc, char **argv)
{
    char dir[128];
    char addresses[MEMBERS][32];
    pid_t pids[MEMBERS];
    struct sigaction alarm_ends_wait = {.sa_handler = on_alarm};

    if (argc != 2) {
        fprintf(stderr, "bench_store SECONDS\n");
        return 2;
    }
    int seconds = seconds_of(argv[1]);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigaction(SIGALRM, &alarm_ends_wait, NULL);
    scratch_make(dir, sizeof dir, "/var/tmp", "bench"); /* a disk, where /tmp may be memory */
    for (int i = 0; i < MEMBERS; i++) {
        (void)snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", (unsigned)free_port());
    }
    for (int i = 0; i < MEMBERS; i++) {
        pids[i] = fork();
        if (pids[i] < 0) {
            perror("bench_store: fork");
            exit(1);
        }
        if (pids[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            member(i, seconds, addresses, dir);
        }
    }
    int status = wait_first(seconds);
    end_members(pids);
    if (nftw(dir, remove_one, MEMBERS, FTW_DEPTH | FTW_PHYS) != 0) {
        perror(dir);
        return 1;
    }
    return status;
}
