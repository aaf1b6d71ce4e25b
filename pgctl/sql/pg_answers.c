/* Questions and answers. Columns are numbered once, in the order of the query text beside them. */
#include "pgctl/sql/pg_answers.h"

#include "pgctl/pg_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row more than is taken: then it is seen that there are more. The mark beside a copy is read
 * by the server, which knows whether the slot is there still.
 *
 * Columns that not all versions have are taken out of the row as JSON. Of what is invalid 16 says
 * `conflicting` (logical ones), and 17 the reason, for all. */
#define SLOTS_SQL                                                                          \
    "SELECT slot_name, slot_type = 'physical', active"                                     \
    ", xmin IS NOT NULL OR (slot_type = 'physical' AND catalog_xmin IS NOT NULL)"          \
    ", restart_lsn, wal_status"                                                            \
    ", database, plugin, confirmed_flush_lsn, catalog_xmin, age(catalog_xmin)"             \
    ", coalesce(j->>'conflicting' = 'true' OR j->>'invalidation_reason' <> '', false)"     \
    ", coalesce((j->>'failover')::bool, false), coalesce((j->>'synced')::bool, false)"     \
    ", CASE WHEN slot_type = 'logical' THEN encode(pg_read_binary_file("                   \
    "'pg_replslot/' || slot_name || '/" PG_SLOT_MARK_NAME "', 0, 64, true), 'escape') END" \
    " FROM pg_replication_slots s CROSS JOIN LATERAL (SELECT to_jsonb(s) AS j) k"          \
    " WHERE NOT temporary ORDER BY slot_type DESC, slot_name LIMIT 65"

enum {
    S_NAME,
    S_PHYSICAL,
    S_ACTIVE,
    S_HAS_XMIN,
    S_RESTART,
    S_WAL_STATUS,
    S_DATABASE,
    S_PLUGIN,
    S_CONFIRMED,
    S_CATALOG_XMIN,
    S_AGE,
    S_INVALID,
    S_FAILOVER,
    S_SYNCED,
    S_MARK
};

const char pg_slots_sql[] =
    SLOTS_SQL ";SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
              " ELSE pg_current_wal_flush_lsn() END";

enum {
    P_IN_RECOVERY,
    P_VERSION,
    P_SYSTEM_ID,
    P_TIMELINE,
    P_CURRENT,
    P_RECEIVE,
    P_REPLAY,
    P_PAUSED,
    P_REPLAY_TIME,
    P_START_MS,
    P_START,
    P_CONTROL_TIMELINE,
    P_RECEIVER,
    P_RECEIVER_HOST,
    P_RECEIVER_PORT,
    P_RECEIVER_TIME,
    P_RECEIVED_TIMELINE,
    P_MIN_TIMELINE,
    P_WAITS,
    P_CHECKPOINTER_MS,
    P_LOGICAL,
    P_FEEDBACK,
    P_COUNT
};

/* One line for each column of the enumeration above. */
const char pg_probe_sql[] =
    "SELECT r.rec"
    ", current_setting('server_version_num')"
    ", s.system_identifier"
    ", CASE WHEN NOT r.rec THEN" PG_PRIMARY_TIMELINE " END"
    ", CASE WHEN NOT r.rec THEN pg_current_wal_flush_lsn() END"
    ", CASE WHEN r.rec THEN pg_last_wal_receive_lsn() END"
    ", CASE WHEN r.rec THEN pg_last_wal_replay_lsn() END"
    ", r.rec AND pg_is_wal_replay_paused()"
    ", CASE WHEN r.rec THEN (extract(epoch from pg_last_xact_replay_timestamp()) * 1000)::bigint "
    "END"
    ", (extract(epoch from pg_postmaster_start_time()) * 1000)::bigint"
    ", to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'"
    ", c.timeline_id"
    ", w.status"
    ", w.sender_host"
    ", w.sender_port"
    ", (extract(epoch from w.last_msg_receipt_time) * 1000)::bigint"
    ", w.received_tli"
    ", m.min_recovery_end_timeline"
    ", EXISTS (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event IN"
    " ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream', 'RecoveryWalAll'))"
    ", (SELECT (extract(epoch from backend_start) * 1000)::bigint FROM pg_stat_activity"
    " WHERE backend_type = 'checkpointer')"
    ", current_setting('wal_level') = 'logical'"
    ", current_setting('hot_standby_feedback')::bool"
    " FROM (SELECT pg_is_in_recovery() AS rec) r"
    " CROSS JOIN pg_control_system() s"
    " CROSS JOIN pg_control_checkpoint() c"
    " CROSS JOIN pg_control_recovery() m"
    " LEFT JOIN pg_stat_wal_receiver w ON true;"

    "SELECT application_name, host(client_addr), state, sync_state, sent_lsn, write_lsn, flush_lsn"
    ", replay_lsn, pid, usename, sync_priority FROM pg_stat_replication LIMIT 64;"

    SLOTS_SQL ";"

    /* What stands on the command line keeps its value over a reload, and PostgreSQL does not mark
     * it: it is compared with the configuration. Files are read only where something is marked. */
    "SELECT s.name, current_setting(s.name), s.pending_restart"
    ", CASE WHEN s.pending_restart THEN coalesce((SELECT f.setting FROM pg_file_settings f"
    " WHERE lower(f.name) = lower(s.name) ORDER BY f.seqno DESC LIMIT 1), s.boot_val) END"
    " FROM pg_settings s WHERE s.pending_restart OR s.source = 'command line'"
    " ORDER BY s.name LIMIT 64";

