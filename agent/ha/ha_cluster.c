/* The store's keys as one struct. Everything read here was written by somebody else (an operator, a
 * Patroni member, a newer release of ours): a value that is not as expected counts as absent, and
 * the rules cope with absent. */
#include "agent/ha/ha_cluster.h"

#include "agent/ha/ha_able.h"
#include "agent/ha/ha_partners.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Cuts: a name that does not fit is no name of ours (they are checked where they are configured).
 */
static void copy(char *to, size_t to_bytes, const char *from)
{
    (void)snprintf(to, to_bytes, "%s", from == NULL ? "" : from);
}

static void copy_string(char *to, size_t to_bytes, const json_t *object, const char *key)
{
    copy(to, to_bytes, json_string_value(json_object_get(object, key)));
}

static int64_t integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) > 0 ? json_integer_value(value) : 0;
}

static uint32_t timeline_of(int64_t number)
{
    return number > 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

static json_t *load(const char *text)
{
    return json_loads(text, JSON_DECODE_ANY, NULL);
}

/* Patroni takes the truth of whatever YAML value stands there: the text "false" is true. */
static bool truth(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_TRUE: return true;
    case JSON_STRING: return json_string_length(value) > 0;
    case JSON_INTEGER: return json_integer_value(value) != 0;
    case JSON_REAL: return json_real_value(value) != 0.0;
    case JSON_OBJECT: return json_object_size(value) > 0;
    case JSON_ARRAY: return json_array_size(value) > 0;
    case JSON_FALSE:
    case JSON_NULL: break;
    }
    return false;
}

static bool tag_is_true(const json_t *tags, const char *key)
{
    const json_t *value = json_object_get(tags, key);
    return value != NULL && truth(value);
}

/* Of this tag alone he reads text as a truth value. */
static bool is_on(const json_t *value)
{
    static const char *const words[] = {"on", "true", "yes", "1"};
    const char *text = json_string_value(value);
    bool on = value != NULL && text == NULL && truth(value);
    for (size_t i = 0; text != NULL && i < sizeof words / sizeof words[0]; i++) {
        on = on || strcasecmp(text, words[i]) == 0;
    }
    return on;
}

void ha_tags_read(const json_t *tags, struct ha_tags *ret_tags)
{
    memset(ret_tags, 0, sizeof *ret_tags);
    ret_tags->failover_priority = 1;
    const json_t *priority = json_object_get(tags, "failover_priority");
    if (json_is_integer(priority)) {
        json_int_t value = json_integer_value(priority);
        ret_tags->failover_priority = value > INT32_MAX ? INT32_MAX : value < 0 ? 0 : (int)value;
    }
    /* nofailover, where it is given, has the last word; else a priority of 0 says the same. */
    if (json_object_get(tags, "nofailover") != NULL) {
        ret_tags->nofailover = tag_is_true(tags, "nofailover");
    } else {
        ret_tags->nofailover = ret_tags->failover_priority <= 0;
    }
    priority = json_object_get(tags, "sync_priority");
    ret_tags->sync_priority = 1;
    if (json_is_integer(priority)) {
        json_int_t value = json_integer_value(priority);
        ret_tags->sync_priority = value > INT32_MAX ? INT32_MAX : value < 0 ? 0 : (int)value;
    }
    ret_tags->nosync = json_object_get(tags, "nosync") != NULL ? tag_is_true(tags, "nosync")
                                                               : ret_tags->sync_priority <= 0;
    ret_tags->clonefrom = tag_is_true(tags, "clonefrom");
    ret_tags->nostream = is_on(json_object_get(tags, "nostream"));
    copy_string(ret_tags->replicatefrom, sizeof ret_tags->replicatefrom, tags, "replicatefrom");
}

static enum pg_disk_kind disk_of(const char *name)
{
    for (int kind = PG_DISK_GOOD; name != NULL && kind <= PG_DISK_FAILED; kind++) {
        if (strcmp(ha_disk_name((enum pg_disk_kind)kind), name) == 0) {
            return (enum pg_disk_kind)kind;
        }
    }
    return PG_DISK_UNKNOWN;
}

