/* Tables say which keys there are, their ranges and defaults; one reader walks them in two moods.
 * Lenient (what is stored): a value out of range is moved to the nearest one that holds, an
 * unreadable one becomes the default, and a line says so. Strict (what somebody wants to store):
 * the first broken rule ends it. The rule loop_wait + 2 * retry_timeout <= ttl comes last: with
 * less, one failed round of attempts would already cost the lease. */
#include "agent/config/dynamic.h"

#include "agent/config/config_effective.h"
#include "agent/config/dynamic_slots.h"
#include "agent/config/dynamic_standby.h"
#include "agent/config/known_keys.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS      ((int64_t)24 * 3600 * 1000)
#define DEPTH_MAX   64
#define VALUE_SHOWN 80

/* A value in words, cut. `ret_text` has VALUE_SHOWN bytes. */
static const char *shown(const json_t *value, char *ret_text)
{
    memset(ret_text, 0,
           VALUE_SHOWN); /* a piece that does not fit is left out, without a terminator */
    (void)json_dumpb(value, ret_text, VALUE_SHOWN - 1,
                     JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    return ret_text;
}

/* --- the table of keys ------------------------------------------------------------------------ */

enum kind { KIND_TIME, KIND_SIZE, KIND_COUNT, KIND_BOOL, KIND_SYNCHRONOUS };

struct field {
    const char *section; /* NULL = top level */
    const char *key;
    enum kind kind;
    int64_t minimum;
    int64_t maximum;
    int64_t fallback;
    size_t offset;
};

#define FIELD(section, key, kind, minimum, maximum, fallback, member)                           \
    {                                                                                           \
        section, key, kind, minimum, maximum, fallback, offsetof(struct dynamic_config, member) \
    }

/* An older name stands before the newer one, so that the newer one has the last word. */
static const struct field fields[] = {
    FIELD(NULL, "ttl", KIND_TIME, 0, DYNAMIC_TTL_MS_MAX, 30000, ttl_ms), /* minimum: field_of */
    FIELD(NULL, "loop_wait", KIND_TIME, DYNAMIC_LOOP_WAIT_MS_MIN, DAY_MS, 10000, loop_wait_ms),
    FIELD(NULL, "retry_timeout", KIND_TIME, DYNAMIC_RETRY_TIMEOUT_MS_MIN, DAY_MS, 10000,
          retry_timeout_ms),
    FIELD(NULL, "maximum_lag_on_failover", KIND_SIZE, 0, INT64_MAX, 1048576,
          maximum_lag_on_failover_bytes),
    FIELD(NULL, "master_start_timeout", KIND_TIME, 0, 30 * DAY_MS, 300000,
          primary_start_timeout_ms),
    FIELD(NULL, "primary_start_timeout", KIND_TIME, 0, 30 * DAY_MS, 300000,
          primary_start_timeout_ms),
    FIELD(NULL, "postmaster_hang_timeout", KIND_TIME, DYNAMIC_HANG_TIMEOUT_MS_MIN, DAY_MS, 0,
          hang_timeout_ms),
    FIELD(NULL, "crash_loop_window", KIND_TIME, 0, DAY_MS, 300000, crash_loop_window_ms),
    FIELD(NULL, "disk_stall_timeout", KIND_TIME, DYNAMIC_DISK_TIMEOUT_MS_MIN, DAY_MS, 0,
          disk_stall_timeout_ms),
    FIELD(NULL, "disk_failure_timeout", KIND_TIME, DYNAMIC_DISK_TIMEOUT_MS_MIN, DAY_MS, 0,
          disk_failure_timeout_ms),
    FIELD(NULL, "minimum_free_disk", KIND_SIZE, 0, INT64_MAX, 33554432, minimum_free_disk_bytes),
    FIELD(NULL, "member_slots_ttl", KIND_TIME, 0, 365 * DAY_MS, 1800000, member_slots_ttl_ms),
    FIELD(NULL, "max_timelines_history", KIND_COUNT, 0, INT32_MAX, 0, max_timelines_history),
    FIELD(NULL, "maximum_lag_on_syncnode", KIND_SIZE, -1, INT64_MAX, -1,
          maximum_lag_on_syncnode_bytes),
    FIELD(NULL, "synchronous_mode", KIND_SYNCHRONOUS, DYNAMIC_SYNCHRONOUS_OFF,
          DYNAMIC_SYNCHRONOUS_QUORUM, DYNAMIC_SYNCHRONOUS_OFF, synchronous_mode),
    FIELD(NULL, "synchronous_mode_strict", KIND_BOOL, 0, 1, 0, synchronous_mode_strict),
    FIELD(NULL, "synchronous_node_count", KIND_COUNT, 1, DYNAMIC_SYNCHRONOUS_NODES_MAX, 1,
          synchronous_node_count),
    FIELD(NULL, "early_failover", KIND_BOOL, 0, 1, 0, early_failover),
    FIELD(NULL, "check_timeline", KIND_BOOL, 0, 1, 0, check_timeline),
    FIELD(NULL, "pause", KIND_BOOL, 0, 1, 0, paused),
    FIELD(NULL, "failsafe_mode", KIND_BOOL, 0, 1, 0, failsafe_mode),
    FIELD("postgresql", "use_slots", KIND_BOOL, 0, 1, 1, use_slots),
    FIELD("postgresql", "use_pg_rewind", KIND_BOOL, 0, 1, 0, use_pg_rewind),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

/* The smallest ttl is the store's. */
static struct field field_of(size_t i, int64_t ttl_min_ms)
{
    struct field field = fields[i];
    if (field.offset == offsetof(struct dynamic_config, ttl_ms)) {
        field.minimum = ttl_min_ms;
    }
    return field;
}

static void field_set(struct dynamic_config *config, const struct field *field, int64_t value)
{
    char *at = (char *)config + field->offset;
    switch (field->kind) {
    case KIND_TIME:
    case KIND_SIZE: *(int64_t *)(void *)at = value; break;
    case KIND_COUNT: *(int *)(void *)at = (int)value; break;
    case KIND_BOOL: *(bool *)(void *)at = value != 0; break;
    case KIND_SYNCHRONOUS:
        *(enum dynamic_synchronous *)(void *)at = (enum dynamic_synchronous)value;
        break;
    }
}

static bool synchronous_read(const json_t *value, int64_t *ret_number)
{
    bool on = false;
    if (json_is_string(value) && strcasecmp(json_string_value(value), "quorum") == 0) {
        *ret_number = DYNAMIC_SYNCHRONOUS_QUORUM;
        return true;
    }
    *ret_number = DYNAMIC_SYNCHRONOUS_OFF;
    if (!dynamic_bool(value, &on)) {
        return false;
    }
    *ret_number = on ? DYNAMIC_SYNCHRONOUS_ON : DYNAMIC_SYNCHRONOUS_OFF;
    return true;
}

static bool field_read(const struct field *field, const json_t *value, int64_t *ret_number)
{
    bool on = false;
    switch (field->kind) {
    case KIND_TIME: return dynamic_time_ms(value, ret_number);
    case KIND_SIZE: return dynamic_size_bytes(value, ret_number);
    case KIND_COUNT: *ret_number = json_integer_value(value); return json_is_integer(value);
    case KIND_BOOL:
        if (!dynamic_bool(value, &on)) {
            return false;
        }
        *ret_number = on;
        return true;
    case KIND_SYNCHRONOUS: return synchronous_read(value, ret_number);
    }
    return false;
}

static void limit_text(const struct field *field, int64_t limit, char *ret_text, size_t bytes)
{
    if (field->kind == KIND_TIME) {
        (void)snprintf(ret_text, bytes, "%g", (double)limit / 1000);
    } else {
        (void)snprintf(ret_text, bytes, "%lld", (long long)limit);
    }
}

static void range_text(const struct field *field, char *ret_text, size_t bytes)
{
    char low[32];
    char high[32];
    limit_text(field, field->minimum, low, sizeof(low));
    limit_text(field, field->maximum, high, sizeof(high));
    switch (field->kind) {
    case KIND_TIME:
        (void)snprintf(ret_text, bytes, "a time from %s to %s seconds, such as %s or \"1min\"", low,
                       high, low);
        break;
    case KIND_SIZE:
        (void)snprintf(ret_text, bytes, "a number of bytes, %s or more, such as 1048576 or \"1MB\"",
                       low);
        break;
    case KIND_COUNT:
        (void)snprintf(ret_text, bytes, "a whole number from %s to %s", low, high);
        break;
    case KIND_BOOL: (void)snprintf(ret_text, bytes, "true or false"); break;
    case KIND_SYNCHRONOUS: (void)snprintf(ret_text, bytes, "on, off or quorum"); break;
    }
}

static void field_name(const struct field *field, char *ret_text, size_t bytes)
{
    (void)snprintf(ret_text, bytes, "%s%s%s", field->section != NULL ? field->section : "",
                   field->section != NULL ? "." : "", field->key);
}

static const json_t *field_value(const json_t *document, const struct field *field)
{
    const json_t *section =
        field->section != NULL ? json_object_get(document, field->section) : document;
    const json_t *value = json_object_get(section, field->key);
    return json_is_null(value) ? NULL : value;
}

/* --- keys that we do not serve ---------------------------------------------------------------- */

static bool switched_off(const json_t *value)
{
    bool on = false;
    return value == NULL || json_is_null(value) || (dynamic_bool(value, &on) && !on) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

/* NULL = everything is served. */
static const char *unserved_key(const json_t *document, const json_t *before)
{
    for (const struct known_key *row = known_keys; row->list != NULL; row++) {
        if (strcmp(row->list, "dynamic") != 0 || row->status != KNOWN_REFUSED) {
            continue;
        }
        const json_t *value = json_object_get(document, row->key);
        if (!switched_off(value) && !json_equal(value, json_object_get(before, row->key))) {
            return row->key;
        }
    }
    return NULL;
}

/* --- lenient ---------------------------------------------------------------------------------- */

static void warn(struct buf *warnings, const char *text)
{
    if (warnings->len > 0) {
        buf_put_str(warnings, "; ");
    }
    buf_put_str(warnings, text);
}

/* Two primaries are what it may bring about for a while, and only the reports of strict mode keep
 * what was acknowledged then. Which store it is the smallest ttl tells. NULL = it is right. */
static const char *early_failover_fault(const struct dynamic_config *config, int64_t ttl_min_ms)
{
    if (!config->early_failover) {
        return NULL;
    }
    if (ttl_min_ms != DYNAMIC_TTL_MS_MIN_RAFT) {
        return "early_failover: only with 'raft' as the store: leave it out";
    }
    return config->synchronous_mode != DYNAMIC_SYNCHRONOUS_OFF && config->synchronous_mode_strict
               ? NULL
               : "early_failover: only with synchronous_mode on or quorum and "
                 "synchronous_mode_strict: set both, or leave it out";
}

static void read_lenient(const struct field *field, const json_t *value,
                         struct dynamic_config *config, struct buf *warnings)
{
    char name[64];
    char text[VALUE_SHOWN];
    char used[32];
    char line[DYNAMIC_WARNING_BYTES];
    int64_t number = 0;
    bool readable = field_read(field, value, &number);
    int64_t right = !readable                 ? field->fallback
                    : number < field->minimum ? field->minimum
                    : number > field->maximum ? field->maximum
                                              : number;
    field_set(config, field, right);
    if (readable && right == number) {
        return;
    }
    field_name(field, name, sizeof(name));
    limit_text(field, right, used, sizeof(used));
    (void)snprintf(line, sizeof(line), "%s is %s, taken as %s%s", name, shown(value, text), used,
                   readable ? "" : " (the default)");
    warn(warnings, line);
}

/* Patroni's fix: keep ttl; give way with loop_wait first, with both when that is not enough. */
static void keep_timeouts_rule(struct dynamic_config *config, struct buf *warnings)
{
    char line[DYNAMIC_WARNING_BYTES];
    int64_t loop_wait = config->loop_wait_ms;
    int64_t retry = config->retry_timeout_ms;
    if (loop_wait + 2 * retry <= config->ttl_ms) {
        return;
    }
    if (DYNAMIC_LOOP_WAIT_MS_MIN + 2 * retry > config->ttl_ms) {
        config->loop_wait_ms = DYNAMIC_LOOP_WAIT_MS_MIN;
        config->retry_timeout_ms = (config->ttl_ms - DYNAMIC_LOOP_WAIT_MS_MIN) / 2000 * 1000;
    } else {
        config->loop_wait_ms = config->ttl_ms - 2 * retry;
    }
    (void)snprintf(line, sizeof(line),
                   "loop_wait %g + 2 * retry_timeout %g is more than ttl %g, taken as loop_wait "
                   "%g, retry_timeout %g",
                   (double)loop_wait / 1000, (double)retry / 1000, (double)config->ttl_ms / 1000,
                   (double)config->loop_wait_ms / 1000, (double)config->retry_timeout_ms / 1000);
    warn(warnings, line);
    ASSERT(config->loop_wait_ms + 2 * config->retry_timeout_ms <= config->ttl_ms);
}

/* Harmless, but whoever set it waits for it to work. */
static void warn_without_effect(const json_t *document, struct buf *warnings)
{
    char *idle = config_effective_idle(json_object_get(document, "postgresql"));
    struct buf names = BUF_INIT;
    if (idle != NULL) {
        warn(warnings, "no effect in the dynamic configuration (give it in each member's file): ");
        buf_put_str(warnings, idle);
    }
    mem_free(idle);
    for (const struct known_key *row = known_keys; row->list != NULL; row++) {
        if (strcmp(row->list, "dynamic") == 0 && row->status == KNOWN_NO_EFFECT &&
            !switched_off(json_object_get(document, row->key))) {
            buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", row->key);
        }
    }
    if (names.len > 0) {
        warn(warnings, "no effect in this release: ");
        buf_put_str(warnings, buf_str(&names));
    }
    buf_free(&names);
    char fault[DYNAMIC_SLOTS_FAULT_BYTES];
    if (dynamic_slots_fault(document, NULL, fault)) {
        char line[DYNAMIC_WARNING_BYTES];
        (void)snprintf(line, sizeof(line), "%s%s", fault,
                       dynamic_slots_unreadable(document) ? " (no slot is dropped until then)"
                                                          : "");
        warn(warnings, line);
    }
    if (dynamic_slots_unmet(document, NULL, fault)) {
        char line[DYNAMIC_WARNING_BYTES];
        (void)snprintf(line, sizeof(line), "%s (it is not made until then)", fault);
        warn(warnings, line);
    }
}

static int adjust(const json_t *document, int64_t ttl_min_ms, struct dynamic_config *ret_config,
                  char *warning, struct error *err)
{
    if (!json_is_object(document)) {
        return error_set(err, ERR_INVALID,
                         "the dynamic configuration is no object of keys and values");
    }
    const char *unserved = unserved_key(document, NULL);
    if (unserved != NULL) {
        return error_set(err, ERR_UNSUPPORTED,
                         "%s: not served by this release: take it out of the configuration",
                         unserved);
    }
    char fault[DYNAMIC_STANDBY_FAULT_BYTES];
    if (dynamic_standby_fault(document, fault)) {
        return error_set(err, ERR_UNSUPPORTED, "%s", fault);
    }
    struct buf warnings = BUF_INIT;
    dynamic_config_init(ret_config);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        struct field field = field_of(i, ttl_min_ms);
        const json_t *value = field_value(document, &field);
        if (value != NULL) {
            read_lenient(&field, value, ret_config, &warnings);
        }
    }
    keep_timeouts_rule(ret_config, &warnings);
    if (early_failover_fault(ret_config, ttl_min_ms) != NULL) {
        warn(&warnings, early_failover_fault(ret_config, ttl_min_ms));
        ret_config->early_failover = false;
    }
    if (dynamic_standby_is_given(document)) { /* commits are the other cluster's */
        ret_config->standby_cluster = true;
        ret_config->synchronous_mode = DYNAMIC_SYNCHRONOUS_OFF;
        ret_config->early_failover = false;
    }
    warn_without_effect(document, &warnings);
    dynamic_warning_give(buf_str(&warnings), warning);
    buf_free(&warnings);
    return 0;
}

static int64_t by_ttl(int64_t given_ms, int64_t wanted_ms, int64_t low_ms, int64_t high_ms)
{
    return given_ms > 0          ? given_ms
           : wanted_ms < low_ms  ? low_ms
           : wanted_ms > high_ms ? high_ms
                                 : wanted_ms;
}

int64_t dynamic_hang_timeout_ms(const struct dynamic_config *config)
{
    return by_ttl(config->hang_timeout_ms, 10 * config->ttl_ms, 30000, 300000);
}

int64_t dynamic_disk_stall_timeout_ms(const struct dynamic_config *config)
{
    return by_ttl(config->disk_stall_timeout_ms, config->ttl_ms / 3, 2000, 10000);
}

int64_t dynamic_disk_failure_timeout_ms(const struct dynamic_config *config)
{
    int64_t stall_ms = dynamic_disk_stall_timeout_ms(config);
    int64_t failure_ms = by_ttl(config->disk_failure_timeout_ms, 2 * config->ttl_ms, 6000, 20000);
    return failure_ms > stall_ms ? failure_ms : stall_ms;
}

void dynamic_config_init(struct dynamic_config *config)
{
    *config = (struct dynamic_config){.document = json_object()};
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        field_set(config, &fields[i], fields[i].fallback);
    }
}

void dynamic_config_free(struct dynamic_config *config)
{
    if (config != NULL) {
        json_decref(config->document);
        *config = (struct dynamic_config){0};
    }
}

int dynamic_config_parse(const json_t *document, int64_t ttl_min_ms,
                         struct dynamic_config *ret_config, char *warning, struct error *err)
{
    struct dynamic_config config = {0};
    int rc = adjust(document, ttl_min_ms, &config, warning, err);
    if (rc == 0) {
        json_decref(config.document);
        config.document = json_deep_copy(document);
        *ret_config = config;
    }
    return rc;
}

static void set_seconds(json_t *document, const char *key, int64_t ms)
{
    int64_t now_ms = -1;
    const json_t *value = json_object_get(document, key);
    if (value == NULL || !dynamic_time_ms(value, &now_ms) || now_ms != ms) {
        (void)json_object_set_new(
            document, key, ms % 1000 == 0 ? json_integer(ms / 1000) : json_real((double)ms / 1000));
    }
}

int dynamic_config_adjusted(const json_t *document, int64_t ttl_min_ms, json_t **ret_document,
                            char *warning, struct error *err)
{
    struct dynamic_config config = {0};
    int rc = adjust(document, ttl_min_ms, &config, warning, err);
    if (rc != 0) {
        return rc;
    }
    *ret_document = json_deep_copy(document);
    set_seconds(*ret_document, "ttl", config.ttl_ms);
    set_seconds(*ret_document, "loop_wait", config.loop_wait_ms);
    set_seconds(*ret_document, "retry_timeout", config.retry_timeout_ms);
    dynamic_config_free(&config);
    return 0;
}

/* --- strict ----------------------------------------------------------------------------------- */

static int validate_field(const struct field *field, const json_t *value, struct error *err)
{
    int64_t number = 0;
    char name[64];
    char text[VALUE_SHOWN];
    char range[128];
    if (value == NULL || (field_read(field, value, &number) && number >= field->minimum &&
                          number <= field->maximum)) {
        return 0;
    }
    field_name(field, name, sizeof(name));
    range_text(field, range, sizeof(range));
    return error_set(err, ERR_INVALID, "%s: %s is not right: give %s", name, shown(value, text),
                     range);
}

static void read_fields(const json_t *document, struct dynamic_config *ret_config)
{
    dynamic_config_init(ret_config);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        int64_t number = 0;
        const json_t *value = field_value(document, &fields[i]);
        if (value != NULL && field_read(&fields[i], value, &number)) {
            field_set(ret_config, &fields[i], number);
        }
    }
}

