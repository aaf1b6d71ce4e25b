/* All that a configuration may say of the log. */
#ifndef BASE_LOG_SETTINGS_H
#define BASE_LOG_SETTINGS_H

#include "base/log_file.h"
#include "base/log_format.h"

#define LOG_QUEUE_MAX 1000 /* lines; the ring of 128 KiB may be full before */

struct log_settings {
    enum log_level level;
    struct log_format format;
    struct log_file_settings file;
    int queue_max; /* lines that wait for the disk; more are dropped, and counted */
};

/* Level INFO, Python's default format, standard error. */
void log_settings_init(struct log_settings *settings);

#endif
