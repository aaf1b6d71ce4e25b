/* PURE. The names that files and stored configurations may hold: what we read, what Patroni has and
 * we leave alone, and what we refuse because ignoring it would do harm. Lists end in NULL. */
#ifndef AGENT_CONFIG_KNOWN_KEYS_H
#define AGENT_CONFIG_KNOWN_KEYS_H

#include <stdbool.h>

extern const char *const known_keys_dynamic[];
extern const char *const known_keys_postgresql[]; /* also of `postgresql` in the dynamic one */
extern const char *const known_keys_dynamic_unserved[]; /* refused unless switched off */

/* The known name that `key` was probably meant to be; NULL if it is known itself, or near to none.
 * One slip of the finger: an edit (insert, delete, replace, swap) distance of 1, of 2 from 6
 * letters on, or a '-' for a '_'. */
const char *known_keys_near(const char *const *known, const char *key);

bool known_keys_has(const char *const *known, const char *key);

/* A section of the file: its name as a path ("postgresql.authentication") and the keys below it. */
struct known_section {
    const char *path;
    const char *const *keys;
};
extern const struct known_section known_sections[]; /* ends with path NULL; "" is the top level */

#endif
