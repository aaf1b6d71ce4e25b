/* Which columns there are depends on the members: the last ones come up when somebody has a value,
 * the port when it tells something. A topology is the same table with the rows in tree order. */
#include "agent/cli/members_table.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSTGRES_PORT    5432
#define REASON_SHOWN_MAX 50
#define DEPTH_MAX        32
#define MEGABYTE         (1024.0 * 1024)

static const struct cli_column all_columns[] = {
    {"Cluster", "Cluster", false, true},
    {"Group", "Group", true, true},
    {"Member", "Member", false, false},
    {"Host", "Host", false, false},
    {"Role", "Role", false, false},
    {"State", "State", false, false},
    {"TL", "TL", true, false},
    {"Receive LSN", "Receive LSN", true, false},
    {"Receive Lag", "Lag", true, false},
    {"Replay LSN", "Replay LSN", true, false},
    {"Replay Lag", "Lag", true, false},
    {"Pending restart", "Pending restart", false, false},
    {"Pending restart reason", "Pending restart reason", false, false},
    {"Scheduled restart", "Scheduled restart", false, false},
    {"Tags", "Tags", false, false},
    {"Trouble", "Trouble", false, false},
};
#define COLUMN_COUNT (sizeof(all_columns) / sizeof(all_columns[0]))
#define GROUP_COLUMN 1 /* of a Citus cluster */
#define FIXED_COUNT  11

static const char *const optional_fields[] = {"pending_restart", "pending_restart_reason",
                                              "scheduled_restart", "tags", "trouble"};
#define OPTIONAL_COUNT (sizeof(optional_fields) / sizeof(optional_fields[0]))
#define PATRONI_COUNT  4 /* the others are ours: they are there when they tell something */
_Static_assert(FIXED_COUNT + OPTIONAL_COUNT == COLUMN_COUNT,
               "one field for each column that may be missing");

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static bool has_value(const json_t *value)
{
    return value != NULL && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_object(value) && json_object_size(value) == 0) &&
           !(json_is_string(value) && json_string_length(value) == 0);
}

static bool any_has(const json_t *members, const char *key)
{
    for (size_t i = 0; i < json_array_size(members); i++) {
        if (has_value(json_object_get(json_array_get(members, i), key))) {
            return true;
        }
    }
    return false;
}

/* True if the host alone does not tell members apart, or a port is not the usual one. */
static bool ports_matter(const json_t *members)
{
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const json_t *port = json_object_get(member, "port");
        if (port != NULL && json_integer_value(port) != POSTGRES_PORT) {
            return true;
        }
        for (size_t j = 0; j < i; j++) {
            if (text_of(member, "host")[0] != '\0' &&
                strcmp(text_of(member, "host"), text_of(json_array_get(members, j), "host")) == 0) {
                return true;
            }
        }
    }
    return false;
}

static json_t *host_cell(const json_t *member, bool with_port)
{
    const char *host = text_of(member, "host");
    const json_t *port = json_object_get(member, "port");
    if (!with_port || host[0] == '\0' || json_integer_value(port) == 0) {
        return json_string(host);
    }
    char *text = mem_printf("%s:%" JSON_INTEGER_FORMAT, host, json_integer_value(port));
    json_t *cell = json_string(text);
    mem_free(text);
    return cell;
}

/* "sync_standby" -> "Sync Standby" */
static json_t *role_cell(const char *role)
{
    char *text = mem_strdup(role);
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] == '_') {
            text[i] = ' ';
        } else if ((i == 0 || text[i - 1] == ' ') && text[i] >= 'a' && text[i] <= 'z') {
            text[i] = (char)(text[i] - 'a' + 'A');
        }
    }
    json_t *cell = json_string(text);
    mem_free(text);
    return cell;
}

static json_t *lag_cell(const json_t *lag)
{
    /* nearbyint: half to even, as Python rounds */
    return json_is_integer(lag)
               ? json_integer((json_int_t)nearbyint((double)json_integer_value(lag) / MEGABYTE))
               : json_string("");
}

/* Members of old versions tell one position only: it goes where their state says that it comes
 * from. */