/* Who does not say it (Patroni, a release before) says it by its role, once it has looked. A
 * stopped replica may be of an earlier agent whose directory is of no use: waited for, but not
 * without end. */
static enum ha_data data_of(const json_t *value, const struct ha_member *member)
{
    const char *told = json_string_value(json_object_get(value, "data"));
    for (int data = HA_DATA_NOT_TOLD; told != NULL && data <= HA_DATA_UNUSABLE; data++) {
        if (strcmp(told, ha_data_name((enum ha_data)data)) == 0) {
            return (enum ha_data)data;
        }
    }
    bool stopped_replica =
        strcmp(member->state, "stopped") == 0 && strcmp(member->role, "replica") == 0;
    if (told != NULL || member->role[0] == '\0' || strcmp(member->state, "unknown") == 0 ||
        stopped_replica) {
        return HA_DATA_NOT_TOLD;
    }
    return strcmp(member->role, "uninitialized") == 0 ? HA_DATA_NONE : HA_DATA_VALID;
}

static void read_member(const char *name, const struct ha_kv *kv, const json_t *value,
                        struct ha_member *member)
{
    memset(member, 0, sizeof *member);
    copy(member->name, sizeof member->name, name);
    member->mod_revision = kv->mod_revision;
    copy_string(member->conn_url, sizeof member->conn_url, value, "conn_url");
    copy_string(member->api_url, sizeof member->api_url, value, "api_url");
    copy_string(member->state, sizeof member->state, value, "state");
    copy_string(member->role, sizeof member->role, value, "role");
    if (strcmp(member->role, "master") == 0) {
        copy(member->role, sizeof member->role, "primary"); /* Patroni before 4.0 */
    }
    member->timeline = timeline_of(integer(value, "timeline"));
    member->lsn = (uint64_t)integer(value, "xlog_location");
    member->checkpoint_after_promote_due =
        json_is_false(json_object_get(value, "checkpoint_after_promote"));
    member->paused = json_is_true(json_object_get(value, "pause"));
    copy_string(member->instance, sizeof member->instance, value, "instance");
    member->reports = json_is_true(json_object_get(value, "reports"));
    member->data = data_of(value, member);
    copy_string(member->data_system_id, sizeof member->data_system_id, value, "data_system_id");
    member->data_of_primary = json_is_true(json_object_get(value, "data_of_primary"));
    member->data_timeline = timeline_of(integer(value, "data_timeline"));
    member->data_lsn = (uint64_t)integer(value, "data_lsn");
    member->hba_missing = json_is_true(json_object_get(value, "hba_missing"));
    member->disk = disk_of(json_string_value(json_object_get(value, "disk")));
    member->disk_answers = integer(value, "disk_answers");
    member->fence_silent = json_is_true(json_object_get(value, "fence_silent"));
    ha_tags_read(json_object_get(value, "tags"), &member->tags);
}

/* What is no object was written by nobody who runs PostgreSQL, and takes no place. */
static void add_member(const char *name, const struct ha_kv *kv, struct ha_cluster *cluster,
                       size_t *left_out)
{
    json_t *value = load(kv->value);
    if (!json_is_object(value)) {
        json_decref(value);
        return;
    }
    if (cluster->member_count == HA_MEMBERS_MAX || strlen(name) >= HA_NAME_BYTES) {
        (*left_out)++;
    } else {
        read_member(name, kv, value, &cluster->members[cluster->member_count++]);
    }
    json_decref(value);
}

static void read_report(const char *name, const struct ha_kv *kv, struct ha_report *report)
{
    memset(report, 0, sizeof *report);
    copy(report->name, sizeof report->name, name);
    report->revision = kv->mod_revision;
    report->withdrawn = strcmp(kv->value, "none") == 0;
    json_t *value = load(kv->value);
    report->timeline = timeline_of(integer(value, "timeline"));
    report->lsn = (uint64_t)integer(value, "lsn");
    report->yields = json_is_true(json_object_get(value, "yields"));
    report->unfit = json_is_true(json_object_get(value, "unfit"));
    report->primary_silent_ms = integer(value, "primary_seen_ms");
    report->raft_silent_ms = integer(value, "raft_seen_ms");
    copy_string(report->system_id, sizeof report->system_id, value, "system_id");
    const char *epoch = json_string_value(json_object_get(value, "epoch"));
    report->valid = epoch != NULL && ha_epoch_parse(epoch, &report->epoch) &&
                    (report->yields || (report->timeline > 0 && report->lsn > 0));
    json_decref(value);
}

