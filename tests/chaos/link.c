/* One cable of the bridge as a program: two TAP devices and a heap of frames that are due later.
 *
 *   chaos_link NAMESPACE DEVICE NAMESPACE DEVICE SEED
 *
 * Makes a TAP device in each of the two network namespaces (paths), says "ready" on standard
 * output, and carries frames both ways until standard input ends. A line there changes the weather
 * from then on:
 *
 *   DELAY_US JITTER_US LOSS_PPM DUPLICATE_PPM REORDER_PPM RATE_BYTES_PER_S
 *
 * A frame waits for the delay plus or minus the jitter. Order is kept in spite of the jitter, but
 * for the frames that the reorder share picks: those leave without delay. A rate of 0 is no limit;
 * beyond it frames queue, each way for itself, and are dropped when a second's worth of them waits.
 * All draws come from the seed, so the n-th frame of a direction fares alike in every run. At its
 * end, and for each line, it prints "SEEN LOST DUPLICATED REORDERED". */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 2048, HEAP_MAX = 8192, MILLION = 1000000, COMMAND_MAX = 256 };

struct weather {
    int64_t delay_us;
    int64_t jitter_us;
    int64_t loss_ppm;
    int64_t duplicate_ppm;
    int64_t reorder_ppm;
    int64_t rate;
};

struct frame {
    int64_t due_us;
    uint64_t number; /* of equals, the one that came first leaves first */
    size_t len;
    int to;
    unsigned char bytes[FRAME_MAX];
};

/* One way of the cable. */
struct way {
    uint64_t random;
    int64_t last_due_us;
    int64_t free_us; /* when the frames so far have gone, at the rate */
};

static struct weather weather;
static struct frame *heap[HEAP_MAX];
static size_t heap_len;
static uint64_t frames;
static uint64_t lost;
static uint64_t duplicated;
static uint64_t reordered;

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MILLION + now.tv_nsec / 1000;
}

/* xorshift64*: below `bound`. */
static int64_t draw(struct way *way, int64_t bound)
{
    way->random ^= way->random >> 12;
    way->random ^= way->random << 25;
    way->random ^= way->random >> 27;
    return (int64_t)((way->random * 0x2545F4914F6CDD1DULL) >> 33) % bound;
}

static bool before(const struct frame *a, const struct frame *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void heap_swap(size_t a, size_t b)
{
    struct frame *was = heap[a];
    heap[a] = heap[b];
    heap[b] = was;
}

static bool heap_push(const struct frame *frame)
{
    struct frame *kept = heap_len < HEAP_MAX ? malloc(sizeof *kept) : NULL;
    if (kept == NULL) {
        return false;
    }
    memcpy(kept, frame, offsetof(struct frame, bytes) + frame->len);
    size_t at = heap_len++;
    heap[at] = kept;
    while (at > 0 && before(heap[at], heap[(at - 1) / 2])) {
        heap_swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
    return true;
}

static struct frame *heap_pop(void)
{
    struct frame *first = heap[0];
    size_t at = 0;
    heap[0] = heap[--heap_len];
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap_len; child++) {
            least = before(heap[child], heap[least]) ? child : least;
        }
        if (least == at) {
            return first;
        }
        heap_swap(at, least);
        at = least;
    }
}

/* How long the way is busy with frames before this one; negative: too many wait already. */
static int64_t queue_us(struct way *way, size_t len, int64_t now)
{
    if (weather.rate == 0) {
        return 0;
    }
    int64_t begins = way->free_us > now ? way->free_us : now;
    if (begins - now > MILLION) {
        return -1;
    }
    way->free_us = begins + (int64_t)len * MILLION / weather.rate;
    return way->free_us - now;
}

/* The draws are made for each frame, needed or not: so a frame's number alone says what it meets.
 */
