/* The files that PostgreSQL reads, as text.
 *
 * postgresql.conf is ours; what initdb (or the user before us) wrote lives on as
 * postgresql.base.conf, included first, so that anything we say wins. The upstream is not in it:
 * primary_conninfo names an entry of a service file, which can be replaced under a running server
 * without a reload, and proves that nothing is received any more (docs/consensus.md). */
#include "pgctl/conf/pg_conf.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/conf/pg_controlled.h"
#include "pgctl/parse/pg_lines.h"
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PRELOAD      "shared_preload_libraries"
#define SETTINGS_MAX (PG_PARAMETERS_MAX + 32)

struct setting {
    const char *name;
    const char *value;
    size_t order; /* the later of two equal names wins */
};

struct settings {
    struct setting items[SETTINGS_MAX];
    size_t count;
};

static void add(struct settings *settings, const char *name, const char *value)
{
    ASSERT(settings->count < SETTINGS_MAX);
    settings->items[settings->count] = (struct setting){name, value, settings->count};
    settings->count++;
}

static int compare_settings(const void *a, const void *b)
{
    const struct setting *left = a;
    const struct setting *right = b;
    int order = strcasecmp(left->name, right->name);
    return order != 0 ? order : left->order < right->order ? -1 : 1;
}

static void put_setting(struct buf *out, const char *name, const char *value)
{
    buf_put_str(out, name);
    buf_put_str(out, " = ");
    pg_quote_conf(out, value);
    buf_put_str(out, "\n");
}

static bool is_free(const char *name)
{
    return pg_controlled_find(name) == NULL && !pg_controlled_is_ours(name);
}

static void put_sorted(struct buf *out, struct settings *settings)
{
    qsort(settings->items, settings->count, sizeof settings->items[0], compare_settings);
    for (size_t i = 0; i < settings->count; i++) {
        if (i + 1 < settings->count &&
            strcasecmp(settings->items[i].name, settings->items[i + 1].name) == 0) {
            continue;
        }
        put_setting(out, settings->items[i].name, settings->items[i].value);
    }
}

/* The server's own worker does it from 17 on, where a slot is used and something is received. Below
 * wal_level logical a server of 17 ends itself when it is told to (before its fix "Avoid unexpected
 * shutdown when sync_replication_slots is enabled"), a running one by a reload. 17.9 and 17.12 have
 * the fix: they log, at each look at their workers, that it cannot be done. */
static bool copies_slots(const struct pg_conf *conf)
{
    return conf->keeps_logical && conf->decodes && conf->major >= PG_LOGICAL_NATIVE_MAJOR &&
           conf->slot_name != NULL && !conf->nostream && conf->database != NULL;
}

static void put_recovery(struct buf *out, const struct pg_conf *conf)
{
    struct buf conninfo = BUF_INIT;

    buf_put_str(out, "\n# recovery\n");
    buf_put_str(&conninfo, "service=" PG_SERVICE_NAME " application_name=");
    pg_quote_conninfo(&conninfo, conf->member);
    if (copies_slots(conf)) { /* no entry of the service file counts for that */
        buf_put_str(&conninfo, " dbname=");
        pg_quote_conninfo(&conninfo, conf->database);
    }
    /* Without streaming nobody is to try in vain ten times a second. */
    put_setting(out, "primary_conninfo", conf->nostream ? "" : buf_str(&conninfo));
    buf_free(&conninfo);
    put_setting(out, "primary_slot_name",
                conf->slot_name == NULL || conf->nostream ? "" : conf->slot_name);
    put_setting(out, "recovery_target_timeline", "latest");
    static const char *const blanked[] = {"recovery_target", "recovery_target_lsn",
                                          "recovery_target_name", "recovery_target_time",
                                          "recovery_target_xid"};
    for (size_t i = 0; i < sizeof blanked / sizeof blanked[0]; i++) {
        put_setting(out, blanked[i], "");
    }
    if (conf->major >= 13 && conf->major < 16) { /* a server that does not know it does not start */
        put_setting(out, "promote_trigger_file", "");
    }
    for (size_t i = 0; i < conf->recovery_conf.count; i++) {
        const struct pg_parameter *item = &conf->recovery_conf.items[i];
        if (is_free(item->name) && strcasecmp(item->name, "standby_mode") != 0) {
            put_setting(out, item->name, item->value);
        }
    }
}