static void read_failover(const struct ha_kv *kv, struct ha_failover *failover)
{
    failover->revision = kv->mod_revision;
    json_t *value = load(kv->value);
    if (json_is_object(value)) {
        copy_string(failover->leader, sizeof failover->leader, value, "leader");
        copy_string(failover->candidate, sizeof failover->candidate, value, "member");
        const char *at = json_string_value(json_object_get(value, "scheduled_at"));
        const char *over = json_string_value(json_object_get(value, "unfenced"));
        if (over != NULL) {
            (void)ha_epoch_parse(over, &failover->over_unfenced);
        }
        if (at != NULL && !ha_time_parse(at, &failover->scheduled_wall_ms)) {
            /* At an unreadable time must not become at once. */
            failover->leader[0] = '\0';
            failover->candidate[0] = '\0';
        }
    } else if (value == NULL && kv->value[0] != '{' && strchr(kv->value, ':') != NULL) {
        /* Old Patroni: leader:candidate */
        const char *colon = strchr(kv->value, ':');
        (void)snprintf(failover->leader, sizeof failover->leader, "%.*s", (int)(colon - kv->value),
                       kv->value);
        copy(failover->candidate, sizeof failover->candidate, colon + 1);
    }
    failover->present = failover->leader[0] != '\0' || failover->candidate[0] != '\0';
    json_decref(value);
}

/* Written in the step that makes its epoch, the value cannot name it: revision 0 is that of the
 * key.
 */
static void read_unfenced(const struct ha_kv *kv, struct ha_cluster *cluster)
{
    struct ha_epoch epoch;
    cluster->unfenced_revision = kv->mod_revision;
    if (ha_epoch_parse(kv->value, &epoch)) {
        epoch.revision = epoch.revision == 0 ? kv->mod_revision : epoch.revision;
        cluster->unfenced = epoch;
    }
}

/* {name: api_url}. Of a list that is too long the rest would not be asked: then it is none. */
static void read_failsafe(const struct ha_kv *kv, struct ha_cluster *cluster)
{
    json_t *object = load(kv->value);
    const char *name;
    json_t *url;

    cluster->failsafe_revision = kv->mod_revision;
    if (json_object_size(object) > HA_MEMBERS_MAX) {
        json_decref(object);
        return;
    }
    json_object_foreach(object, name, url)
    {
        struct ha_failsafe_member *member = &cluster->failsafe[cluster->failsafe_count++];
        copy(member->name, sizeof member->name, name);
        copy_string(member->api_url, sizeof member->api_url, object, name);
    }
    json_decref(object);
}

static void read_status(const struct ha_kv *kv, struct ha_cluster *cluster)
{
    json_t *value = load(kv->value);
    if (json_is_integer(value)) { /* legacy: the bare position */
        cluster->status_known = json_integer_value(value) > 0;
        cluster->status_optime = cluster->status_known ? (uint64_t)json_integer_value(value) : 0;
    } else {
        cluster->status_optime = (uint64_t)integer(value, "optime");
        cluster->status_known = cluster->status_optime > 0;
    }
    json_decref(value);
}

static void read_history(const struct ha_kv *kv, struct ha_cluster *cluster)
{
    cluster->history_revision = kv->mod_revision;
    json_t *value = load(kv->value);
    size_t count = json_array_size(value);
    if (json_is_array(value) && count == 0) {
        cluster->history_timeline = 1;
        cluster->history_complete = true;
    } else if (count > 0) {
        const json_t *last = json_array_get(value, count - 1);
        const json_t *number = json_array_get(last, 0);
        if (json_is_integer(number) && json_integer_value(number) > 0 &&
            json_integer_value(number) < UINT32_MAX) {
            cluster->history_timeline = (uint32_t)json_integer_value(number) + 1;
            cluster->history_complete = json_array_size(last) >= 5;
        }
    }
    json_decref(value);
}

