/* Load on etcd's API on loopback, the same for etcd and for us: puts and ranges of one key
 * (linearizable) one at a time from each of so many clients, over the JSON gateway or gRPC; or a
 * thousand watches of one range, a stream each, and puts into it.
 *
 *     bench_etcd fill  grpc|gateway CLIENTS SECONDS PORT...     puts every key once
 *     bench_etcd put   grpc|gateway CLIENTS SECONDS PORT...
 *     bench_etcd range grpc|gateway CLIENTS SECONDS PORT...
 *     bench_etcd watch grpc         WATCHES SECONDS PORT...
 *
 * Each client has a connection of its own, to the ports by turns, and sends its next request when
 * the last one was answered: the rate is what the other side takes, and the times are those under
 * that load. Twenty watches share a connection. One JSON line; a time of which there are too few is
 * null. What goes wrong is counted, and the first of it told. After SECONDS (of watches, twice) and
 * 10 more the program is ended by a signal. */
#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"
#include "tests/bench/etcd_client.h"
#include "tests/bench/samples.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    KEYS = 1000,
    VALUE_BYTES = 128,
    PORTS_MAX = 7,
    SAMPLES_MAX = 4 * 1000 * 1000,
    STREAMS_A_CONNECTION = 20, /* ours takes streams on 96 connections from one address */
    PUTS_AT_A_TIME = 16, /* watches: so many may be under way that not everybody has heard of */
    REVISIONS_MAX = 1000 * 1000, /* of a run */
    WARM_UP_MS = 150,            /* before the time that counts */
    DRAIN_MS = 3000,             /* for what is under way at the end */
    SECONDS_MAX = 60,
    SECONDS_MORE = 10,
    CLIENTS_MAX = 10000,
    FAILURE_BYTES = 200,
    POLL_MS = 100
};

struct bench {
    bool grpc;
    bool is_range;
    int epoll;
    uint64_t next_key;
    uint64_t keys_left; /* fill: 0 = no end */
    size_t under_way;
    int64_t begin_ns; /* of what counts */
    int64_t end_ns;
    double seconds;
    size_t answered;
    struct samples samples;
    size_t failures;
    char failure[FAILURE_BYTES];
};

struct asker {
    struct etcd_client *client;
    bool got_answer;
    int64_t sent_ns;
};

static struct bench bench;

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void count_failure(const char *what)
{
    if (bench.failures++ == 0) {
        (void)snprintf(bench.failure, sizeof bench.failure, "%s", what);
        for (char *c = bench.failure; *c != '\0'; c++) {
            *c = *c == '"' || *c == '\\' || *c < ' ' ? '\'' : *c;
        }
    }
}

/* The rate is what was answered within the time; how long it took is asked of all that was sent in
 * it, so that the slowest are not left out. */
static void count_sample(int64_t sent_ns)
{
    int64_t now = now_ns();
    bench.answered += now >= bench.begin_ns && now < bench.end_ns;
    if (sent_ns >= bench.begin_ns) {
        samples_add(&bench.samples, (double)(now - sent_ns) / 1e6);
    }
}

/* --- puts and ranges -------------------------------------------------------------------------- */

static struct span encode(const struct etcd_type *type, const void *message)
{
    static struct buf out;
    buf_clear(&out);
    if (bench.grpc) {
        etcd_proto_encode(type, message, &out);
    } else {
        etcd_json_encode(type, message, &out);
    }
    return buf_span(&out);
}

static int decode(const struct etcd_type *type, struct span bytes, struct arena *arena,
                  void *ret_message)
{
    struct error err;
    return bench.grpc ? etcd_proto_decode(type, bytes, arena, ret_message, &err)
                      : etcd_json_decode(type, bytes, arena, ret_message, &err);
}

static void on_answer(void *arg, struct span bytes)
{
    struct asker *asker = arg;
    struct etcd_range_response range = {0};
    struct etcd_put_response put = {0};
    struct arena arena;
    arena_init(&arena, ETCD_ARENA_BUDGET(bytes.len));
    if (bench.is_range) {
        asker->got_answer = decode(&etcd_type_range_response, bytes, &arena, &range) == 0 &&
                            range.kvs_count == 1 && range.kvs[0].value.len == VALUE_BYTES;
    } else {
        asker->got_answer = decode(&etcd_type_put_response, bytes, &arena, &put) == 0 &&
                            put.header != NULL && put.header->revision > 0;
    }
    arena_free(&arena);
}