enum { N_NAME, N_VALUE, N_MARKED, N_NEW };

enum {
    E_IN_RECOVERY,
    E_VERSION,
    E_SYSTEM_ID,
    E_TIMELINE,
    E_CONTROL_TIMELINE,
    E_LSN,
    E_HISTORY,
    E_COUNT
};

const char pg_peer_sql[] =
    "SELECT r.rec"
    ", current_setting('server_version_num')"
    ", s.system_identifier"
    ", t.tli"
    ", c.timeline_id"
    ", CASE WHEN r.rec THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    " ELSE pg_current_wal_lsn() END"
    ", CASE WHEN NOT r.rec AND t.tli > 1 THEN convert_from(pg_read_binary_file('pg_wal/' ||"
    " upper(lpad(to_hex(t.tli), 8, '0')) || '.history', 0, 262144, true), 'SQL_ASCII') END"
    " FROM (SELECT pg_is_in_recovery() AS rec) r"
    " CROSS JOIN pg_control_system() s"
    " CROSS JOIN pg_control_checkpoint() c"
    " CROSS JOIN LATERAL (SELECT CASE WHEN r.rec THEN c.timeline_id::bigint "
    "ELSE" PG_PRIMARY_TIMELINE " END AS tli) t";

const char *pg_cell(const PGresult *result, int row, int column)
{
    if (row >= PQntuples(result) || column >= PQnfields(result)) {
        return "";
    }
    return PQgetvalue(result, row, column);
}

uint64_t pg_cell_u64(const PGresult *result, int row, int column)
{
    const char *text = pg_cell(result, row, column);
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : 0;
}

static int64_t cell_i64(const PGresult *result, int row, int column)
{
    return strtoll(pg_cell(result, row, column), NULL, 10);
}

bool pg_cell_bool(const PGresult *result, int row, int column)
{
    return pg_cell(result, row, column)[0] == 't';
}

uint64_t pg_cell_lsn(const PGresult *result, int row, int column)
{
    uint64_t lsn = 0;
    return pg_lsn_parse(pg_cell(result, row, column), &lsn) ? lsn : 0;
}

static void copy_cell(const PGresult *result, int row, int column, char *ret_text, size_t size)
{
    (void)snprintf(ret_text, size, "%s", pg_cell(result, row, column));
}

#define COPY_CELL(result, row, column, target) \
    copy_cell((result), (row), (column), (target), sizeof(target))

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* A standby's timeline. SQL tells only what a running walreceiver receives, which is exact, and
 * what the control file has: of the last restartpoint and of the last page flushed. Those can be of
 * before a switch that has been replayed since, and are a lower bound. After a restart without an
 * upstream there is nothing else, and that is just when positions are compared and the next
 * timeline's number is chosen: pg_identify_read. */
