/* A thread that alone writes lines to a sink which may block for as long as it likes: a file on a
 * file system that stands still, a pipe that nobody reads. Whoever has lines gives them away
 * without waiting, without a lock and without allocating; what finds no room is lost, and counted.
 *
 * One giver at a time (it may be a real-time thread: it waits for nobody), and one thread that
 * takes: a ring between them. libc and threads only: the fence links it too. The thread lives as
 * long as the process; a child of fork() has none, and must not put. */
#ifndef BASE_LOG_WRITER_H
#define BASE_LOG_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_WRITER_LINE_BYTES 4096 /* a line, with its end */
#ifdef __SANITIZE_THREAD__
#define LOG_WRITER_STACK_BYTES (2 * 1024 * 1024)
#else
#define LOG_WRITER_STACK_BYTES 65536 /* of the thread */
#endif

struct log_writer_config {
    unsigned char *ring;  /* borrowed for ever, as the stack */
    uint32_t ring_bytes;  /* a power of two, more than a line */
    unsigned char *stack; /* aligned to 16 */
    size_t stack_bytes;   /* LOG_WRITER_STACK_BYTES, and what the program has of _Thread_local */
    /* Writes one whole line, on the thread, and may block. False: it is lost. NULL: standard error,
     * also one that is set not to block. */
    bool (*write)(void *arg, const char *line, size_t len);
    void *arg;
};

struct log_writer { /* zeroed: not started */
    struct log_writer_config config;
    bool started;
    _Atomic uint32_t head; /* what was put, in bytes; the giver's */
    _Atomic uint32_t tail; /* what was written; the thread's */
    _Atomic unsigned long lost_count;
    int put_fd;     /* wakes the thread */
    int written_fd; /* and whoever waits in flush */
    pthread_t thread;
};

/* Standard error takes it whole, however long that takes, also one that is set not to block. False:
 * it does not. For `write` of the configuration. */
bool log_writer_stderr(const char *line, size_t len);
/* 0, or an errno: then nothing was started. No signal is delivered to the thread. */
int log_writer_start(struct log_writer *writer, const struct log_writer_config *config);
/* Never blocks. False: no room; not counted as lost here, since the caller knows. */
bool log_writer_put(struct log_writer *writer, const char *line, size_t len);
/* How many lines the sink has refused since the last call. */
unsigned long log_writer_take_lost(struct log_writer *writer);
/* Waits until all that was put is written, `timeout_ms` at most. False: it is not. True also of one
 * that was not started: nothing was put. */
bool log_writer_flush(struct log_writer *writer, int timeout_ms);

#endif
