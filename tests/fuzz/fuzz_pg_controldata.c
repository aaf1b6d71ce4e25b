/* Texts of PostgreSQL that may be torn, foreign or forged. The first byte says which: c what
 * pg_controldata prints, p postmaster.pid, h a history file (of the timeline in the next byte), l
 * an LSN, a postgresql.auto.conf. Each is refused with a line, or what was read holds what its
 * header promises, and says the same when it is written and read again. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refused(int rc, const struct error *err)
{
    ASSERT(rc == err->code && rc < 0);
    ASSERT(err->text[0] != '\0');
}

static void controldata(struct span text)
{
    struct pg_control control;
    struct error err = {0};
    char reason[PG_VALUE_BYTES] = "";
    int rc = pg_controldata_parse(text, &control, &err);
    if (rc != 0) {
        check_refused(rc, &err);
        return;
    }
    ASSERT(control.system_identifier != 0 && control.timeline != 0);
    ASSERT(control.state != PG_CONTROL_UNKNOWN);
    ASSERT(strcmp(pg_control_state_name(control.state), "unknown") != 0);
    ASSERT(control.max_connections >= 0 && control.max_locks_per_transaction >= 0);
    struct pg_local_position position = pg_local_position_of(&control);
    (void)pg_divergence_decide(&position, control.prev_timeline, NULL, reason);
    ASSERT(reason[0] != '\0' && memchr(reason, 0, sizeof reason) != NULL);
}

static void pidfile(struct span text)
{
    struct pg_pidfile found;
    struct pg_pidfile again;
    struct error err = {0};
    struct buf torn = BUF_INIT;
    int rc = pg_pidfile_parse(text, &found, &err);
    if (rc != 0) {
        check_refused(rc, &err);
        return;
    }
    ASSERT(found.pid > 0 && found.start_s >= 0);
    ASSERT(found.data_dir[0] != '\0');
    ASSERT(memchr(found.data_dir, 0, sizeof found.data_dir) != NULL);
    ASSERT(memchr(found.socket_dir, 0, sizeof found.socket_dir) != NULL);
    ASSERT(memchr(found.status, 0, sizeof found.status) != NULL);
    /* A line that is being written behind it changes nothing. */
    buf_put_span(&torn, text);
    while (torn.len > 0 && torn.data[torn.len - 1] != '\n') {
        torn.len--;
    }
    buf_put_str(&torn, "543");
    ASSERT(pg_pidfile_parse(buf_span(&torn), &again, &err) == 0);
    ASSERT(again.pid == found.pid && again.port == found.port);
    ASSERT(strcmp(again.status, found.status) == 0);
    buf_free(&torn);
}

static void check_history(const struct pg_history *history)
{
    uint64_t before = 0;
    uint64_t lsn = 0;
    ASSERT(history->count <= PG_HISTORY_MAX);
    ASSERT(history->count > 0 || history->timeline == 1);
    for (size_t i = 0; i < history->count; i++) {
        const struct pg_history_entry *entry = &history->entries[i];
        ASSERT(entry->timeline > 0 && entry->timeline < history->timeline);
        ASSERT(i == 0 || history->entries[i - 1].timeline < entry->timeline);
        ASSERT(pg_history_switch_lsn(history, entry->timeline, &lsn));
        ASSERT(lsn <= entry->switch_lsn && lsn >= before);
        before = lsn;
    }
    ASSERT(!pg_history_switch_lsn(history, history->timeline, &lsn));
}

static void history(uint32_t timeline, struct span text)
{
    struct pg_history found;
    struct pg_history again;
    struct error err = {0};
    struct buf written = BUF_INIT;
    char lsn[PG_LSN_BYTES];
    int rc = pg_history_parse(timeline, text, &found, &err);
    if (rc != 0) {
        check_refused(rc, &err);
        return;
    }
    check_history(&found);
    for (size_t i = 0; i < found.count; i++) {
        buf_printf(&written, "%" PRIu32 "\t%s\tx\n", found.entries[i].timeline,
                   pg_lsn_format(found.entries[i].switch_lsn, lsn));
    }
    ASSERT(pg_history_parse(timeline, buf_span(&written), &again, &err) == 0);
    ASSERT(again.count == found.count);
    for (size_t i = 0; i < found.count; i++) {
        ASSERT(again.entries[i].timeline == found.entries[i].timeline);
        ASSERT(again.entries[i].switch_lsn == found.entries[i].switch_lsn);
    }
    pg_history_free(&found);
    pg_history_free(&again);
    buf_free(&written);
}

static void lsn(struct span text)
{
    char *copy = mem_memdup(text.data, text.len);
    char printed[PG_LSN_BYTES];
    uint64_t value = 0;
    uint64_t again = 0;
    if (pg_lsn_parse(copy, &value)) {
        ASSERT(strlen(copy) <= 17);
        ASSERT(pg_lsn_parse(pg_lsn_format(value, printed), &again));
        ASSERT(value == again);
    }
    mem_free(copy);
}

static void auto_conf(struct span text)
{
    struct buf once = BUF_INIT;
    struct buf twice = BUF_INIT;
    pg_conf_filter_auto(&once, text);
    ASSERT(once.len <= text.len);
    pg_conf_filter_auto(&twice, buf_span(&once));
    ASSERT(span_equal(buf_span(&once), buf_span(&twice)));
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    switch (data[0]) {
    case 'c': controldata(rest); break;
    case 'p': pidfile(rest); break;
    case 'h':
        if (rest.len > 0) {
            history(rest.data[0], span_of(rest.data + 1, rest.len - 1));
        }
        break;
    case 'l': lsn(rest); break;
    case 'a': auto_conf(rest); break;
    default: return -1; /* not kept in the corpus */
    }
    return 0;
}
