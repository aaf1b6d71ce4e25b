/* One line per fact, to a file or standard error, text or JSON. Never blocks: a line for which
 * there is no room is dropped and counted, and the count is told with the next line that gets
 * through (dropped_lines=N). A line that comes again directly after itself is counted, and the
 * count is told before the next other line, or with its next copy after some seconds (repeats=N).
 * Of more than 100 lines a second (500 at once) the rest is held back and counted, errors and
 * warnings apart from the others. What a message contains cannot make a second line, steer a
 * terminal or break the JSON; one that is too long ends in three dots. Only loop, api, cli, dcs,
 * app and main log, from the main thread; libraries return errors. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The names of Python's levels in any case (critical is error, notset is debug); false if it is
 * none of them. */
_Bool log_level_parse(const char *text, enum log_level *ret_level);
/* All at once, from the next line on (base/log_settings.h): level, format, file. Copied. A file is
 * opened by the log's thread, anew at each call; what is wrong with it a line tells, and then the
 * one of before goes on, or standard error. */
struct log_settings;
void log_configure(const struct log_settings *settings);

/* From here on a thread writes (base/log_writer.h), until the process ends; exit() waits for it,
 * LOG_FLUSH_MS at most. 0, also if it runs already, or an errno: lines are then written as before,
 * by whoever logs. A child of fork() has no such thread, and writes itself. */
#define LOG_FLUSH_MS 1000
int log_start_writer(void);
/* After both: whether the thread has opened the file. Not longer than that: on a disk that stands
 * still it is opened when that goes on, and lines wait until then, as many as there is room for. */
enum log_file_state { LOG_FILE_OPEN, LOG_FILE_REFUSED, LOG_FILE_UNANSWERED };
#define LOG_FILE_WHY_BYTES 400
/* LOG_FILE_REFUSED: `ret_why` names key, file and reason. No file, or no thread: open. */
enum log_file_state log_file_wait(int timeout_ms, char ret_why[static LOG_FILE_WHY_BYTES]);

/* Before _exit() and abort(): waits until what was logged is written. False: not in that time. */
_Bool log_flush(int timeout_ms);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