static void ask(struct asker *asker);

static void on_end(void *arg, const char *failure)
{
    struct asker *asker = arg;
    bench.under_way--;
    if (failure != NULL || !asker->got_answer) {
        count_failure(failure != NULL ? failure : "not the answer that was expected");
    } else {
        count_sample(asker->sent_ns);
    }
    if (now_ns() < bench.end_ns) {
        ask(asker);
    }
}

static struct span value_of(void)
{
    static char value[VALUE_BYTES];
    if (value[0] == '\0') {
        memset(value, 'x', sizeof value);
    }
    return span_of(value, sizeof value);
}

static void ask(struct asker *asker)
{
    static const struct etcd_client_events events = {.on_message = on_answer, .on_end = on_end};
    char key[32];
    if (bench.keys_left > 0 && bench.next_key == bench.keys_left) {
        bench.end_ns = bench.under_way == 0 ? now_ns() : bench.end_ns; /* all of them are there */
        return;
    }
    (void)snprintf(key, sizeof key, "/bench/%04llu", (unsigned long long)(bench.next_key++ % KEYS));
    struct etcd_range_request range = {.key = span_str(key)};
    struct etcd_put_request put = {.key = span_str(key), .value = value_of()};
    struct span message = bench.is_range ? encode(&etcd_type_range_request, &range)
                                         : encode(&etcd_type_put_request, &put);
    const char *path = bench.grpc
                           ? (bench.is_range ? "/etcdserverpb.KV/Range" : "/etcdserverpb.KV/Put")
                           : (bench.is_range ? "/v3/kv/range" : "/v3/kv/put");
    asker->got_answer = false;
    asker->sent_ns = now_ns();
    bench.under_way++;
    etcd_client_call(asker->client, path, message, false, &events, asker);
}

/* Until the time is over, and then until nothing is under way. */
static void turn_until_end(void)
{
    while (now_ns() < bench.end_ns) {
        etcd_client_poll(bench.epoll, POLL_MS);
    }
    int64_t give_up_ns = now_ns() + (int64_t)DRAIN_MS * 1000000;
    while (bench.under_way > 0 && now_ns() < give_up_ns) {
        etcd_client_poll(bench.epoll, POLL_MS);
    }
    for (; bench.under_way > 0; bench.under_way--) {
        count_failure("no answer");
    }
    if (bench.next_key < bench.keys_left) {
        count_failure("the time was over before every key was there");
    }
}

static void start_clock(double seconds)
{
    bench.seconds = seconds;
    bench.begin_ns = now_ns() + (int64_t)WARM_UP_MS * 1000000;
    bench.end_ns = bench.begin_ns + (int64_t)(seconds * 1e9);
}

static void load(size_t clients, double seconds, const uint16_t *ports, size_t ports_count)
{
    struct asker *askers = mem_new_array(struct asker, clients);
    for (size_t i = 0; i < clients; i++) {
        askers[i].client = etcd_client_open(bench.epoll, bench.grpc, ports[i % ports_count]);
    }
    start_clock(seconds);
    for (size_t i = 0; i < clients; i++) {
        ask(&askers[i]);
    }
    turn_until_end();
}

/* --- watches ---------------------------------------------------------------------------------- */

/* Revisions of the puts stand in `told`, from the first one on: how many watches have heard. */
struct fan_out {
    size_t watches;
    size_t created;
    int64_t first; /* revision */
    size_t sent;   /* puts */
    size_t done;   /* told to all */
    size_t at_a_time;
    uint16_t *told;
    int64_t *sent_ns;
    struct etcd_client *writer;
};

struct watch {
    int64_t heard; /* the last revision */
};

static struct fan_out fan_out;

static void put_more(void);