/* What is wrong already stops no other change. */
static int validate_early_failover(const json_t *document, int64_t ttl_min_ms, const json_t *before,
                                   struct error *err)
{
    struct dynamic_config config;
    read_fields(document, &config);
    const char *fault = early_failover_fault(&config, ttl_min_ms);
    dynamic_config_free(&config);
    if (fault == NULL) {
        return 0;
    }
    read_fields(before, &config);
    const char *fault_before = early_failover_fault(&config, ttl_min_ms);
    dynamic_config_free(&config);
    return fault_before != NULL ? 0 : error_set(err, ERR_INVALID, "%s", fault);
}

static int validate_timeouts(const json_t *document, struct error *err)
{
    struct dynamic_config config;
    read_fields(document, &config);
    /* What is stored already has passed no range: the sum may be beyond an integer. */
    double ttl = (double)config.ttl_ms / 1000;
    double loop_wait = (double)config.loop_wait_ms / 1000;
    double retry = (double)config.retry_timeout_ms / 1000;
    double needed = ((double)config.loop_wait_ms + 2.0 * (double)config.retry_timeout_ms) / 1000;
    dynamic_config_free(&config);
    if (needed <= ttl) {
        return 0;
    }
    return error_set(err, ERR_INVALID,
                     "ttl: %g is too small: loop_wait %g + 2 * retry_timeout %g must not be more "
                     "than ttl: give ttl %g "
                     "or more, or lower the others",
                     ttl, loop_wait, retry, needed);
}