static void put_include(struct buf *out, const char *dir, const char *name)
{
    struct buf path = BUF_INIT;
    if (dir != NULL && name[0] != '/') {
        buf_printf(&path, "%s/", dir);
    }
    buf_put_str(&path, name);
    buf_put_str(out, "include ");
    pg_quote_conf(out, buf_str(&path));
    buf_put_str(out, "\n");
    buf_free(&path);
}

/* What is included first may name other places, as Debian's does. In the data directory the file
 * names none: a copy of it, started elsewhere, would lead to this one. */
static void put_places(struct buf *out, const struct pg_conf *conf)
{
    if (conf->config_dir == NULL) {
        return;
    }
    char *hba = mem_printf("%s/pg_hba.conf", conf->config_dir);
    char *ident = mem_printf("%s/pg_ident.conf", conf->config_dir);
    buf_put_str(out, "\n# places\n");
    put_setting(out, "data_directory", conf->data_dir);
    put_setting(out, "hba_file", hba);
    put_setting(out, "ident_file", ident);
    mem_free(hba);
    mem_free(ident);
}

/* Who confirms commits is said beside the data, and goes with it. */
static void put_sync(struct buf *out, const struct pg_conf *conf)
{
    buf_put_str(out, "\n# who confirms commits\n");
    put_include(out, conf->data_dir != NULL ? conf->data_dir : conf->include_dir,
                PG_CONF_SYNC_FILE);
}

/* What the server loads at its start, with the guard; free with mem_free. */
static char *preload(const struct pg_conf *conf)
{
    const char *given = "";
    for (size_t i = 0; i < conf->parameters.count; i++) {
        if (strcasecmp(conf->parameters.items[i].name, PRELOAD) == 0) {
            given = conf->parameters.items[i].value;
        }
    }
    if (strstr(given, PG_GUARD_MODULE) != NULL) {
        return mem_strdup(given);
    }
    return mem_printf("%s%s" PG_GUARD_MODULE, given, given[0] != '\0' ? ", " : "");
}

void pg_conf_put(struct buf *out, const struct pg_conf *conf)
{
    struct settings *settings = mem_new(struct settings);
    char(*values)[PG_VALUE_BYTES] = mem_alloc_array(pg_controlled_count, PG_VALUE_BYTES);
    const char *base_name = conf->base_name != NULL ? conf->base_name : "postgresql";
    char *base = mem_printf("%s.base.conf", base_name);
    char port[8];

    buf_printf(out, PG_CONF_OURS "do not edit. Change postgresql.parameters instead, or %s.\n",
               base);
    put_include(out, conf->include_dir, conf->custom_conf != NULL ? conf->custom_conf : base);
    buf_put_str(out, "\n");
    /* A standby reattaches within this time; the default of 5 s would be most of a failover. */
    add(settings, "wal_retrieve_retry_interval", "100ms");
    for (size_t i = 0; i < conf->parameters.count; i++) {
        if (is_free(conf->parameters.items[i].name)) {
            add(settings, conf->parameters.items[i].name, conf->parameters.items[i].value);
        }
    }
    for (size_t i = 0; i < pg_controlled_count; i++) {
        add(settings, pg_controlled[i].name,
            pg_conf_controlled(conf, pg_controlled[i].name, values[i]));
    }
    char *libraries = preload(conf);
    if (conf->guard) {
        add(settings, PRELOAD, libraries);
    }
    if (conf->keeps_logical) { /* rows of catalogs that a slot needs are the primary's to keep */
        add(settings, "hot_standby_feedback", "on");
    }
    if (copies_slots(conf)) {
        add(settings, "sync_replication_slots", "on");
    }
    (void)snprintf(port, sizeof port, "%" PRIu16, conf->port);
    add(settings, "cluster_name", conf->scope);
    add(settings, "listen_addresses", conf->listen);
    add(settings, "port", port);
    put_sorted(out, settings);
    put_recovery(out, conf);
    put_places(out, conf);
    put_sync(out, conf);
    mem_free(libraries);
    mem_free(base);
    mem_free(values);
    mem_free(settings);
}

void pg_conf_put_more(struct buf *out, const struct pg_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++) {
        put_setting(out, parameters->items[i].name, parameters->items[i].value);
    }
}

