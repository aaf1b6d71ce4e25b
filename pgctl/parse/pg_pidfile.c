/* postmaster.pid: pid, data directory, start time, port, socket directory, listen address, shared
 * memory, status. The postmaster writes it in several goes, so that lines from the port on may be
 * missing; without the first three it is no pid file. A line without its end is not written yet:
 * half a port is another port. */
#include "pgctl/pg_parse.h"

#include "pgctl/parse/pg_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_PID,
    LINE_DATA_DIR,
    LINE_START,
    LINE_PORT,
    LINE_SOCKET_DIR,
    LINE_LISTEN,
    LINE_SHMEM,
    LINE_STATUS,
    LINE_COUNT
};

static bool parse_signed(const char *text, long long min, long long max, long long *ret_number)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < min || number > max) {
        return false;
    }
    *ret_number = number;
    return true;
}

/* The value of one line; false if it cannot be that. */
static bool store_line(int number, const char *line, struct pg_pidfile *pidfile)
{
    long long value = 0;
    bool ok = true;

    switch (number) {
    case LINE_PID:
        ok = parse_signed(line, -INT32_MAX, INT32_MAX, &value) && value != 0;
        pidfile->single_user = value < 0;
        pidfile->pid = (int32_t)(value < 0 ? -value : value);
        break;
    case LINE_DATA_DIR:
        (void)snprintf(pidfile->data_dir, sizeof pidfile->data_dir, "%s", line);
        ok = line[0] != '\0';
        break;
    case LINE_START:
        ok = parse_signed(line, 0, INT64_MAX, &value);
        pidfile->start_s = value;
        break;
    case LINE_PORT:
        ok = parse_signed(line, 0, UINT16_MAX, &value);
        pidfile->port = (uint16_t)value;
        break;
    case LINE_SOCKET_DIR:
        (void)snprintf(pidfile->socket_dir, sizeof pidfile->socket_dir, "%s", line);
        break;
    case LINE_STATUS: (void)snprintf(pidfile->status, sizeof pidfile->status, "%.15s", line); break;
    default: break; /* listen address and shared memory do not matter to us */
    }
    return ok;
}

int pg_pidfile_parse(struct span text, struct pg_pidfile *ret_pidfile, struct error *err)
{
    struct pg_pidfile pidfile = {0};
    char line[PG_LINE_BYTES];
    int number = 0;

    while (text.len > 0 && text.data[text.len - 1] != '\n') {
        text.len--;
    }
    for (; number < LINE_COUNT && pg_lines_next(&text, line); number++) {
        if (!store_line(number, line, &pidfile)) {
            return error_set(err, ERR_CORRUPT, "postmaster.pid: line %d is '%.80s'", number + 1,
                             line);
        }
    }
    if (number <= LINE_START) {
        return error_set(err, ERR_CORRUPT, "postmaster.pid has %d lines, at least 3 are needed",
                         number);
    }
    *ret_pidfile = pidfile;
    return 0;
}

bool pg_pidfile_is_ready(const struct pg_pidfile *pidfile)
{
    return strncmp(pidfile->status, "ready", 5) == 0 || strncmp(pidfile->status, "standby", 7) == 0;
}