static int validate_parameters(const json_t *parameters, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)parameters, name, value)
    {
        if (json_is_object(value) || json_is_array(value)) {
            return error_set(err, ERR_INVALID,
                             "postgresql.parameters.%.100s: a list or mapping is no value of a "
                             "parameter: give a text, "
                             "a number, true or false",
                             name);
        }
    }
    if (json_object_size(parameters) > PG_PARAMETERS_MAX) {
        return error_set(err, ERR_LIMIT, "postgresql.parameters: %zu of them: at most %d are taken",
                         json_object_size(parameters), PG_PARAMETERS_MAX);
    }
    return 0;
}

static int validate_postgresql(const json_t *section, const json_t *before, struct error *err)
{
    if (section == NULL || json_is_null(section)) {
        return 0;
    }
    if (!json_is_object(section)) {
        return error_set(err, ERR_INVALID,
                         "postgresql: not right: give a mapping, such as {\"parameters\": {...}}");
    }
    const json_t *parameters = json_object_get(section, "parameters");
    if (parameters != NULL && !json_is_null(parameters) && !json_is_object(parameters)) {
        return error_set(
            err, ERR_INVALID,
            "postgresql.parameters: not right: give a mapping, such as {\"work_mem\": \"8MB\"}");
    }
    int rc = validate_parameters(parameters, err);
    return rc != 0 ? rc : config_effective_check(section, before, err);
}