static void read_facts(const PGresult *facts, struct pg_probe_result *result)
{
    result->role = pg_cell_bool(facts, 0, P_IN_RECOVERY) ? PG_STANDBY : PG_PRIMARY;
    result->server_version = (int)pg_cell_u64(facts, 0, P_VERSION);
    result->system_identifier = (uint64_t)cell_i64(facts, 0, P_SYSTEM_ID);
    result->control_timeline = (uint32_t)pg_cell_u64(facts, 0, P_CONTROL_TIMELINE);
    result->receive_lsn = pg_cell_lsn(facts, 0, P_RECEIVE);
    result->replay_lsn = pg_cell_lsn(facts, 0, P_REPLAY);
    result->current_lsn = pg_cell_lsn(facts, 0, P_CURRENT);
    result->flush_lsn = result->role == PG_PRIMARY ? result->current_lsn : result->receive_lsn;
    if (result->role == PG_PRIMARY) {
        result->timeline = (uint32_t)pg_cell_u64(facts, 0, P_TIMELINE);
        result->timeline_exact = true;
    } else {
        result->timeline_exact = pg_cell_u64(facts, 0, P_RECEIVED_TIMELINE) != 0;
        result->timeline = larger(result->control_timeline,
                                  larger((uint32_t)pg_cell_u64(facts, 0, P_RECEIVED_TIMELINE),
                                         (uint32_t)pg_cell_u64(facts, 0, P_MIN_TIMELINE)));
    }
    result->replay_paused = pg_cell_bool(facts, 0, P_PAUSED);
    result->replay_time_ms = cell_i64(facts, 0, P_REPLAY_TIME);
    result->postmaster_start_ms = cell_i64(facts, 0, P_START_MS);
    COPY_CELL(facts, 0, P_START, result->postmaster_start);
    result->checkpointer_start_ms = cell_i64(facts, 0, P_CHECKPOINTER_MS);
    COPY_CELL(facts, 0, P_RECEIVER, result->receiver_status);
    result->receiver_alive = result->receiver_status[0] != '\0';
    COPY_CELL(facts, 0, P_RECEIVER_HOST, result->receiver_host);
    result->receiver_port = (uint16_t)pg_cell_u64(facts, 0, P_RECEIVER_PORT);
    result->receiver_last_ms = cell_i64(facts, 0, P_RECEIVER_TIME);
    result->replay_waits = pg_cell_bool(facts, 0, P_WAITS);
    result->local_wal_replayed = result->receiver_alive || result->replay_waits;
    result->logical_decoding = pg_cell_bool(facts, 0, P_LOGICAL);
    result->feedback = pg_cell_bool(facts, 0, P_FEEDBACK);
}

static void read_replicas(const PGresult *rows, struct pg_probe_result *result)
{
    for (int row = 0; row < PQntuples(rows) && result->replica_count < PG_REPLICAS_MAX; row++) {
        struct pg_replica *replica = &result->replicas[result->replica_count++];
        COPY_CELL(rows, row, 0, replica->application_name);
        COPY_CELL(rows, row, 1, replica->client_addr);
        COPY_CELL(rows, row, 2, replica->state);
        COPY_CELL(rows, row, 3, replica->sync_state);
        replica->sent_lsn = pg_cell_lsn(rows, row, 4);
        replica->write_lsn = pg_cell_lsn(rows, row, 5);
        replica->flush_lsn = pg_cell_lsn(rows, row, 6);
        replica->replay_lsn = pg_cell_lsn(rows, row, 7);
        replica->pid = (int32_t)pg_cell_u64(rows, row, 8);
        COPY_CELL(rows, row, 9, replica->user);
        replica->sync_priority = (int32_t)pg_cell_u64(rows, row, 10);
    }
}

static size_t read_slots(const PGresult *rows, struct pg_slot *ret_slots)
{
    size_t count = 0;
    for (int row = 0; row < PQntuples(rows) && count < PG_SLOTS_MAX; row++) {
        struct pg_slot *slot = &ret_slots[count++];
        COPY_CELL(rows, row, S_NAME, slot->name);
        slot->physical = pg_cell_bool(rows, row, S_PHYSICAL);
        slot->active = pg_cell_bool(rows, row, S_ACTIVE);
        slot->has_xmin = pg_cell_bool(rows, row, S_HAS_XMIN);
        slot->restart_lsn = pg_cell_lsn(rows, row, S_RESTART);
        COPY_CELL(rows, row, S_WAL_STATUS, slot->wal_status);
        COPY_CELL(rows, row, S_DATABASE, slot->database);
        COPY_CELL(rows, row, S_PLUGIN, slot->plugin);
        slot->confirmed_lsn = pg_cell_lsn(rows, row, S_CONFIRMED);
        slot->catalog_xmin = (uint32_t)pg_cell_u64(rows, row, S_CATALOG_XMIN);
        slot->catalog_xmin_age = pg_cell_u64(rows, row, S_AGE);
        slot->invalid = pg_cell_bool(rows, row, S_INVALID);
        slot->failover = pg_cell_bool(rows, row, S_FAILOVER);
        slot->synced = pg_cell_bool(rows, row, S_SYNCED);
        slot->marked = pg_cell(rows, row, S_MARK)[0] != '\0';
        slot->good_timeline = pg_slot_mark_parse(pg_cell(rows, row, S_MARK));
    }
    return count;
}

uint64_t pg_slots_read(const struct pg_answer *answer, struct pg_slot *ret_slots, size_t *ret_count)
{
    *ret_count = read_slots(answer->results[0], ret_slots);
    return pg_cell_lsn(answer->results[1], 0, 0);
}

