/* Settings come by the ring, as lines do, and so in their order. Faults go back under a mutex,
 * which nobody holds while a disk works, and which is asked for only where a flag says that there
 * is one.
 */
#include "base/log_sink.h"

#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTINGS '=' /* no digit: of a record that is no line */
_Static_assert(LOG_SINK_RECORD_BYTES <= LOG_WRITER_LINE_BYTES, "the ring takes settings");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char fault[LOG_SINK_FAULT_BYTES]; /* under the lock */
static _Atomic bool has_fault;
static _Atomic unsigned long done_count;
static bool to_journal;

/* The thread's own. */
static struct log_file file = {.fd = -1};
static struct log_file_settings wanted; /* dir "" = standard error */
static int64_t fault_told_ms;
static int64_t tried_ms;
static bool fault_was_told;

/* --- the giver's side ------------------------------------------------------------------------- */

void log_sink_settings(const struct log_file_settings *settings,
                       char ret_record[static LOG_SINK_RECORD_BYTES])
{
    ret_record[0] = SETTINGS;
    memcpy(ret_record + 1, settings, sizeof *settings);
}

unsigned long log_sink_done(void)
{
    return atomic_load(&done_count);
}

bool log_sink_take_fault(char ret_text[static LOG_SINK_FAULT_BYTES])
{
    if (!atomic_exchange(&has_fault, false)) {
        return false;
    }
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(ret_text, LOG_SINK_FAULT_BYTES, "%s", fault);
    (void)pthread_mutex_unlock(&lock);
    return true;
}

void log_sink_look_for_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat own;
    char text[64];
    to_journal = false;
    if (stream != NULL && fstat(STDERR_FILENO, &own) == 0) {
        (void)snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)own.st_dev,
                       (unsigned long long)own.st_ino);
        to_journal = strcmp(stream, text) == 0;
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

/* A fault makes a line, which meets it again: so it is told now and then. */
static void tell(const struct error *err)
{
    int64_t now_ms = clock_mono_ms(clock_real());
    if (fault_was_told && now_ms - fault_told_ms < LOG_SINK_FAULT_MS) {
        return;
    }
    fault_was_told = true;
    fault_told_ms = now_ms;
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(fault, sizeof fault, "%s", err->text);
    (void)pthread_mutex_unlock(&lock);
    atomic_store(&has_fault, true);
}

/* One that cannot be opened leaves the one of before in use. */
static void open_file(void)
{
    struct log_file next;
    struct error err = {0};
    tried_ms = clock_mono_ms(clock_real());
    if (log_file_open(&next, &wanted, &err) != 0) {
        tell(&err);
        return;
    }
    log_file_close(&file);
    file = next;
    fault_was_told = false;
}

static void take_settings(const char *record)
{
    memcpy(&wanted, record + 1, sizeof wanted);
    fault_was_told = false;
    if (wanted.dir[0] != '\0') {
        open_file();
    } else {
        log_file_close(&file);
    }
}

static bool to_file(const char *line, size_t len)
{
    struct error err = {0};
    if (file.fd < 0 && wanted.dir[0] != '\0' &&
        clock_mono_ms(clock_real()) - tried_ms >= LOG_SINK_FAULT_MS) {
        open_file();
    }
    if (file.fd < 0) {
        return false;
    }
    int rc = log_file_write(&file, line, len, &err);
    if (err.code != 0) {
        tell(&err);
    }
    return rc == 0;
}

static bool to_stderr(char level, const char *line, size_t len)
{
    char whole[LOG_LINE_BYTES + 4];
    if (!to_journal) {
        return log_writer_stderr(line, len);
    }
    int all = snprintf(whole, sizeof whole, "<%c>%.*s", level, (int)len, line);
    return log_writer_stderr(whole, (size_t)all);
}

bool log_sink_write(void *arg, const char *line, size_t len)
{
    bool written = true;
    (void)arg;
    if (line[0] == SETTINGS) {
        take_settings(line);
    } else {
        written = to_file(line + 1, len - 1) || to_stderr(line[0], line + 1, len - 1);
    }
    (void)atomic_fetch_add(&done_count, 1);
    return written;
}