static const char *position_source(const json_t *member, bool receive)
{
    bool known = strcmp(text_of(member, "receive_lsn"), "unknown") != 0 ||
                 strcmp(text_of(member, "replay_lsn"), "unknown") != 0;
    bool streaming = strcmp(text_of(member, "state"), "streaming") == 0;
    bool old = !known && strcmp(text_of(member, "lsn"), "unknown") != 0 && streaming == receive;
    return old ? "" : receive ? "receive_" : "replay_";
}

static void add_position(json_t *row, const json_t *member, bool receive)
{
    const char *source = position_source(member, receive);
    char key[32];
    (void)snprintf(key, sizeof(key), "%slsn", source);
    (void)json_array_append_new(row, json_string(text_of(member, key)));
    (void)snprintf(key, sizeof(key), "%slag", source);
    (void)json_array_append_new(row, lag_cell(json_object_get(member, key)));
}

static json_t *reason_cell(const json_t *reason, bool short_only)
{
    struct buf out = BUF_INIT;
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)(uintptr_t)reason, name, values)
    {
        char *line = mem_printf("%s: %s->%s", name, text_of(values, "old_value"),
                                text_of(values, "new_value"));
        bool hide = short_only && strlen(line) > REASON_SHOWN_MAX;
        buf_printf(&out, "%s", out.len > 0 ? "\n" : "");
        if (hide) {
            buf_printf(&out, "%s: [hidden - too long]", name);
        } else {
            buf_put_str(&out, line);
        }
        mem_free(line);
    }
    json_t *cell = json_string(buf_str(&out));
    buf_free(&out);
    return cell;
}

static json_t *schedule_cell(const json_t *restart)
{
    const char *version = json_string_value(json_object_get(restart, "postgres_version"));
    char *text =
        mem_printf("%s%s%s", text_of(restart, "schedule"), version != NULL ? " if version < " : "",
                   version != NULL ? version : "");
    json_t *cell = json_string(text);
    mem_free(text);
    return cell;
}

static json_t *optional_cell(const json_t *member, size_t optional, bool pretty)
{
    json_t *value = json_object_get(member, optional_fields[optional]);
    switch (optional) {
    case 0: return json_string(has_value(value) ? "*" : "");
    case 1: return reason_cell(value, pretty);
    case 2: return schedule_cell(value);
    case 3: return has_value(value) ? json_incref(value) : json_string("");
    case 4: return json_string(text_of(member, optional_fields[optional]));
    }
    return json_string("");
}

struct shape {
    const struct members_print *print;
    bool with_port;
    bool optional[OPTIONAL_COUNT];
};

static json_t *member_row(const struct shape *shape, const json_t *member, const char *label)
{
    json_t *row = json_array();
    json_t *timeline = json_object_get(member, "timeline");
    (void)json_array_append_new(row, json_string(shape->print->cluster));
    if (shape->print->citus) {
        (void)json_array_append_new(row, json_integer(shape->print->group));
    }
    (void)json_array_append_new(row, json_string(label));
    (void)json_array_append_new(row, host_cell(member, shape->with_port));
    (void)json_array_append_new(row, role_cell(text_of(member, "role")));
    (void)json_array_append_new(row, json_string(text_of(member, "state")));
    (void)json_array_append_new(row, json_is_integer(timeline) ? json_incref(timeline)
                                                               : json_string(""));
    add_position(row, member, true);
    add_position(row, member, false);
    for (size_t i = 0; i < OPTIONAL_COUNT; i++) {
        if (shape->optional[i]) {
            (void)json_array_append_new(
                row, optional_cell(member, i, shape->print->format == CLI_PRETTY));
        }
    }
    return row;
}

static bool leads(const json_t *member)
{
    const char *role = text_of(member, "role");
    size_t len = strlen(role);
    return len >= 6 && strcmp(role + len - 6, "leader") == 0;
}

/* Name of the member that this one streams from: `replicatefrom` if that is another replica, else
 * the leader; NULL = a root. */
