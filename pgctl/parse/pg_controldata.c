/* What pg_controldata prints under LC_ALL=C: "label:   value", one a line. Labels are the same from
 * 13 to 17. A table says where each value goes; all of its rows must be found, so that a cut output
 * is not half believed. A damaged control file is printed like a good one, and the exit status is
 * 0: only a warning says that its values are worth nothing. */
#include "pgctl/pg_parse.h"

#include "base/assert.h"
#include "pgctl/parse/pg_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum field_kind {
    FIELD_U64,
    FIELD_U32,
    FIELD_INT,
    FIELD_LSN,
    FIELD_STATE,
    FIELD_ON,
    FIELD_NONZERO
};

struct field {
    const char *label;
    enum field_kind kind;
    size_t offset;
};

#define FIELD(label, kind, member)                       \
    {                                                    \
        label, kind, offsetof(struct pg_control, member) \
    }

static const struct field fields[] = {
    FIELD("Database system identifier", FIELD_U64, system_identifier),
    FIELD("Database cluster state", FIELD_STATE, state),
    FIELD("Latest checkpoint location", FIELD_LSN, checkpoint_lsn),
    FIELD("Latest checkpoint's REDO location", FIELD_LSN, redo_lsn),
    FIELD("Latest checkpoint's TimeLineID", FIELD_U32, timeline),
    FIELD("Latest checkpoint's PrevTimeLineID", FIELD_U32, prev_timeline),
    FIELD("Minimum recovery ending location", FIELD_LSN, min_recovery_lsn),
    FIELD("Min recovery ending loc's timeline", FIELD_U32, min_recovery_timeline),
    FIELD("wal_log_hints setting", FIELD_ON, wal_log_hints),
    FIELD("max_connections setting", FIELD_INT, max_connections),
    FIELD("max_worker_processes setting", FIELD_INT, max_worker_processes),
    FIELD("max_wal_senders setting", FIELD_INT, max_wal_senders),
    FIELD("max_prepared_xacts setting", FIELD_INT, max_prepared_transactions),
    FIELD("max_locks_per_xact setting", FIELD_INT, max_locks_per_transaction),
    FIELD("Bytes per WAL segment", FIELD_U32, wal_segment_bytes),
    FIELD("Data page checksum version", FIELD_NONZERO, data_checksums),
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])
_Static_assert(FIELD_COUNT <= 32, "the found fields are bits of a uint32_t");

static const char *const state_names[] = {
    [PG_CONTROL_UNKNOWN] = "unknown",
    [PG_CONTROL_STARTING_UP] = "starting up",
    [PG_CONTROL_SHUT_DOWN] = "shut down",
    [PG_CONTROL_SHUT_DOWN_IN_RECOVERY] = "shut down in recovery",
    [PG_CONTROL_SHUTTING_DOWN] = "shutting down",
    [PG_CONTROL_IN_CRASH_RECOVERY] = "in crash recovery",
    [PG_CONTROL_IN_ARCHIVE_RECOVERY] = "in archive recovery",
    [PG_CONTROL_IN_PRODUCTION] = "in production",
};

#define STATE_COUNT (sizeof state_names / sizeof state_names[0])
_Static_assert(STATE_COUNT == PG_CONTROL_IN_PRODUCTION + 1, "a name for every state");

const char *pg_control_state_name(enum pg_control_state state)
{
    return (size_t)state < STATE_COUNT ? state_names[state] : "unknown";
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    char *end;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > max) {
        return false;
    }
    *ret_number = number;
    return true;
}

static bool parse_state(const char *text, enum pg_control_state *ret_state)
{
    for (size_t i = PG_CONTROL_STARTING_UP; i < STATE_COUNT; i++) {
        if (strcmp(text, state_names[i]) == 0) {
            *ret_state = (enum pg_control_state)i;
            return true;
        }
    }
    return false;
}

static uint64_t field_max(enum field_kind kind)
{
    return kind == FIELD_U64 ? UINT64_MAX : kind == FIELD_INT ? INT32_MAX : UINT32_MAX;
}

static bool store_field(const struct field *field, const char *value, struct pg_control *control)
{
    void *target = (char *)control + field->offset;
    uint64_t number = 0;

    if (field->kind == FIELD_STATE) {
        return parse_state(value, target);
    }
    if (field->kind == FIELD_LSN) {
        return pg_lsn_parse(value, target);
    }
    if (field->kind == FIELD_ON) {
        *(bool *)target = strcmp(value, "on") == 0;
        return strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
    }
    if (!parse_number(value, field_max(field->kind), &number)) {
        return false;
    }
    switch (field->kind) {
    case FIELD_U64: memcpy(target, &number, sizeof number); break;
    case FIELD_U32: *(uint32_t *)target = (uint32_t)number; break;
    case FIELD_INT: *(int *)target = (int)number; break;
    case FIELD_NONZERO: *(bool *)target = number != 0; break;
    case FIELD_LSN:
    case FIELD_STATE:
    case FIELD_ON: ASSERT(false); break;
    }
    return true;
}

static const struct field *find_field(const char *label)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (strcmp(fields[i].label, label) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* "WARNING: Calculated CRC checksum ..." until 16, "pg_controldata: warning: ..." from 17 on. */
static bool is_warning(const char *line)
{
    return strncmp(line, "WARNING:", strlen("WARNING:")) == 0 || strstr(line, ": warning:") != NULL;
}

static int check_found(uint32_t found, struct error *err)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if ((found & 1U << i) == 0) {
            return error_set(err, ERR_CORRUPT, "pg_controldata printed no '%s'", fields[i].label);
        }
    }
    return 0;
}

int pg_controldata_parse(struct span text, struct pg_control *ret_control, struct error *err)
{
    struct pg_control control = {0};
    uint32_t found = 0;
    char line[PG_LINE_BYTES];

    while (pg_lines_next(&text, line)) {
        if (is_warning(line)) {
            return error_set(err, ERR_CORRUPT, "pg_controldata does not trust the file: '%.200s'",
                             line);
        }
        char *colon = strchr(line, ':');
        if (colon == NULL) {
            continue;
        }
        *colon = '\0';
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        const struct field *field = find_field(line);
        if (field == NULL) {
            continue;
        }
        if (!store_field(field, value, &control)) {
            return error_set(err, ERR_CORRUPT, "pg_controldata: '%s' is '%.80s'", line, value);
        }
        found |= 1U << (field - fields);
    }
    int rc = check_found(found, err);
    if (rc != 0) {
        return rc;
    }
    if (control.system_identifier == 0 || control.timeline == 0) {
        return error_set(err, ERR_CORRUPT, "pg_controldata: system identifier or timeline is 0");
    }
    *ret_control = control;
    return 0;
}
