/* PURE. Health checks: Patroni's table of paths (first match wins), and the status of each role.
 *
 * One difference on purpose: primary, leader and read-write are 200 only while the lease is within
 * its soft deadline and the instance is writable, so that at most one node answers 200 at any
 * instant (docs/consensus.md). */
#include "agent/api/api_health.h"

#include "base/mem.h"
#include "base/net/http_query.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 200, NO = 503, VALUE_BYTES = 128 };

bool api_is_leader(const struct api_status *status, int64_t lease_now_ms)
{
    return status->writable && lease_now_ms < status->lease_valid_until_ms;
}

static bool leads_standby(const struct api_status *status, int64_t lease_now_ms)
{
    return lease_now_ms < status->leads_standby_until_ms;
}

/* ".5" at `*at`, as a part of one; `*at` moves behind it. */
static double take_fraction(const char **at)
{
    double fraction = 0;
    double digit = 0.1;
    if (**at == '.') {
        for ((*at)++; isdigit((unsigned char)**at); (*at)++) {
            fraction += digit * (**at - '0');
            digit /= 10;
        }
    }
    return fraction;
}

bool api_parse_lag(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0}, {"b", 0}, {"kb", 10}, {"mb", 20}, {"gb", 30}, {"tb", 40}};
    char *whole_end = NULL;

    if (!isdigit((unsigned char)text[text[0] == '.'])) {
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &whole_end, 10);
    if (errno != 0) {
        return false;
    }
    const char *end = whole_end;
    double fraction = take_fraction(&end);
    while (*end == ' ') {
        end++;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(end, units[i].unit) == 0) {
            if (number > UINT64_MAX >> units[i].shift) {
                return false;
            }
            uint64_t whole = (uint64_t)number << units[i].shift;
            uint64_t part = (uint64_t)llround(fraction * (double)(1ULL << units[i].shift));
            *ret_bytes = whole > UINT64_MAX - part ? UINT64_MAX : whole + part;
            return true;
        }
    }
    return false;
}

static bool lags(const struct api_status *status, const char *query)
{
    char value[VALUE_BYTES];
    uint64_t lag = 0;
    return http_query_get(query, "lag", value, sizeof value) && api_parse_lag(value, &lag) &&
           status->leader_lsn > 0 && status->leader_lsn > status->replayed_lsn &&
           status->leader_lsn - status->replayed_lsn > lag;
}

static int replica_code(const struct api_status *status, const char *query)
{
    char value[VALUE_BYTES];
    if (status->noloadbalance || !status->replica || !status->running || lags(status, query)) {
        return NO;
    }
    if (http_query_get(query, "replication_state", value, sizeof value) &&
        strcmp(value, status->streaming          ? "streaming"
                      : status->archive_recovery ? "in archive recovery"
                                                 : "") != 0) {
        return NO;
    }
    return OK;
}