size_t pg_conf_arguments(const struct pg_conf *conf, char **ret_args, size_t count_max)
{
    size_t count = 0;
    char value[PG_VALUE_BYTES];

    for (size_t i = 0; i < pg_controlled_count && count < count_max; i++) {
        if (pg_controlled[i].on_command_line) {
            (void)pg_conf_controlled(conf, pg_controlled[i].name, value);
            ret_args[count++] = mem_printf("--%s=%s", pg_controlled[i].name, value);
        }
    }
    if (count + 3 <= count_max) {
        ret_args[count++] = mem_printf("--listen_addresses=%s", conf->listen);
        ret_args[count++] = mem_printf("--port=%" PRIu16, conf->port);
        ret_args[count++] = mem_printf("--cluster_name=%s", conf->scope);
    }
    return count;
}

void pg_conf_filter_auto(struct buf *out, struct span text)
{
    char line[PG_LINE_BYTES];
    char name[PG_LINE_BYTES];

    while (text.len > 0) {
        struct span whole = text;
        (void)pg_lines_next(&text, line);
        whole.len -= text.len;
        size_t len = pg_controlled_word_len(line); /* what follows need not be a space: port'1' */
        bool goes_on = line[len] == '.' || (unsigned char)line[len] >= 0x80;
        memcpy(name, line, len);
        name[len] = '\0';
        if (goes_on || !pg_controlled_is_ours(name)) {
            buf_put_span(out, whole);
        }
    }
}

void pg_conf_service(struct buf *out, const struct pg_service *service)
{
    buf_put_str(out,
                "# Written by pgquorum: whom this node receives from.\n[" PG_SERVICE_NAME "]\n");
    if (service->host == NULL) {
        /* A socket directory that cannot be one: the connection fails at once, whatever listens
         * where. */
        buf_put_str(out, "host=/dev/null\nport=1\n");
        return;
    }
    buf_printf(out, "host=%s\nport=%" PRIu16 "\n", service->host, service->port);
    if (service->user != NULL && service->user[0] != '\0') {
        buf_printf(out, "user=%s\n", service->user);
    }
    if (service->passfile != NULL) {
        buf_printf(out, "passfile=%s\n", service->passfile);
    }
    for (size_t i = 0; service->security != NULL && i < PG_SECURITY_COUNT; i++) {
        if (service->security->values[i] != NULL) {
            buf_printf(out, "%s=%s\n", pg_security_rows[i].name, service->security->values[i]);
        }
    }
    if (service->primary_only) {
        buf_put_str(out, "target_session_attrs=read-write\n");
    }
    if (service->receiver) {
        buf_put_str(out, "connect_timeout=3\nkeepalives_idle=5\nkeepalives_interval=2\n"
                         "keepalives_count=3\ntcp_user_timeout=10000\n"
                         /* The sender's end, too (settable for a session since 12): it holds our
                          * slot, and would wait for TCP to send again after a broken link. */
                         "options=-c wal_sender_timeout=10s\n");
    }
}

/* '*' alone would mean any. */
static void put_escaped(struct buf *out, const char *field)
{
    for (const char *c = field; *c != '\0'; c++) {
        if (strchr(":\\*", *c) != NULL) {
            buf_put_str(out, "\\");
        }
        buf_put(out, c, 1);
    }
}

void pg_conf_pgpass(struct buf *out, const char *user, const char *password)
{
    buf_put_str(out, "*:*:*:");
    if (user == NULL) {
        buf_put_str(out, "*");
    } else {
        put_escaped(out, user);
    }
    buf_put_str(out, ":");
    put_escaped(out, password);
    buf_put_str(out, "\n");
}

void pg_conf_lines(struct buf *out, const struct pg_lines *lines)
{
    buf_put_str(out, "# Written by pgquorum: do not edit.\n");
    for (size_t i = 0; i < lines->count; i++) {
        buf_put_str(out, lines->items[i]);
        buf_put_str(out, "\n");
    }
}

/* Forked off at the very beginning, so before every recovery point: nobody follows it. */
static const char skipped[] = "\t0/1\tnumber left out by pgquorum\n";

void pg_conf_skipped_history(struct buf *out, uint32_t current_timeline)
{
    buf_printf(out, "%" PRIu32 "%s", current_timeline, skipped);
}

bool pg_conf_is_skipped_history(struct span text)
{
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    return digits > 0 && span_equal_str(span_of(text.data + digits, text.len - digits), skipped);
}