static void read_epoch(const struct ha_kv *kv, struct ha_cluster *cluster)
{
    cluster->epoch_revision = kv->mod_revision;
    json_t *value = load(kv->value);
    copy_string(cluster->epoch_holder, sizeof cluster->epoch_holder, value, "holder");
    copy_string(cluster->epoch_instance, sizeof cluster->epoch_instance, value, "instance");
    cluster->epoch_timeline = timeline_of(integer(value, "timeline"));
    json_decref(value);
}

/* The part of `key` after `prefix` if it is one segment, else NULL. */
static const char *segment(const char *key, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncmp(key, prefix, len) != 0 || key[len] == '\0' || strchr(key + len, '/') != NULL) {
        return NULL;
    }
    return key + len;
}

static bool read_listed(const struct ha_kv *kv, struct ha_cluster *cluster, size_t *left_out)
{
    const char *name = segment(kv->key, "members/");
    if (name != NULL) {
        add_member(name, kv, cluster, left_out);
        return true;
    }
    name = segment(kv->key, "reports/");
    if (name != NULL) {
        if (cluster->report_count == HA_MEMBERS_MAX || strlen(name) >= HA_NAME_BYTES) {
            (*left_out)++;
        } else {
            read_report(name, kv, &cluster->reports[cluster->report_count++]);
        }
        return true;
    }
    return false;
}

static int64_t last_revision(const struct ha_cluster *cluster)
{
    return cluster->seen_revision > cluster->epoch_revision ? cluster->seen_revision
                                                            : cluster->epoch_revision;
}

static void see_epoch(struct ha_cluster *cluster, struct ha_epoch epoch, const char *holder)
{
    int64_t last = last_revision(cluster);
    if (epoch.cluster != cluster->cluster_id || epoch.revision > cluster->revision) {
        return; /* of another store, or of before this one was put back */
    }
    bool named = epoch.revision == cluster->seen_revision && cluster->seen_holder[0] == '\0';
    if (epoch.revision > last || (epoch.revision == last && named)) {
        cluster->seen_revision = epoch.revision;
        copy(cluster->seen_holder, sizeof cluster->seen_holder, holder);
    }
}

/* Who writes no `epoch` has one all the same: the create revision of its leader key. */
static void see_epochs(struct ha_cluster *cluster)
{
    if (cluster->leader[0] != '\0') {
        see_epoch(cluster, cluster->leader_epoch, cluster->leader);
    }
    for (size_t i = 0; i < cluster->report_count; i++) {
        if (cluster->reports[i].valid) {
            see_epoch(cluster, cluster->reports[i].epoch, "");
        }
    }
}

void ha_cluster_remember(const struct ha_cluster *before, struct ha_cluster *cluster)
{
    if (before->known && before->seen_revision > 0) {
        see_epoch(cluster, (struct ha_epoch){before->cluster_id, before->seen_revision},
                  before->seen_holder);
    }
}

size_t ha_cluster_read(uint64_t cluster_id, int64_t revision, const struct ha_kv *kvs,
                       size_t kv_count, struct ha_cluster *ret_cluster)
{
    struct ha_cluster *c = ret_cluster;
    size_t left_out = 0;
    memset(c, 0, sizeof *c);
    c->known = true;
    c->cluster_id = cluster_id;
    c->revision = revision;
    for (size_t i = 0; i < kv_count; i++) {
        const struct ha_kv *kv = &kvs[i];
        if (strcmp(kv->key, "leader") == 0) {
            copy(c->leader, sizeof c->leader, kv->value);
            c->leader_epoch = (struct ha_epoch){cluster_id, kv->create_revision};
        } else if (strcmp(kv->key, "epoch") == 0) {
            read_epoch(kv, c);
        } else if (strcmp(kv->key, "initialize") == 0) {
            c->initialize_revision = kv->mod_revision;
            copy(c->initialize, sizeof c->initialize, kv->value);
        } else if (strcmp(kv->key, "config") == 0) {
            c->config_revision = kv->mod_revision;
        } else if (strcmp(kv->key, "sync") == 0) {
            c->sync_revision = kv->mod_revision;
            ha_sync_key_read(kv->value, &c->sync);
        } else if (strcmp(kv->key, "recovered") == 0) {
            c->recovered_revision = kv->mod_revision;
        } else if (strcmp(kv->key, "failover") == 0) {
            read_failover(kv, &c->failover);
        } else if (strcmp(kv->key, "unfenced") == 0) {
            read_unfenced(kv, c);
        } else if (strcmp(kv->key, "failsafe") == 0) {
            read_failsafe(kv, c);
        } else if (strcmp(kv->key, "status") == 0) {
            read_status(kv, c);
        } else if (strcmp(kv->key, "history") == 0) {
            read_history(kv, c);
        } else {
            (void)read_listed(kv, c, &left_out);
        }
    }
    see_epochs(c);
    return left_out;
}

