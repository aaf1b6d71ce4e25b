/* Snapshot and plan as text, and the snapshot back: one table of fields (ha_text_fields.c)
 * serves both directions.
 *
 * A line is a group, the name of the object where there are several, and fields that differ from
 * those of a snapshot in which nothing is known (ha_snapshot_init):
 *
 *     self name=node1 run=running role=standby timeline=1 lsn=5000060
 *     member node2 state="creating replica"
 *
 * Values with a space stand in double quotes; # begins a comment line. LSNs are hexadecimal. */
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_text_fields.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- printing --------------------------------------------------------------------------------- */

static size_t field_bytes(const struct ha_text_field *field)
{
    switch (field->kind) {
    case KIND_BOOL: return sizeof(bool);
    case KIND_I64: return sizeof(int64_t);
    case KIND_U32: return sizeof(uint32_t);
    case KIND_UINT: return sizeof(unsigned);
    case KIND_INT:
    case KIND_ENUM: return sizeof(int);
    case KIND_LSN:
    case KIND_HEX: return sizeof(uint64_t);
    case KIND_EPOCH: return sizeof(struct ha_epoch);
    case KIND_TEXT: break;
    }
    return field->bytes;
}

static bool same(const struct ha_text_field *field, const char *a, const char *b)
{
    if (field->kind == KIND_TEXT) {
        return strcmp(a, b) == 0;
    }
    return memcmp(a, b, field_bytes(field)) == 0;
}

static void print_text(const char *text, struct buf *out)
{
    bool quoted = text[0] == '\0' || strpbrk(text, " \t\n\"") != NULL;
    if (!quoted) {
        buf_put_str(out, text);
        return;
    }
    buf_put_u8(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        /* Keeps one line one line; quotes and control characters never mean anything here. */
        buf_put_u8(out, *c == '"' || iscntrl((unsigned char)*c) ? '\'' : (uint8_t)*c);
    }
    buf_put_u8(out, '"');
}

static void print_epoch(struct ha_epoch epoch, struct buf *out)
{
    char text[HA_EPOCH_BYTES];
    ha_epoch_print(epoch, text);
    buf_put_str(out, text);
}

static void print_value(const struct ha_text_field *field, const void *at, struct buf *out)
{
    switch (field->kind) {
    case KIND_BOOL: buf_put_str(out, *(const bool *)at ? "yes" : "no"); break;
    case KIND_I64:
        if (*(const int64_t *)at == HA_NEVER) {
            buf_put_str(out, "never");
        } else {
            buf_printf(out, "%" PRId64, *(const int64_t *)at);
        }
        break;
    case KIND_U32: buf_printf(out, "%" PRIu32, *(const uint32_t *)at); break;
    case KIND_UINT: buf_printf(out, "%u", *(const unsigned *)at); break;
    case KIND_INT: buf_printf(out, "%d", *(const int *)at); break;
    case KIND_LSN: buf_printf(out, "%" PRIX64, *(const uint64_t *)at); break;
    case KIND_HEX: buf_printf(out, "%" PRIx64, *(const uint64_t *)at); break;
    case KIND_TEXT: print_text(at, out); break;
    case KIND_EPOCH: print_epoch(*(const struct ha_epoch *)at, out); break;
    case KIND_ENUM: buf_put_str(out, field->words[*(const int *)at]); break;
    }
}

/* Returns whether any field differed. */
static bool print_fields(const struct ha_text_field *fields, const char *object,
                         const char *defaults, struct buf *out)
{
    bool any = false;
    for (const struct ha_text_field *field = fields; field->key != NULL; field++) {
        if (!same(field, object + field->offset, defaults + field->offset)) {
            buf_printf(out, " %s=", field->key);
            print_value(field, object + field->offset, out);
            any = true;
        }
    }
    return any;
}

static void print_list(const struct ha_text_group *group, const char *snapshot, struct buf *out)
{
    size_t count = 0;
    memcpy(&count, snapshot + group->count_offset, sizeof count);
    char *defaults = mem_alloc(group->item_bytes);
    ha_text_item_init(group, defaults);
    for (size_t i = 0; i < count; i++) {
        const char *item = snapshot + group->items_offset + i * group->item_bytes;
        buf_printf(out, "%s ", group->name);
        print_text(item, out);
        (void)print_fields(group->fields, item, defaults, out);
        buf_put_str(out, "\n");
    }
    mem_free(defaults);
}

void ha_snapshot_print(const struct ha_snapshot *s, struct buf *out)
{
    struct ha_snapshot *defaults = mem_new(struct ha_snapshot);
    ha_snapshot_init(defaults);
    for (size_t i = 0; i < ha_text_group_count; i++) {
        const struct ha_text_group *group = &ha_text_groups[i];
        if (group->item_bytes > 0) {
            print_list(group, (const char *)s, out);
            continue;
        }
        struct buf line = BUF_INIT;
        if (print_fields(group->fields, (const char *)s, (const char *)defaults, &line)) {
            buf_put_str(out, group->name);
            buf_put_span(out, buf_span(&line));
            buf_put_str(out, "\n");
        }
        buf_free(&line);
    }
    mem_free(defaults);
}