static void read_pending(const PGresult *rows, const struct pg_conf *conf,
                         struct pg_probe_result *result)
{
    char value[PG_VALUE_BYTES];

    for (int row = 0; row < PQntuples(rows) && result->pending_count < PG_PENDING_MAX; row++) {
        const char *name = pg_cell(rows, row, N_NAME);
        bool marked = pg_cell_bool(rows, row, N_MARKED);
        if (!marked && !pg_conf_differs(conf, name, pg_cell(rows, row, N_VALUE), value)) {
            continue;
        }
        struct pg_waiting *pending = &result->pending[result->pending_count++];
        COPY_CELL(rows, row, N_NAME, pending->name);
        COPY_CELL(rows, row, N_VALUE, pending->old_value);
        (void)snprintf(pending->new_value, sizeof pending->new_value, "%.*s",
                       (int)sizeof pending->new_value - 1,
                       marked ? pg_cell(rows, row, N_NEW) : value);
    }
    result->pending_restart = result->pending_count > 0;
}

int pg_probe_read(const struct pg_answer *answer, const struct pg_conf *conf,
                  struct pg_probe_result *ret_result, struct error *err)
{
    int64_t asked_ms = ret_result->asked_ms;

    if (answer->count != 4 || PQntuples(answer->results[0]) != 1 ||
        PQnfields(answer->results[0]) != P_COUNT) {
        return error_set(err, ERR_CORRUPT,
                         "the server's answer has another shape than the question");
    }
    memset(ret_result, 0, sizeof *ret_result);
    ret_result->asked_ms = asked_ms;
    read_facts(answer->results[0], ret_result);
    read_replicas(answer->results[1], ret_result);
    ret_result->slot_count = read_slots(answer->results[2], ret_result->slots);
    ret_result->slots_cut = PQntuples(answer->results[2]) > PG_SLOTS_MAX;
    read_pending(answer->results[3], conf, ret_result);
    return 0;
}

const char pg_identify_sql[] = "IDENTIFY_SYSTEM";

enum { I_SYSTEM_ID, I_TIMELINE, I_POSITION, I_DATABASE, I_COUNT };

/* In recovery a walsender answers with the timeline of the last record replayed, from shared
 * memory, and with the end of that record; or of what was received beyond it, if that is of the
 * same timeline (GetStandbyFlushRecPtr, 13 to 17). So a position that is neither of ours means that
 * replay has moved on. And a position that is less than what was received: the rest is of a later
 * timeline and less than one record, which is no position that could be compared. */
void pg_identify_read(const struct pg_answer *answer, struct pg_probe_result *result)
{
    if (answer->count != 1 || PQntuples(answer->results[0]) != 1 ||
        PQnfields(answer->results[0]) != I_COUNT) {
        return;
    }
    uint64_t position = pg_cell_lsn(answer->results[0], 0, I_POSITION);
    uint32_t timeline = (uint32_t)pg_cell_u64(answer->results[0], 0, I_TIMELINE);
    bool still = position == result->replay_lsn ||
                 (position == result->receive_lsn && position > result->replay_lsn);
    if (!still || timeline == 0) {
        return;
    }
    result->timeline = larger(result->timeline, timeline);
    result->timeline_exact = true;
    if (result->receive_lsn > position) {
        result->flush_lsn = position;
    }
}

int pg_peer_read(const struct pg_answer *answer, struct pg_peer_facts *ret_facts, struct error *err)
{
    if (answer->count != 1 || PQntuples(answer->results[0]) != 1 ||
        PQnfields(answer->results[0]) != E_COUNT) {
        return error_set(err, ERR_CORRUPT,
                         "the server's answer has another shape than the question");
    }
    const PGresult *row = answer->results[0];
    struct pg_peer_facts facts = {
        .asked_ms = ret_facts->asked_ms,
        .role = pg_cell_bool(row, 0, E_IN_RECOVERY) ? PG_STANDBY : PG_PRIMARY,
        .server_version = (int)pg_cell_u64(row, 0, E_VERSION),
        .system_identifier = (uint64_t)cell_i64(row, 0, E_SYSTEM_ID),
        .timeline = (uint32_t)pg_cell_u64(row, 0, E_TIMELINE),
        .control_timeline = (uint32_t)pg_cell_u64(row, 0, E_CONTROL_TIMELINE),
        .lsn = pg_cell_lsn(row, 0, E_LSN),
    };
    if (facts.role == PG_PRIMARY) {
        int rc = pg_history_parse(facts.timeline, span_str(pg_cell(row, 0, E_HISTORY)),
                                  &facts.history, err);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_facts = facts;
    return 0;
}
