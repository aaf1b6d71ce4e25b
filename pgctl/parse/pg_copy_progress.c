/* What pg_basebackup tells with --progress, once a second, on standard error: a line like
 *
 *   "  12345/67890 kB (18%), 0/1 tablespace"
 *
 * with LC_ALL=C, and behind it, with --verbose, a file's name in brackets or spaces. It never says
 * more than 100 %: where the server's estimate was too small, the total grows. */
#include "pgctl/pg_parse.h"

#include <string.h>

#define KIB 1024

/* What is left of a line. */
static bool take_text(struct span *rest, const char *text)
{
    size_t len = strlen(text);
    if (rest->len < len || memcmp(rest->data, text, len) != 0) {
        return false;
    }
    *rest = span_of(rest->data + len, rest->len - len);
    return true;
}

static bool take_number(struct span *rest, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t len = 0;
    for (; len < rest->len && rest->data[len] >= '0' && rest->data[len] <= '9'; len++) {
        uint64_t digit = (uint64_t)(rest->data[len] - '0');
        if (number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *rest = span_of(rest->data + len, rest->len - len);
    *ret_number = number;
    return len > 0;
}

bool pg_copy_progress_parse(struct span line, struct pg_copy_progress *ret_progress)
{
    const uint64_t kib_max = INT64_MAX / KIB;
    struct span rest = line;
    uint64_t done = 0;
    uint64_t total = 0;
    uint64_t percent = 0;
    uint64_t spaces = 0;

    while (take_text(&rest, " ")) {
    }
    bool is = take_number(&rest, kib_max, &done) && take_text(&rest, "/") &&
              take_number(&rest, kib_max, &total) && take_text(&rest, " kB (") &&
              take_number(&rest, 100, &percent) && take_text(&rest, "%), ") &&
              take_number(&rest, UINT32_MAX, &spaces) && take_text(&rest, "/") &&
              take_number(&rest, UINT32_MAX, &spaces) && take_text(&rest, " tablespace");
    (void)take_text(&rest, "s");
    if (!is || done > total || (rest.len > 0 && rest.data[0] != ' ')) {
        return false;
    }
    *ret_progress = (struct pg_copy_progress){
        .percent = (int)percent, .bytes = done * KIB, .total_bytes = total * KIB};
    return true;
}

bool pg_copy_is_waiting(struct span line)
{
    return take_text(&line, "waiting for checkpoint") && line.len == 0;
}
