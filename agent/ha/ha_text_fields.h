/* The fields that a snapshot has as text; private to ha_text.c, which prints and reads them. */
#ifndef AGENT_HA_HA_TEXT_FIELDS_H
#define AGENT_HA_HA_TEXT_FIELDS_H

#include <stddef.h>

enum ha_text_kind {
    KIND_BOOL,
    KIND_I64,
    KIND_U32,
    KIND_UINT,
    KIND_INT,
    KIND_LSN,
    KIND_HEX,
    KIND_TEXT,
    KIND_EPOCH,
    KIND_ENUM
};

struct ha_text_field {
    const char *key;
    enum ha_text_kind kind;
    size_t offset;
    size_t bytes;             /* KIND_TEXT */
    const char *const *words; /* KIND_ENUM; ends with NULL; index = value */
};

/* The fields of one object, or of each of a list of them. */
struct ha_text_group {
    const char *name;
    const struct ha_text_field *fields;
    /* Lists: where the elements are; each begins with its name. */
    size_t item_bytes; /* 0 = no list */
    size_t items_offset;
    size_t count_offset;
    size_t name_bytes;
};

extern const struct ha_text_group ha_text_groups[];
extern const size_t ha_text_group_count;

/* The element of a list as it is before any of its fields is given. */
void ha_text_item_init(const struct ha_text_group *group, void *item);

#endif