static void take(struct way *way, struct frame *frame)
{
    int64_t now = now_us();
    bool is_lost = draw(way, MILLION) < weather.loss_ppm;
    bool is_twice = draw(way, MILLION) < weather.duplicate_ppm;
    bool is_first = draw(way, MILLION) < weather.reorder_ppm;
    int64_t jitter = draw(way, 2 * weather.jitter_us + 1) - weather.jitter_us;
    int64_t queued = queue_us(way, frame->len, now);
    if (is_lost || queued < 0) {
        lost++;
        return;
    }
    frame->number = frames++;
    frame->due_us = now + queued;
    if (!is_first) {
        frame->due_us += weather.delay_us + jitter > 0 ? weather.delay_us + jitter : 0;
        frame->due_us = frame->due_us > way->last_due_us ? frame->due_us : way->last_due_us;
        way->last_due_us = frame->due_us;
    }
    reordered += is_first;
    lost += !heap_push(frame);
    if (is_twice) {
        duplicated++;
        lost += !heap_push(frame);
    }
}

static void send_due(void)
{
    while (heap_len > 0 && heap[0]->due_us <= now_us()) {
        struct frame *frame = heap_pop();
        if (write(frame->to, frame->bytes, frame->len) < 0) {
            lost++; /* as on a cable whose other end is down */
        }
        free(frame);
    }
}

static int tap_open(const char *namespace, const char *device)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int ns = open(namespace, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) {
        fprintf(stderr, "chaos_link: %s: %s\n", namespace, strerror(errno));
        exit(1);
    }
    close(ns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) {
        fprintf(stderr, "chaos_link: %s in %s: %s\n", device, namespace, strerror(errno));
        exit(1);
    }
    return fd;
}

static void tell(void)
{
    printf("%llu %llu %llu %llu\n", (unsigned long long)frames, (unsigned long long)lost,
           (unsigned long long)duplicated, (unsigned long long)reordered);
    fflush(stdout);
}

/* false at the end of input. */
static bool command(void)
{
    char line[COMMAND_MAX];
    struct weather next = {0};
    ssize_t len = read(0, line, sizeof line - 1); /* one write of the other side, one line */
    if (len <= 0) {
        return false;
    }
    line[len] = '\0';
    if (sscanf(line, "%ld %ld %ld %ld %ld %ld", &next.delay_us, &next.jitter_us, &next.loss_ppm,
               &next.duplicate_ppm, &next.reorder_ppm, &next.rate) != 6) {
        fprintf(stderr, "chaos_link: six numbers were expected: %s\n", line);
        exit(1);
    }
    weather = next;
    tell();
    return true;
}

static int patience_ms(void)
{
    if (heap_len == 0) {
        return -1;
    }
    int64_t left = heap[0]->due_us - now_us();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

int main(int argc, char **argv)
{
    struct way ways[2] = {{0}};
    struct frame frame;
    if (argc != 6) {
        fprintf(stderr, "usage: chaos_link NAMESPACE DEVICE NAMESPACE DEVICE SEED\n");
        return 2;
    }
    int taps[2] = {tap_open(argv[1], argv[2]), tap_open(argv[3], argv[4])};
    for (int i = 0; i < 2; i++) {
        ways[i].random =
            (strtoull(argv[5], NULL, 10) * 2 + (unsigned)i) * 0x9E3779B97F4A7C15ULL + 1;
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[3] = {{taps[0], POLLIN, 0}, {taps[1], POLLIN, 0}, {0, POLLIN, 0}};
        if (poll(fds, 3, patience_ms()) < 0 && errno != EINTR) {
            return 1;
        }
        send_due();
        for (int i = 0; i < 2; i++) {
            ssize_t len = fds[i].revents != 0 ? read(taps[i], frame.bytes, sizeof frame.bytes) : -1;
            if (len > 0) {
                frame.len = (size_t)len;
                frame.to = taps[1 - i];
                take(&ways[i], &frame);
            }
        }
        if (fds[2].revents != 0 && !command()) {
            tell();
            return 0;
        }
    }
}