const struct ha_member *ha_cluster_member(const struct ha_cluster *cluster, const char *name)
{
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (strcmp(cluster->members[i].name, name) == 0) {
            return &cluster->members[i];
        }
    }
    return NULL;
}

const struct ha_member *ha_cluster_cascade(const struct ha_cluster *cluster, const char *name,
                                           const char *replicatefrom)
{
    const struct ha_member *first = ha_cluster_member(cluster, replicatefrom);
    const struct ha_member *next = first;

    for (size_t step = 0; next != NULL && step < HA_MEMBERS_MAX; step++) {
        if (strcmp(next->name, name) == 0) {
            return NULL;
        }
        if (strcmp(next->name, cluster->leader) == 0) {
            return first; /* whatever it names: it receives from nobody */
        }
        next = ha_cluster_member(cluster, next->tags.replicatefrom);
    }
    return next == NULL ? first : NULL;
}

const struct ha_failsafe_member *ha_cluster_failsafe(const struct ha_cluster *cluster,
                                                     const char *name)
{
    for (size_t i = 0; i < cluster->failsafe_count; i++) {
        if (strcmp(cluster->failsafe[i].name, name) == 0) {
            return &cluster->failsafe[i];
        }
    }
    return NULL;
}

const struct ha_report *ha_cluster_report(const struct ha_cluster *cluster, const char *name)
{
    for (size_t i = 0; i < cluster->report_count; i++) {
        if (strcmp(cluster->reports[i].name, name) == 0) {
            return &cluster->reports[i];
        }
    }
    return NULL;
}

struct ha_epoch ha_cluster_epoch(const struct ha_cluster *cluster)
{
    return (struct ha_epoch){cluster->cluster_id, last_revision(cluster)};
}

const char *ha_cluster_last_holder(const struct ha_cluster *cluster)
{
    return cluster->seen_revision > cluster->epoch_revision ? cluster->seen_holder
                                                            : cluster->epoch_holder;
}

bool ha_initialize_is_valid(const char *initialize)
{
    size_t digits = strspn(initialize, "0123456789");
    return digits >= 10 && initialize[digits] == '\0';
}

void ha_epoch_print(struct ha_epoch epoch, char ret_text[HA_EPOCH_BYTES])
{
    (void)snprintf(ret_text, HA_EPOCH_BYTES, "%" PRIx64 ":%" PRId64, epoch.cluster, epoch.revision);
}

bool ha_epoch_parse(const char *text, struct ha_epoch *ret_epoch)
{
    char *end = NULL;
    size_t hex = strspn(text, "0123456789abcdef");
    if (hex == 0 || hex > 16 || text[hex] != ':') {
        return false;
    }
    const char *digits = text + hex + 1;
    if (strspn(digits, "0123456789") != strlen(digits) || *digits == '\0') {
        return false;
    }
    errno = 0;
    uint64_t cluster = strtoull(text, &end, 16);
    long long revision = strtoll(digits, &end, 10);
    if (errno != 0) {
        return false;
    }
    *ret_epoch = (struct ha_epoch){cluster, revision};
    return true;
}

