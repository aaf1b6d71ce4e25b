/* Where the log's thread puts lines: the file that was asked for, or standard error, which also
 * takes what the file does not. Private to base. */
#ifndef BASE_LOG_SINK_H
#define BASE_LOG_SINK_H

#include "base/log.h"
#include "base/log_file.h"

#include <stdbool.h>
#include <stddef.h>

#define LOG_SINK_FAULT_BYTES  LOG_FILE_WHY_BYTES
#define LOG_SINK_FAULT_MS     60000 /* a fault that stays is told so often, and tried to mend */

#define LOG_SINK_RECORD_BYTES (1 + sizeof(struct log_file_settings))

/* Of whoever logs: what to put into the ring between two lines. Those behind it go there; a file is
 * opened anew, also one of the same name. */
void log_sink_settings(const struct log_file_settings *settings,
                       char ret_record[static LOG_SINK_RECORD_BYTES]);
/* How many records have been taken care of, lines and settings. */
unsigned long log_sink_done(void);
/* What is wrong with the file, once; false: nothing is. */
bool log_sink_take_fault(char ret_text[static LOG_SINK_FAULT_BYTES]);

/* The thread's (log_writer_config). The first byte of a line is the level as a digit of syslog's:
 * the journal gets it, nobody else. */
bool log_sink_write(void *arg, const char *line, size_t len);
/* Before the thread starts: whether standard error is the journal's (JOURNAL_STREAM, by systemd).
 */
void log_sink_look_for_journal(void);

#endif
