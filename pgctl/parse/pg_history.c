/* Timeline history files: one line a parent, "<timeline> TAB <lsn> TAB <reason>", the oldest first;
 * '#' begins a comment. PostgreSQL wants rising numbers, each below the file's own; so do we, since
 * a wrong ancestor decides whether a data directory is rewound.
 *
 * Points need not rise. A recovery along timeline 2 that is ended before 2 began still makes 2 the
 * parent, with a point below that of 1: then 1, too, was left there. */
#include "pgctl/pg_parse.h"

#include "base/mem.h"
#include "pgctl/parse/pg_lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pg_history_name(uint32_t timeline, char *ret_name)
{
    (void)snprintf(ret_name, PG_HISTORY_NAME_BYTES, "%08" PRIX32 ".history", timeline);
    return ret_name;
}

static bool parse_entry(char *line, struct pg_history_entry *ret_entry)
{
    char *end;
    unsigned long timeline = strtoul(line, &end, 10);
    char *lsn = end + strspn(end, " \t");
    size_t lsn_len = strcspn(lsn, " \t");

    if (line[0] < '0' || line[0] > '9' || lsn == end || timeline == 0 || timeline > UINT32_MAX) {
        return false;
    }
    lsn[lsn_len] = '\0';
    ret_entry->timeline = (uint32_t)timeline;
    return pg_lsn_parse(lsn, &ret_entry->switch_lsn);
}

/* Order of the new entry behind those that are there. */
static bool entry_follows(const struct pg_history *history, const struct pg_history_entry *entry)
{
    const struct pg_history_entry *last =
        history->count == 0 ? NULL : &history->entries[history->count - 1];
    return entry->timeline < history->timeline &&
           (last == NULL || last->timeline < entry->timeline);
}

int pg_history_parse(uint32_t timeline, struct span text, struct pg_history *ret_history,
                     struct error *err)
{
    struct pg_history history = {.timeline = timeline};
    char line[PG_LINE_BYTES];

    if (timeline == 0) {
        return error_set(err, ERR_CORRUPT, "a history of timeline 0 cannot be");
    }
    if (text.len > PG_HISTORY_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "history of timeline %" PRIu32 ": %zu bytes, at most %d",
                         timeline, text.len, PG_HISTORY_BYTES_MAX);
    }
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL) { /* a torn write: lines are lost */
        return error_set(err, ERR_CORRUPT, "history of timeline %" PRIu32 ": has zero bytes",
                         timeline);
    }
    history.entries = mem_new_array(struct pg_history_entry, PG_HISTORY_MAX);
    while (pg_lines_next(&text, line)) {
        struct pg_history_entry entry;
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        char shown[PG_LINE_BYTES];
        memcpy(shown, line, sizeof shown);
        if (history.count == PG_HISTORY_MAX) {
            pg_history_free(&history);
            return error_set(err, ERR_LIMIT, "history of timeline %" PRIu32 ": more than %d lines",
                             timeline, PG_HISTORY_MAX);
        }
        if (!parse_entry(line, &entry) || !entry_follows(&history, &entry)) {
            pg_history_free(&history);
            return error_set(err, ERR_CORRUPT, "history of timeline %" PRIu32 ": line '%.80s'",
                             timeline, shown);
        }
        history.entries[history.count++] = entry;
    }
    if (history.count == 0 && timeline != 1) {
        pg_history_free(&history);
        return error_set(err, ERR_CORRUPT, "history of timeline %" PRIu32 ": no parent", timeline);
    }
    *ret_history = history;
    return 0;
}

void pg_history_free(struct pg_history *history)
{
    if (history != NULL) {
        mem_free(history->entries);
        *history = (struct pg_history){0};
    }
}

bool pg_history_switch_lsn(const struct pg_history *history, uint32_t timeline, uint64_t *ret_lsn)
{
    bool found = false;
    uint64_t lsn = UINT64_MAX;

    for (size_t i = 0; i < history->count; i++) {
        const struct pg_history_entry *entry = &history->entries[i];
        found = found || entry->timeline == timeline;
        if (found && entry->switch_lsn < lsn) {
            lsn = entry->switch_lsn;
        }
    }
    if (found) {
        *ret_lsn = lsn;
    }
    return found;
}