static int validate_slots(const json_t *document, const json_t *before, struct error *err)
{
    char fault[DYNAMIC_SLOTS_FAULT_BYTES];
    bool wrong = dynamic_slots_fault(document, before, fault) ||
                 dynamic_slots_unmet(document, before, fault);
    return wrong ? error_set(err, ERR_INVALID, "%s", fault) : 0;
}

/* One that is stored already stops no other change. */
static int validate_standby(const json_t *document, const json_t *before, struct error *err)
{
    char fault[DYNAMIC_STANDBY_FAULT_BYTES];
    bool stored = json_equal(json_object_get(document, "standby_cluster"),
                             json_object_get(before, "standby_cluster")) != 0;
    return !stored && dynamic_standby_mistake(document, fault)
               ? error_set(err, ERR_INVALID, "%s", fault)
               : 0;
}

/* Whoever asks for it gets it as YAML, which is bounded. */
static bool is_too_deep(const json_t *node, unsigned depth)
{
    bool deep = depth > DEPTH_MAX;
    if (!deep && json_is_object(node)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)node, key, value)
        {
            deep = deep || is_too_deep(value, depth + 1);
        }
    }
    for (size_t i = 0; !deep && json_is_array(node) && i < json_array_size(node); i++) {
        deep = is_too_deep(json_array_get(node, i), depth + 1);
    }
    return deep;
}

