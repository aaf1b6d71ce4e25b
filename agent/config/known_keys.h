/* PURE. The names that files and stored configurations may hold: what we read, what Patroni has and
 * we leave alone, and what we refuse because ignoring it would do harm. All of it is in keys.def.
 */
#ifndef AGENT_CONFIG_KNOWN_KEYS_H
#define AGENT_CONFIG_KNOWN_KEYS_H

#include <stdbool.h>

enum known_status {
    KNOWN_SERVED,
    KNOWN_NO_EFFECT,
    KNOWN_REFUSED,       /* unless it is off */
    KNOWN_REFUSED_EMPTY, /* even when it is empty */
};

/* A row of keys.def. A list is the keys of one section, or of several alike ("account"). */
struct known_key {
    const char *list;
    const char *key;
    enum known_status status;
    const char *instead; /* what to do about it; may be "" */
    const char *effect;  /* when a change takes effect, as keys.def says it; may be "" */
};
extern const struct known_key known_keys[]; /* ends with list NULL */

/* NULL = the list has no such key. */
const struct known_key *known_keys_find(const char *list, const char *key);
/* It takes effect while the agent runs, or not before the next cluster is made. */
bool known_keys_is_changeable(const struct known_key *row);
bool known_keys_has(const char *list, const char *key);

/* The known name that `key` was probably meant to be; NULL if it is known itself, or near to none.
 * One slip of the finger: an edit (insert, delete, replace, swap) distance of 1, of 2 from 6
 * letters on, or a '-' for a '_'. */
const char *known_keys_near(const char *list, const char *key);

/* A section of the file: its name as a path ("postgresql.authentication"), and the list of its
 * keys. */
struct known_section {
    const char *path;
    const char *list;
};
/* NULL = none has that path. */
const struct known_section *known_sections_find(const char *path);
extern const struct known_section known_sections[]; /* ends with path NULL; "" is the top level */

#endif
