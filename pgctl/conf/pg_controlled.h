/* The table of settings that agree over the cluster. */
#ifndef PGCTL_CONF_PG_CONTROLLED_H
#define PGCTL_CONF_PG_CONTROLLED_H

#include <stdbool.h>
#include <stddef.h>

enum pg_value_kind {
    PG_VALUE_ANY,
    PG_VALUE_NUMBER,
    PG_VALUE_BOOL,
    PG_VALUE_TRUE,
    PG_VALUE_WAL_LEVEL
};

struct pg_controlled {
    const char *name;
    enum pg_value_kind kind;
    const char *fallback; /* the value when none is given */
    long min;
    long max; /* PostgreSQL's own; 0 = does not apply */
    bool on_command_line;
};

extern const struct pg_controlled pg_controlled[];
extern const size_t pg_controlled_count;

const struct pg_controlled *
pg_controlled_find(const char *name); /* any case; NULL = not controlled */
/* Settings that only we write: listen_addresses, primary_conninfo, recovery_target... */
bool pg_controlled_is_ours(const char *name);
/* Length of the word of letters, digits and '_' that `text` begins with; 0 = none. */
size_t pg_controlled_word_len(const char *text);

#endif