static void on_event(struct watch *watch, const struct etcd_event *event)
{
    int64_t revision = event->kv != NULL ? event->kv->mod_revision : 0;
    if (fan_out.first == 0) {
        fan_out.first = revision;
    }
    if (revision != (watch->heard == 0 ? fan_out.first : watch->heard + 1) ||
        revision >= fan_out.first + (int64_t)fan_out.sent) {
        count_failure("an event is not the next of our puts");
        return;
    }
    watch->heard = revision;
    size_t at = (size_t)(revision - fan_out.first);
    if (++fan_out.told[at] == fan_out.watches) {
        fan_out.done++;
        count_sample(fan_out.sent_ns[at]);
        put_more();
    }
}

static void on_watch_message(void *arg, struct span bytes)
{
    struct etcd_watch_response response = {0};
    struct arena arena;
    struct error err;
    arena_init(&arena, ETCD_ARENA_BUDGET(bytes.len));
    if (etcd_proto_decode(&etcd_type_watch_response, bytes, &arena, &response, &err) != 0) {
        count_failure(err.text);
    } else if (response.canceled) {
        count_failure("a watch was canceled");
    } else {
        fan_out.created += response.created;
        for (size_t i = 0; i < response.events_count; i++) {
            on_event(arg, &response.events[i]);
        }
    }
    arena_free(&arena);
}

static void on_watch_end(void *arg, const char *failure)
{
    (void)arg;
    count_failure(failure != NULL ? failure : "a watch ended");
}

static void on_put(void *arg, struct span bytes)
{
    (void)arg;
    (void)bytes;
}

static void on_put_end(void *arg, const char *failure)
{
    (void)arg;
    if (failure != NULL) {
        count_failure(failure);
    }
}

/* With more than one at a time it is the rate that counts: which put became which revision is not
 * looked at. */
static void put_more(void)
{
    static const struct etcd_client_events events = {.on_message = on_put, .on_end = on_put_end};
    struct etcd_put_request put = {.key = span_str("/watched/leader"), .value = value_of()};
    while (now_ns() < bench.end_ns && fan_out.sent - fan_out.done < fan_out.at_a_time &&
           fan_out.sent < REVISIONS_MAX) {
        fan_out.sent_ns[fan_out.sent++] = now_ns();
        etcd_client_call(fan_out.writer, "/etcdserverpb.KV/Put",
                         encode(&etcd_type_put_request, &put), false, &events, NULL);
    }
}

static void open_watches(const uint16_t *ports, size_t ports_count)
{
    static const struct etcd_client_events events = {.on_message = on_watch_message,
                                                     .on_end = on_watch_end};
    struct watch *watches = mem_new_array(struct watch, fan_out.watches);
    struct etcd_watch_create_request create = {.key = span_str("/watched/"),
                                               .range_end = span_str("/watched0")};
    struct etcd_watch_request request = {.which = ETCD_WATCH_CREATE, .create_request = &create};
    struct etcd_client *client = NULL;
    for (size_t i = 0; i < fan_out.watches; i++) {
        if (i % STREAMS_A_CONNECTION == 0) {
            client =
                etcd_client_open(bench.epoll, true, ports[i / STREAMS_A_CONNECTION % ports_count]);
        }
        etcd_client_call(client, "/etcdserverpb.Watch/Watch",
                         encode(&etcd_type_watch_request, &request), true, &events, &watches[i]);
    }
    int64_t give_up_ns = now_ns() + (int64_t)DRAIN_MS * 1000000;
    while (fan_out.created < fan_out.watches && now_ns() < give_up_ns) {
        etcd_client_poll(bench.epoll, POLL_MS);
    }
    if (fan_out.created < fan_out.watches) {
        fprintf(stderr, "bench_etcd: %zu of %zu watches were made in %d ms, the others: %s\n",
                fan_out.created, fan_out.watches, DRAIN_MS,
                bench.failures > 0 ? bench.failure : "no answer");
        exit(1);
    }
}