static void print_action(const struct ha_plan *plan, const struct ha_action *action,
                         struct buf *out)
{
    buf_put_str(out, ha_action_name(action->type));
    if (action->member[0] != '\0') {
        buf_printf(out, " member=%s", action->member);
    }
    if (action->remote) {
        buf_put_str(out, " remote=yes");
    }
    if (action->type == HA_WRITE_INITIALIZE) {
        buf_put_str(out, " text=");
        print_text(action->text, out);
    }
    if (action->epoch.revision != 0) {
        buf_put_str(out, " epoch=");
        print_epoch(action->epoch, out);
    }
    if (action->timeline != 0) {
        buf_printf(out, " timeline=%" PRIu32, action->timeline);
    }
    if (action->lsn != 0) {
        buf_printf(out, " lsn=%" PRIX64, action->lsn);
    }
    if (action->revision != 0) {
        buf_printf(out, " revision=%" PRId64, action->revision);
    }
    if (action->exact) {
        buf_put_str(out, " exact=yes");
    }
    if (action->yields) {
        buf_put_str(out, " yields=yes");
    }
    if (action->unfit) {
        buf_put_str(out, " unfit=yes");
    }
    if (action->primary_silent_ms != 0) {
        buf_printf(out, " primary_silent=%" PRId64, action->primary_silent_ms);
    }
    if (action->raft_silent_ms != 0) {
        buf_printf(out, " raft_silent=%" PRId64, action->raft_silent_ms);
    }
    if (action->until_mono_ms != HA_NEVER) {
        buf_printf(out, " until=%" PRId64, action->until_mono_ms);
    }
    if (action->type == HA_ACQUIRE || action->type == HA_DEPOSE) {
        const struct ha_acquire *acquire = &plan->acquire;
        buf_printf(out, " if epoch=%" PRId64 " config=%" PRId64 " sync=%" PRId64,
                   acquire->epoch_revision, acquire->config_revision, acquire->sync_revision);
        if (acquire->unfenced_revision != 0) {
            buf_printf(out, " unfenced=%" PRId64, acquire->unfenced_revision);
        }
        if (acquire->recovered_revision != 0) {
            buf_printf(out, " recovered=%" PRId64, acquire->recovered_revision);
        }
        for (size_t i = 0; i < acquire->report_count; i++) {
            buf_printf(out, " reports/%s=%" PRId64, acquire->reports[i].member,
                       acquire->reports[i].revision);
        }
        buf_put_str(out, acquire->unfenced == HA_UNFENCED_PUT      ? " and put_unfenced"
                         : acquire->unfenced == HA_UNFENCED_REMOVE ? " and remove_unfenced"
                                                                   : "");
    }
    buf_put_str(out, "\n");
}

void ha_plan_print(const struct ha_plan *plan, struct buf *out)
{
    buf_printf(out, "rule %s/%s\nbecause %s\n", plan->situation, plan->rule, plan->reason);
    for (size_t i = 0; i < plan->action_count; i++) {
        print_action(plan, &plan->actions[i], out);
    }
}

/* --- parsing ---------------------------------------------------------------------------------- */

/* A cursor over one line; words are copied out, quotes taken off. */
struct words {
    const char *at;
    const char *end;
};

#define WORD_BYTES 512

/* The next run of characters up to a space, or up to `stop`. False at the end, or if it is too
 * long. */
static bool take(struct words *words, char stop, char ret_word[WORD_BYTES])
{
    size_t len = 0;
    while (words->at < words->end && (*words->at == ' ' || *words->at == '\t')) {
        words->at++;
    }
    bool quoted = words->at < words->end && *words->at == '"';
    bool any = quoted;
    words->at += quoted ? 1 : 0;
    while (words->at < words->end && len < WORD_BYTES - 1) {
        char c = *words->at;
        if (quoted ? c == '"' : c == ' ' || c == '\t' || c == stop) {
            break;
        }
        ret_word[len++] = c;
        words->at++;
        any = true;
    }
    ret_word[len] = '\0';
    if (words->at < words->end && (*words->at == '"' || *words->at == stop)) {
        words->at++;
    }
    return any && len < WORD_BYTES - 1;
}

static bool number(const char *text, int base, uint64_t max, uint64_t *ret_value)
{
    char *end = NULL;
    errno = 0;
    *ret_value = strtoull(text, &end, base);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *ret_value <= max;
}