static int put_text(const char *text, size_t len, void *out)
{
    buf_put(out, text, len);
    return 0;
}

static void put_json_take(json_t *value, struct buf *out)
{
    (void)json_dump_callback(value, put_text, out, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(value);
}

void ha_epoch_value(const char *holder, const char *instance, uint32_t timeline, struct buf *out)
{
    json_t *value = json_pack("{s:s, s:I}", "holder", holder, "timeline", (json_int_t)timeline);
    if (instance != NULL && instance[0] != '\0') {
        (void)json_object_set_new(value, "instance", json_string(instance));
    }
    put_json_take(value, out);
}

static json_t *ms_or_null(int64_t ms)
{
    return ms > 0 ? json_integer(ms) : json_null();
}

void ha_report_value(const struct ha_report *report, struct buf *out)
{
    if (report->withdrawn) {
        buf_put_str(out, "none");
        return;
    }
    char epoch[HA_EPOCH_BYTES];
    ha_epoch_print(report->epoch, epoch);
    json_t *value = json_pack(
        "{s:s, s:I, s:I, s:s, s:o, s:o}", "epoch", epoch, "timeline", (json_int_t)report->timeline,
        "lsn", (json_int_t)report->lsn, "system_id", report->system_id, "primary_seen_ms",
        ms_or_null(report->primary_silent_ms), "raft_seen_ms", ms_or_null(report->raft_silent_ms));
    if (report->yields) {
        (void)json_object_set_new(value, "yields", json_true());
    }
    if (report->unfit) {
        (void)json_object_set_new(value, "unfit", json_true());
    }
    put_json_take(value, out);
}

/* Days from 1970-01-01 to a date of the Gregorian calendar (months shifted so that leap days come
 * last). */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    int64_t era_days = y * 365 + y / 4 - y / 100 + y / 400;
    return era_days + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static bool is_date(int year, int month, int day)
{
    int64_t next = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);
    return day >= 1 && days_of(year, month, day) < next;
}

/* Exactly `digits` digits, no more than `max`; *at moves behind them. */
static bool take_number(const char **at, int digits, int max, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        number = number * 10 + (**at - '0');
    }
    *ret_number = number;
    return number <= max;
}

static bool take_char(const char **at, char expected)
{
    if (**at != expected) {
        return false;
    }
    (*at)++;
    return true;
}

/* "+02:00", "+0200", "+02" or "Z", and nothing after it. */
static bool take_offset(const char *at, int *ret_minutes)
{
    int hours = 0;
    int minutes = 0;
    if (strcmp(at, "Z") == 0) {
        *ret_minutes = 0;
        return true;
    }
    bool west = *at == '-';
    if ((!take_char(&at, '+') && !take_char(&at, '-')) || !take_number(&at, 2, 23, &hours)) {
        return false;
    }
    if (*at != '\0') {
        (void)take_char(&at, ':');
        if (!take_number(&at, 2, 59, &minutes) || *at != '\0') {
            return false;
        }
    }
    *ret_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
    return true;
}

bool ha_time_parse(const char *text, int64_t *ret_wall_ms)
{
    int year = 0;
    int month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    int offset = 0;
    bool date = take_number(&text, 4, 9999, &year) && take_char(&text, '-') &&
                take_number(&text, 2, 12, &month) && take_char(&text, '-') &&
                take_number(&text, 2, 31, &day);
    if (!date || year < 1970 || month < 1 || !is_date(year, month, day) ||
        (!take_char(&text, 'T') && !take_char(&text, ' '))) {
        return false;
    }
    if (!take_number(&text, 2, 23, &hour) || !take_char(&text, ':') ||
        !take_number(&text, 2, 59, &minute)) {
        return false;
    }
    if (take_char(&text, ':') && !take_number(&text, 2, 60, &second)) {
        return false;
    }
    if (take_char(&text, '.')) {
        text += strspn(text, "0123456789");
    }
    if (!take_offset(text, &offset)) {
        return false; /* without an offset nobody knows when that is */
    }
    int64_t minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute - offset;
    *ret_wall_ms = (minutes * 60 + second) * 1000;
    return true;
}
