/* The file that the log goes to, and the ones before it. It may block as long as the disk does: for
 * the log's own thread, and for who may wait. */
#ifndef BASE_LOG_FILE_H
#define BASE_LOG_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_DIR_BYTES     512
#define LOG_FILE_NAME     "patroni.log" /* where those look who have collected it so far */
#define LOG_FILE_NUM_MAX  1000
#define LOG_FILE_SIZE     25000000
#define LOG_FILE_SIZE_MAX INT32_MAX

struct log_file_settings {
    char dir[LOG_DIR_BYTES]; /* absolute; "" = no file, standard error */
    int mode;                /* permissions; -1 = as umask has it */
    int num;                 /* files beside the present one; 0 = it grows for ever */
    int64_t size_bytes;      /* the next line would make it so long or longer: another one begins */
};

struct log_file {
    int fd; /* -1 = closed */
    struct log_file_settings settings;
    int64_t bytes;
    int64_t rotate_at_bytes; /* higher than settings.size_bytes after a rotation that failed */
};

/* Opens it, and makes it where it is not there. On failure `file` is closed; `err` names the key.
 */
int log_file_open(struct log_file *file, const struct log_file_settings *settings,
                  struct error *err) MUST_CHECK;
/* Appends a whole line, in another file where this one is full. 0: it is written; `err->code` may
 * tell even so of a rotation that failed, and is tried again later. */
int log_file_write(struct log_file *file, const char *line, size_t len, struct error *err);
void log_file_close(struct log_file *file);

#endif
