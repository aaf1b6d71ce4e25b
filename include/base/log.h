/* One line per fact, to standard error. Never blocks: a line that the sink does not take at once is
 * dropped and counted, and the count is told with the next line that gets through. Only loop, api,
 * cli, dcs, app and main log; libraries return errors. Standard error is made non-blocking only
 * where that cannot touch another process (a pipe or a socket of our own); a file or terminal is
 * written directly. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* "error", "warning", "info", "debug" and Python's names in any case; false if it is none of them.
 */
_Bool log_level_parse(const char *text, enum log_level *ret_level);
void log_level_set(enum log_level level);
void log_json_set(_Bool on);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