static bool tag_matches(const json_t *tag, const char *wanted)
{
    char text[VALUE_BYTES];
    if (json_is_string(tag)) {
        return strcmp(json_string_value(tag), wanted) == 0;
    }
    if (json_is_boolean(tag)) {
        return strcmp(json_is_true(tag) ? "true" : "false", wanted) == 0;
    }
    char *dumped = json_dumps(tag, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    (void)snprintf(text, sizeof text, "%s", dumped == NULL ? "" : dumped);
    mem_free(dumped);
    return strcmp(text, wanted) == 0;
}

/* `part` of `query` is "tag_name=value"; of a repeated key the first value counts. */
static bool tag_part_matches(const json_t *tags, const char *query, const char *part, size_t len)
{
    char key[VALUE_BYTES];
    char value[VALUE_BYTES];
    size_t name = strcspn(part, "=");

    if (name >= len || name + 1 == len) {
        return true; /* no value: the parameter is not there */
    }
    if (name >= sizeof key) {
        return false; /* longer than any tag that could match */
    }
    memcpy(key, part, name);
    key[name] = '\0';
    const json_t *tag = json_object_get(tags, key + 4);
    return tag != NULL && http_query_get(query, key, value, sizeof value) &&
           tag_matches(tag, value);
}

static bool tags_match(const struct api_status *status, const char *query)
{
    const char *part = query;
    while (*part != '\0') {
        size_t len = strcspn(part, "&");
        if (strncmp(part, "tag_", 4) == 0 && !tag_part_matches(status->tags, query, part, len)) {
            return false;
        }
        part += len + (part[len] == '&');
    }
    return true;
}

static bool has(const char *path, const char *word)
{
    return strstr(path, word) != NULL;
}

static bool view_is_fresh(const struct api_status *status, int64_t mono_now_ms)
{
    return status->initialized && mono_now_ms - status->cluster.read_mono_ms < status->ttl_ms;
}

/* Paths that say who is synchronous: for which standbys each of them is. */
static int synchronous_code(const struct api_status *status, const char *path, int readable,
                            int replica)
{
    const struct {
        const char *path;
        bool is;
        bool also_primary;
    } rows[] = {
        {"/sync", status->sync_standby, false},
        {"/synchronous", status->sync_standby, false},
        {"/quorum", status->quorum_standby, false},
        {"/async", !status->sync_standby && !status->quorum_standby, false},
        {"/asynchronous", !status->sync_standby && !status->quorum_standby, false},
        {"/read-only-quorum", status->quorum_standby, true},
        {"/read-only-sync", status->sync_standby, true},
        {"/read-only-synchronous", status->sync_standby, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(path, rows[i].path) == 0) {
            return rows[i].also_primary && readable == OK ? OK : rows[i].is ? replica : NO;
        }
    }
    return NO;
}

int api_health_code(const struct api_status *status, const char *path, const char *query,
                    struct api_now now)
{
    int primary = api_is_leader(status, now.lease_ms) ? OK : NO;
    int leader = primary == OK || leads_standby(status, now.lease_ms) ? OK : NO;
    int standby_leader = leader == OK && primary != OK && status->replica ? OK : NO;
    int readable = primary == OK || standby_leader == OK ? OK : NO;
    int replica = leader != OK || primary == OK ? replica_code(status, query) : NO;
    int code = NO;

    if (strcmp(path, "/") == 0) {
        path = "/primary";
    }
    if (has(path, "standby_leader") || has(path, "standby-leader")) {
        return standby_leader;
    }
    if (has(path, "leader")) {
        return leader;
    }
    if (has(path, "master") || has(path, "primary") || has(path, "read-write")) {
        return primary;
    }
    if (has(path, "replica")) {
        code = replica;
    } else if (has(path, "read-only") && !has(path, "sync") && !has(path, "quorum")) {
        code = readable == OK ? OK : replica;
    } else if (has(path, "health")) {
        code = status->running ? OK : NO;
    } else if (!view_is_fresh(status, now.mono_ms)) {
        code = NO; /* who is synchronous stands in the store alone */
    } else {
        code = synchronous_code(status, path, readable, replica);
    }
    return code == OK && !tags_match(status, query) ? NO : code;
}

int api_liveness_code(const struct api_status *status, int64_t mono_now_ms)
{
    int64_t threshold = status->was_primary ? status->ttl_ms : 2 * status->ttl_ms;
    int64_t next_ms = status->cycle_mono_ms + status->loop_wait_ms;
    return status->paused || next_ms + threshold > mono_now_ms ? OK : NO;
}

int api_readiness_code(const struct api_status *status, const char *query, int64_t lease_now_ms)
{
    char value[VALUE_BYTES];
    uint64_t lag = (uint64_t)status->maximum_lag_bytes;
    bool by_write =
        http_query_get(query, "mode", value, sizeof value) && strcmp(value, "write") == 0;
    uint64_t location = by_write ? status->received_lsn : status->replayed_lsn;

    if (api_is_leader(status, lease_now_ms) || leads_standby(status, lease_now_ms)) {
        return OK;
    }
    if (!status->running || !status->streaming || !status->initialized) {
        return NO;
    }
    if (http_query_get(query, "lag", value, sizeof value)) {
        (void)api_parse_lag(value, &lag);
    }
    return status->leader_lsn > location && status->leader_lsn - location > lag ? NO : OK;
}