static int validate_names(const char *section, const char *list, const json_t *object,
                          const json_t *before, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const char *near = known_keys_near(list, key);
        if (near != NULL && json_object_get(before, key) == NULL) {
            return error_set(err, ERR_INVALID, "%s%.100s: no key of that name: did you mean '%s'?",
                             section, key, near);
        }
    }
    return 0;
}

int dynamic_config_check_types(const json_t *document, int64_t ttl_min_ms, struct error *err)
{
    if (!json_is_object(document)) {
        return error_set(err, ERR_INVALID, "has to be a mapping of keys and values");
    }
    int rc = validate_postgresql(json_object_get(document, "postgresql"), NULL, err);
    rc = rc != 0 ? rc : validate_slots(document, NULL, err);
    rc = rc != 0 ? rc : validate_standby(document, NULL, err);
    for (size_t i = 0; rc == 0 && i < FIELD_COUNT; i++) {
        int64_t unused = 0;
        struct field field = field_of(i, ttl_min_ms);
        const json_t *value = field_value(document, &field);
        if (value != NULL && !field_read(&field, value, &unused)) {
            rc = validate_field(&field, value, err);
        }
    }
    return rc;
}

int dynamic_config_validate(const json_t *document, int64_t ttl_min_ms, const json_t *before,
                            struct error *err)
{
    if (!json_is_object(document)) {
        return error_set(err, ERR_INVALID,
                         "the dynamic configuration has to be an object of keys and values");
    }
    if (is_too_deep(document, 1)) {
        return error_set(err, ERR_LIMIT, "nested more than %d levels deep", DEPTH_MAX);
    }
    const char *unserved = unserved_key(document, before);
    if (unserved != NULL) {
        return error_set(err, ERR_UNSUPPORTED, "%s: not served by this release: leave it out",
                         unserved);
    }
    const json_t *postgresql = json_object_get(document, "postgresql");
    const json_t *postgresql_before = json_object_get(before, "postgresql");
    int rc = validate_names("", "dynamic", document, before, err);
    rc = rc != 0 ? rc
                 : validate_names("postgresql.", "postgresql", postgresql, postgresql_before, err);
    rc = rc != 0 ? rc
                 : validate_names("standby_cluster.", "standby_cluster",
                                  json_object_get(document, "standby_cluster"),
                                  json_object_get(before, "standby_cluster"), err);
    rc = rc != 0 ? rc : validate_standby(document, before, err);
    rc = rc != 0 ? rc : validate_slots(document, before, err);
    rc = rc != 0 ? rc : validate_postgresql(postgresql, postgresql_before, err);
    rc = rc != 0 ? rc
                 : dynamic_parameters_check(json_object_get(postgresql, "parameters"),
                                            json_object_get(postgresql_before, "parameters"), err);
    for (size_t i = 0; rc == 0 && i < FIELD_COUNT; i++) {
        struct field field = field_of(i, ttl_min_ms);
        const json_t *value = field_value(document, &field);
        const json_t *old = before != NULL ? field_value(before, &field) : NULL;
        rc = old != NULL && json_equal(value, old) ? 0 : validate_field(&field, value, err);
    }
    rc = rc != 0 ? rc : validate_early_failover(document, ttl_min_ms, before, err);
    return rc != 0 ? rc : validate_timeouts(document, err);
}

