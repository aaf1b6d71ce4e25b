/* Store latency and rate through the whole stack: three members in three processes on loopback,
 * each with SQLite and TCP; the Raft leader puts 128 bytes through its in-process face, one at a
 * time and 64 in flight.
 *
 *     bench_store SECONDS      prints one JSON line for each load
 */
#include "base/clock.h"
#include "base/mem.h"
#include "raft/group.h"
#include "tests/harness/free_port.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum {
    MEMBERS = 3,
    VALUE_BYTES = 128,
    SAMPLES_MAX = 4 * 1000 * 1000,
    KEYS = 1000,
    WARM_UP_MS = 1000,
    PUT_MS = 10000
};

struct bench {
    uv_loop_t loop;
    struct raft_group *group;
    uv_timer_t timer;
    int index;
    int seconds;
    int in_flight;
    bool running;
    int64_t end_ns;
    int64_t begin_ns;
    uint64_t next;
    size_t count;
    double *samples_ms;
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

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(struct bench *bench)
{
    double seconds = (double)(now_ns() - bench->begin_ns) / 1e9;
    qsort(bench->samples_ms, bench->count, sizeof(double), compare);
    printf("{\"in_flight\": %d, \"puts\": %zu, \"per_s\": %.0f, \"p50_ms\": %.3f, \"p99_ms\": "
           "%.3f, \"max_ms\": %.3f}\n",
           bench->in_flight, bench->count, (double)bench->count / seconds,
           bench->samples_ms[bench->count / 2], bench->samples_ms[bench->count * 99 / 100],
           bench->samples_ms[bench->count - 1]);
    (void)fflush(stdout);
}

static void start_put(struct bench *bench);
static void start_load(struct bench *bench, int in_flight);

static void on_put(void *arg, int rc, const struct store_result *result)
{
    struct put *put = arg;
    struct bench *bench = put->bench;

    (void)result;
    if (rc != 0) {
        fprintf(stderr, "a put failed: %s\n", err_name(rc));
        exit(1);
    }
    if (bench->count < SAMPLES_MAX) {
        bench->samples_ms[bench->count++] = (double)(now_ns() - put->sent_ns) / 1e6;
    }
    mem_free(put);
    if (now_ns() < bench->end_ns) {
        start_put(bench);
        return;
    }
    if (--bench->in_flight > 0) {
        return;
    }
    bench->in_flight = bench->running ? 1 : 64;
    report(bench);
    if (!bench->running) {
        exit(0);
    }
    bench->running = false;
    start_load(bench, 64);
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
        fprintf(stderr, "a put was not taken: %s\n", err.text);
        exit(1);
    }
}

static void start_load(struct bench *bench, int in_flight)
{
    bench->count = 0;
    bench->in_flight = in_flight;
    bench->begin_ns = now_ns();
    bench->end_ns = bench->begin_ns + (int64_t)bench->seconds * 1000000000;
    for (int i = 0; i < in_flight; i++) {
        start_put(bench);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    struct raft_status status;
    struct raft_node *node = raft_group_node(bench->group);

    if (node == NULL || bench->samples_ms != NULL) {
        return;
    }
    raft_node_status(node, &status);
    if (status.role == RAFT_ROLE_LEADER && status.member_count == MEMBERS) {
        bench->samples_ms = mem_alloc_array(SAMPLES_MAX, sizeof(double));
        bench->running = true;
        start_load(bench, 1);
    }
}

static void on_fatal(void *arg, const struct error *err)
{
    (void)arg;
    fprintf(stderr, "fatal: %s\n", err->text);
    exit(1);
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
    bench.index = index;
    bench.seconds = seconds;
    (void)uv_loop_init(&bench.loop);
    (void)uv_timer_init(&bench.loop, &bench.timer);
    bench.timer.data = &bench;
    (void)uv_timer_start(&bench.timer, on_timer, WARM_UP_MS, 100);
    if (raft_group_open(&bench.loop, &config, &callbacks, &bench.group, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    exit(1);
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 10;
    char dir[] = "/tmp/pgquorum-bench-XXXXXX";
    char addresses[MEMBERS][32];
    pid_t pids[MEMBERS];
    int status = 1;

    (void)signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    for (int i = 0; i < MEMBERS; i++) {
        (void)snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%u", (unsigned)free_port());
    }
    for (int i = 0; i < MEMBERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            member(i, seconds, addresses, dir);
        }
    }
    (void)wait(&status); /* the leader ends when it has its figures */
    for (int i = 0; i < MEMBERS; i++) {
        (void)kill(pids[i], SIGKILL);
    }
    while (wait(NULL) > 0) {
    }
    char *remove = mem_printf("%s", dir);
    if (execlp("rm", "rm", "-rf", remove, (char *)NULL) != 0) {
        perror("rm");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