static const char *parent_of(const json_t *members, const json_t *member)
{
    const char *from = text_of(json_object_get(member, "tags"), "replicatefrom");
    const char *leader = NULL;
    if (leads(member)) {
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *other = json_array_get(members, i);
        if (leads(other)) {
            leader = text_of(other, "name");
        } else if (other != member && from[0] != '\0' &&
                   strcmp(text_of(other, "name"), from) == 0) {
            return from;
        }
    }
    return leader;
}

/* Depth first; `replicatefrom` may go round in a circle, so depth has a bound and nobody is shown
 * twice. */
static void add_tree(const struct shape *shape, const json_t *members, const char *parent,
                     unsigned depth, bool *shown, json_t *rows)
{
    for (size_t i = 0; depth <= DEPTH_MAX && i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *own = parent_of(members, member);
        bool child = own == NULL ? parent == NULL : parent != NULL && strcmp(own, parent) == 0;
        if (!child || shown[i]) {
            continue;
        }
        shown[i] = true;
        char *label = mem_printf("%*s%s%s", depth > 0 ? (int)(depth - 1) * 2 : 0, "",
                                 depth > 0 ? "+ " : "", text_of(member, "name"));
        (void)json_array_append_new(rows, member_row(shape, member, label));
        mem_free(label);
        add_tree(shape, members, text_of(member, "name"), depth + 1, shown, rows);
    }
}

static json_t *member_rows(const struct shape *shape, const json_t *members)
{
    json_t *rows = json_array();
    size_t count = json_array_size(members);
    bool *shown = mem_new_array(bool, count + 1);
    if (shape->print->topology) {
        add_tree(shape, members, NULL, 0, shown, rows);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *member = json_array_get(members, i);
        if (!shown[i]) {
            (void)json_array_append_new(rows, member_row(shape, member, text_of(member, "name")));
        }
    }
    mem_free(shown);
    return rows;
}

static void print_service_lines(const json_t *doc, struct buf *out)
{
    const json_t *scheduled = json_object_get(doc, "scheduled_switchover");
    if (has_value(json_object_get(doc, "pause"))) {
        buf_put_str(out, " Maintenance mode: on\n");
    }
    if (scheduled != NULL) {
        buf_printf(out, " Switchover scheduled at: %s\n", text_of(scheduled, "at"));
        static const char *const sides[] = {"from", "to"};
        for (size_t i = 0; i < 2; i++) {
            if (json_object_get(scheduled, sides[i]) != NULL) {
                buf_printf(out, "%24s: %s\n", sides[i], text_of(scheduled, sides[i]));
            }
        }
    }
}

int members_table_print(const json_t *doc, const struct members_print *print, struct buf *out,
                        struct error *err)
{
    const json_t *members = json_object_get(doc, "members");
    struct shape shape = {.print = print, .with_port = ports_matter(members)};
    struct cli_column columns[COLUMN_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < FIXED_COUNT; i++) {
        if (i != GROUP_COLUMN || print->citus) {
            columns[count++] = all_columns[i];
        }
    }
    for (size_t i = 0; i < OPTIONAL_COUNT; i++) {
        shape.optional[i] =
            (print->extended && i < PATRONI_COUNT) || any_has(members, optional_fields[i]);
        if (shape.optional[i]) {
            columns[count++] = all_columns[FIXED_COUNT + i];
        }
    }
    const char *initialize = print->initialize == NULL      ? "uninitialized"
                             : print->initialize[0] == '\0' ? "initializing"
                                                            : print->initialize;
    char *title = !print->citus ? mem_printf(" Cluster: %s (%s) ", print->cluster, initialize)
                                : mem_printf(" Citus cluster: %s (group: %ld, %s) ", print->cluster,
                                             print->group, initialize);
    struct cli_table table = {.columns = columns,
                              .column_count = count,
                              .rows = member_rows(&shape, members),
                              .title = title,
                              .omit_empty = true,
                              .flow = print->topology};
    int rc = cli_table_print(&table, print->format, out, err);
    if (rc == 0 && print->format == CLI_PRETTY) {
        print_service_lines(doc, out);
    }
    json_decref(table.rows);
    mem_free(title);
    return rc;
}