/* --- merge patch ------------------------------------------------------------------------------ */

/* Text of a scalar, as "100" and 100 are the same to Patroni. NULL for a list or mapping. Free with
 * mem_free. */
static char *scalar_text(const json_t *value)
{
    if (json_is_string(value)) {
        return mem_strdup(json_string_value(value));
    }
    if (json_is_object(value) || json_is_array(value)) {
        return NULL;
    }
    char text[VALUE_SHOWN];
    return mem_strdup(shown(value, text));
}

static bool same_value(const json_t *a, const json_t *b)
{
    if (json_equal(a, b)) {
        return true;
    }
    char *left = scalar_text(a);
    char *right = scalar_text(b);
    bool same = left != NULL && right != NULL && strcmp(left, right) == 0;
    mem_free(left);
    mem_free(right);
    return same;
}

static int merge_into(json_t *target, const json_t *patch, unsigned depth, bool *changed,
                      struct error *err)
{
    if (depth > DEPTH_MAX) {
        return error_set(err, ERR_LIMIT, "nested more than %d levels deep", DEPTH_MAX);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        json_t *old = json_object_get(target, key);
        if (json_is_null(value)) {
            *changed = *changed || old != NULL;
            (void)json_object_del(target, key);
            continue;
        }
        if (!json_is_object(value)) {
            if (old == NULL || !same_value(old, value)) {
                (void)json_object_set_new(target, key, json_deep_copy(value));
                *changed = true;
            }
            continue;
        }
        if (!json_is_object(old)) {
            old = json_object();
            (void)json_object_set_new(target, key, old);
            *changed = true;
        }
        int rc = merge_into(old, value, depth + 1, changed, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int dynamic_config_merge(const json_t *document, const json_t *patch, json_t **ret_document,
                         bool *ret_changed, struct error *err)
{
    if (!json_is_object(patch)) {
        return error_set(err, ERR_INVALID, "a change has to be an object of keys and values");
    }
    json_t *merged = json_is_object(document) ? json_deep_copy(document) : json_object();
    bool changed = false;
    int rc = merge_into(merged, patch, 1, &changed, err);
    if (rc != 0) {
        json_decref(merged);
        return rc;
    }
    *ret_document = merged;
    if (ret_changed != NULL) {
        *ret_changed = changed;
    }
    return 0;
}
