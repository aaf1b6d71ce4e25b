/* A record in the ring is its length and its bytes; both may go round the end. Positions count on
 * and wrap, so that full and empty differ. The tail moves only after a line was written: who sees
 * tail == head knows that nothing is under way either. eventfds carry the news; they are set not to
 * block, and one that is full (2^64 lines) has told it already. */
#include "base/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* --- the ring --------------------------------------------------------------------------------- */

static void ring_put(struct log_writer *writer, uint32_t at, const void *bytes, uint32_t len)
{
    uint32_t start = at & (writer->config.ring_bytes - 1);
    uint32_t before_end = writer->config.ring_bytes - start;
    uint32_t first = len < before_end ? len : before_end;
    memcpy(writer->config.ring + start, bytes, first);
    memcpy(writer->config.ring, (const unsigned char *)bytes + first, len - first);
}

static void ring_get(const struct log_writer *writer, uint32_t at, void *ret_bytes, uint32_t len)
{
    uint32_t start = at & (writer->config.ring_bytes - 1);
    uint32_t before_end = writer->config.ring_bytes - start;
    uint32_t first = len < before_end ? len : before_end;
    memcpy(ret_bytes, writer->config.ring + start, first);
    memcpy((unsigned char *)ret_bytes + first, writer->config.ring, len - first);
}

/* --- the thread ------------------------------------------------------------------------------- */

bool log_writer_stderr(const char *line, size_t len)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    size_t done = 0;

    while (done < len) {
        ssize_t written = write(STDERR_FILENO, line + done, len - done);
        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EAGAIN) {
            (void)poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void line_write(struct log_writer *writer, const char *line, size_t len)
{
    const struct log_writer_config *config = &writer->config;
    bool written = config->write != NULL ? config->write(config->arg, line, len)
                                         : log_writer_stderr(line, len);
    if (!written) {
        (void)atomic_fetch_add(&writer->lost_count, 1);
    }
}

static void *thread_run(void *arg)
{
    struct log_writer *writer = arg;
    struct pollfd put = {.fd = writer->put_fd, .events = POLLIN};
    char line[LOG_WRITER_LINE_BYTES];
    eventfd_t count;

    for (;;) {
        uint32_t tail = atomic_load_explicit(&writer->tail, memory_order_relaxed);
        if (tail == atomic_load_explicit(&writer->head, memory_order_acquire)) {
            (void)eventfd_write(writer->written_fd, 1);
            (void)poll(&put, 1, -1);
            (void)eventfd_read(writer->put_fd, &count);
            continue;
        }
        uint32_t len = 0;
        ring_get(writer, tail, &len, sizeof len);
        ring_get(writer, tail + (uint32_t)sizeof len, line, len);
        line_write(writer, line, len);
        atomic_store_explicit(&writer->tail, tail + (uint32_t)sizeof len + len,
                              memory_order_release);
    }
    return NULL;
}

/* --- the giver's side ------------------------------------------------------------------------- */

static int thread_make(struct log_writer *writer)
{
    pthread_attr_t attr;
    sigset_t all;
    sigset_t before;

    int rc = pthread_attr_init(&attr);
    if (rc != 0) {
        return rc;
    }
    (void)pthread_attr_setstack(&attr, writer->config.stack, writer->config.stack_bytes);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited */
    rc = pthread_create(&writer->thread, &attr, thread_run, writer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    return rc;
}

int log_writer_start(struct log_writer *writer, const struct log_writer_config *config)
{
    writer->config = *config;
    writer->put_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = writer->put_fd < 0 ? errno : 0;
    writer->written_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = rc == 0 && writer->written_fd < 0 ? errno : rc;
    rc = rc == 0 ? thread_make(writer) : rc;
    writer->started = rc == 0;
    if (writer->started) {
        return 0;
    }
    if (writer->put_fd >= 0) {
        (void)close(writer->put_fd);
    }
    if (writer->written_fd >= 0) {
        (void)close(writer->written_fd);
    }
    return rc;
}

bool log_writer_put(struct log_writer *writer, const char *line, size_t len)
{
    uint32_t head = atomic_load_explicit(&writer->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&writer->tail, memory_order_acquire);
    uint32_t bytes = (uint32_t)len;

    if (len > LOG_WRITER_LINE_BYTES ||
        writer->config.ring_bytes - (head - tail) < sizeof bytes + bytes) {
        return false;
    }
    ring_put(writer, head, &bytes, sizeof bytes);
    ring_put(writer, head + (uint32_t)sizeof bytes, line, bytes);
    atomic_store_explicit(&writer->head, head + (uint32_t)sizeof bytes + bytes,
                          memory_order_release);
    (void)eventfd_write(writer->put_fd, 1);
    return true;
}

unsigned long log_writer_take_lost(struct log_writer *writer)
{
    return atomic_exchange(&writer->lost_count, 0);
}

static int64_t mono_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool log_writer_flush(struct log_writer *writer, int timeout_ms)
{
    struct pollfd written = {.fd = writer->written_fd, .events = POLLIN};
    int64_t until_ms = mono_ms() + timeout_ms;
    eventfd_t count;

    while (writer->started) {
        /* The word "written" of a time before must not be taken for the one that is awaited. */
        (void)eventfd_read(writer->written_fd, &count);
        if (atomic_load_explicit(&writer->tail, memory_order_acquire) ==
            atomic_load_explicit(&writer->head, memory_order_relaxed)) {
            return true;
        }
        int64_t left_ms = until_ms - mono_ms();
        if (left_ms <= 0) {
            return false;
        }
        (void)poll(&written, 1, (int)left_ms);
    }
    return true;
}