static bool set_number(const struct ha_text_field *field, char *at, const char *text)
{
    uint64_t value = 0;
    switch (field->kind) {
    case KIND_I64:
        if (strcmp(text, "never") == 0) {
            *(int64_t *)(void *)at = HA_NEVER;
            return true;
        }
        if (!number(text, 10, INT64_MAX, &value)) {
            return false;
        }
        *(int64_t *)(void *)at = (int64_t)value;
        return true;
    case KIND_INT:
        if (!number(text, 10, INT32_MAX, &value)) {
            return false;
        }
        *(int *)(void *)at = (int)value;
        return true;
    case KIND_LSN:
    case KIND_HEX: return number(text, 16, UINT64_MAX, (uint64_t *)(void *)at);
    case KIND_U32:
    case KIND_UINT:
    case KIND_BOOL:
    case KIND_TEXT:
    case KIND_EPOCH:
    case KIND_ENUM: break;
    }
    if (!number(text, 10, UINT32_MAX, &value)) {
        return false;
    }
    *(uint32_t *)(void *)at = (uint32_t)value;
    return true;
}

static bool set_value(const struct ha_text_field *field, char *at, const char *text)
{
    switch (field->kind) {
    case KIND_BOOL:
        *(bool *)(void *)at = strcmp(text, "yes") == 0;
        return strcmp(text, "yes") == 0 || strcmp(text, "no") == 0;
    case KIND_TEXT: return snprintf(at, field->bytes, "%s", text) < (int)field->bytes;
    case KIND_EPOCH: return ha_epoch_parse(text, (struct ha_epoch *)(void *)at);
    case KIND_ENUM:
        for (int i = 0; field->words[i] != NULL; i++) {
            if (strcmp(field->words[i], text) == 0) {
                *(int *)(void *)at = i;
                return true;
            }
        }
        return false;
    case KIND_I64:
    case KIND_U32:
    case KIND_UINT:
    case KIND_INT:
    case KIND_LSN:
    case KIND_HEX: break;
    }
    return set_number(field, at, text);
}

static int parse_fields(struct words *words, const struct ha_text_field *fields, char *object,
                        struct error *err)
{
    char key[WORD_BYTES];
    char value[WORD_BYTES];
    while (take(words, '=', key)) {
        const struct ha_text_field *field = fields;
        while (field->key != NULL && strcmp(field->key, key) != 0) {
            field++;
        }
        if (field->key == NULL) {
            return error_set(err, ERR_INVALID, "no field '%s'", key);
        }
        if (!take(words, '\0', value) || !set_value(field, object + field->offset, value)) {
            return error_set(err, ERR_INVALID, "field '%s' has a bad value", key);
        }
    }
    return 0;
}

/* The element of that name, made if it is not there; NULL = no room. */
static char *list_item(const struct ha_text_group *group, char *snapshot, const char *name)
{
    size_t count = 0;
    memcpy(&count, snapshot + group->count_offset, sizeof count);
    for (size_t i = 0; i < count; i++) {
        char *item = snapshot + group->items_offset + i * group->item_bytes;
        if (strcmp(item, name) == 0) {
            return item;
        }
    }
    if (count == HA_MEMBERS_MAX || strlen(name) >= group->name_bytes) {
        return NULL;
    }
    char *item = snapshot + group->items_offset + count * group->item_bytes;
    ha_text_item_init(group, item);
    (void)snprintf(item, group->name_bytes, "%s", name);
    count++;
    memcpy(snapshot + group->count_offset, &count, sizeof count);
    return item;
}

static int parse_line(struct words *words, struct ha_snapshot *s, struct error *err)
{
    char word[WORD_BYTES];
    if (!take(words, ' ', word) || word[0] == '#') {
        return 0;
    }
    for (size_t i = 0; i < ha_text_group_count; i++) {
        const struct ha_text_group *group = &ha_text_groups[i];
        char *object = (char *)s;
        if (strcmp(group->name, word) != 0) {
            continue;
        }
        if (group->item_bytes > 0) {
            object = take(words, ' ', word) ? list_item(group, object, word) : NULL;
        }
        if (object == NULL) {
            return error_set(err, ERR_INVALID, "'%s' without a name, or too many of them",
                             group->name);
        }
        return parse_fields(words, group->fields, object, err);
    }
    return error_set(err, ERR_INVALID, "no group '%s'", word);
}

int ha_snapshot_parse(const char *text, struct ha_snapshot *ret_snapshot, struct error *err)
{
    struct ha_snapshot *s = mem_new(struct ha_snapshot);
    int rc = 0;
    ha_snapshot_init(s);
    unsigned line = 1;
    for (const char *at = text; *at != '\0' && rc == 0; line++) {
        size_t len = strcspn(at, "\n");
        struct words words = {at, at + len};
        rc = parse_line(&words, s, err);
        at += len + (at[len] == '\n' ? 1 : 0);
        if (rc != 0) {
            error_wrap(err, "line %u", line);
        }
    }
    if (rc == 0) {
        *ret_snapshot = *s;
    }
    mem_free(s);
    return rc;
}