static void put_for(double seconds, size_t at_a_time)
{
    fan_out.at_a_time = at_a_time;
    samples_clear(&bench.samples);
    bench.answered = 0;
    start_clock(seconds);
    put_more();
    while (now_ns() < bench.end_ns) {
        etcd_client_poll(bench.epoll, POLL_MS);
    }
    int64_t give_up_ns = now_ns() + (int64_t)DRAIN_MS * 1000000;
    while (fan_out.done < fan_out.sent && now_ns() < give_up_ns) {
        etcd_client_poll(bench.epoll, POLL_MS);
    }
    if (fan_out.done < fan_out.sent) {
        count_failure("not all watches heard of every put");
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

static double per_s(void)
{
    return (double)bench.answered / bench.seconds;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(int64_t start_ns, double rate, size_t asked)
{
    const struct samples *samples = &bench.samples;
    samples_sort(&bench.samples);
    printf("{\"requests\": %zu, \"per_s\": %.1f, \"samples\": %zu, \"p50_ms\": %s, \"p99_ms\": %s, "
           "\"failures\": %zu, \"failure\": \"%s\", \"client_cpu\": %.3f}\n",
           asked, rate, samples->count, samples_json(samples_percentile(samples, 50)),
           samples_json(samples_percentile(samples, 99)), bench.failures, bench.failure,
           cpu_seconds() / ((double)(now_ns() - start_ns) / 1e9));
}

/* --- what was asked for ----------------------------------------------------------------------- */

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "bench_etcd: ");
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nbench_etcd fill|put|range|watch grpc|gateway COUNT SECONDS PORT...\n");
    exit(2);
}

/* A number of the command line, from `least` to `most`. */
static double number(const char *text, const char *name, double least, double most)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most)) {
        refuse("%s '%s' is no number from %g to %g", name, text, least, most);
    }
    return value;
}

static bool is_word(const char *text, const char *const *words)
{
    while (*words != NULL && strcmp(text, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

static void watch(size_t count, double seconds, const uint16_t *ports, size_t ports_count)
{
    int64_t start_ns = now_ns();
    fan_out = (struct fan_out){.watches = count,
                               .told = mem_new_array(uint16_t, REVISIONS_MAX),
                               .sent_ns = mem_new_array(int64_t, REVISIONS_MAX),
                               .writer = etcd_client_open(bench.epoll, true, ports[0])};
    open_watches(ports, ports_count);
    put_for(seconds, PUTS_AT_A_TIME);
    double rate = per_s();
    put_for(seconds, 1); /* its times are those that are told */
    report(start_ns, rate, fan_out.sent);
}

int main(int argc, char **argv)
{
    static const char *const loads[] = {"fill", "put", "range", "watch", NULL};
    static const char *const wires[] = {"grpc", "gateway", NULL};
    uint16_t ports[PORTS_MAX];
    size_t ports_count = 0;
    if (argc < 6 || argc > 5 + PORTS_MAX) {
        refuse("%d words are too %s", argc - 1, argc < 6 ? "few" : "many");
    }
    if (!is_word(argv[1], loads)) {
        refuse("there is no load '%s'", argv[1]);
    }
    bool watches = strcmp(argv[1], "watch") == 0;
    if (!is_word(argv[2], wires) || (watches && strcmp(argv[2], "grpc") != 0)) {
        refuse("there is no %s over '%s'", argv[1], argv[2]);
    }
    size_t count = (size_t)number(argv[3], "COUNT", 1, CLIENTS_MAX);
    double seconds = number(argv[4], "SECONDS", 0.1, SECONDS_MAX);
    for (int i = 5; i < argc; i++) {
        ports[ports_count++] = (uint16_t)number(argv[i], "PORT", 1, UINT16_MAX);
    }
    (void)alarm((unsigned)seconds * (watches ? 2 : 1) + SECONDS_MORE);
    bench.grpc = strcmp(argv[2], "grpc") == 0;
    bench.is_range = strcmp(argv[1], "range") == 0;
    bench.keys_left = strcmp(argv[1], "fill") == 0 ? KEYS : 0;
    bench.epoll = etcd_client_epoll();
    samples_init(&bench.samples, SAMPLES_MAX);
    if (watches) {
        watch(count, seconds, ports, ports_count);
        return 0;
    }
    int64_t start_ns = now_ns();
    load(count, seconds, ports, ports_count);
    report(start_ns, per_s(), (size_t)bench.next_key);
    return 0;
}
