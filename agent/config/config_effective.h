/* PURE. What of `postgresql` the dynamic configuration may say, and the file replaces key by key.
 *
 * Addresses, directories, pgpass and authentication are a member's own and taken from the file
 * alone; parameters are merged by name (dynamic_parameters_merge), use_slots and use_pg_rewind
 * stand in struct dynamic_config. */
#ifndef AGENT_CONFIG_CONFIG_EFFECTIVE_H
#define AGENT_CONFIG_CONFIG_EFFECTIVE_H

#include "agent/config/config.h"

struct config_effective {
    struct config_postgresql
        postgresql;               /* its texts are the file's configuration's, or `memory`'s */
    struct config_memory *memory; /* NULL: nothing was made */
};

/* Never fails: what cannot be read is left out, and `warning` (DYNAMIC_WARNING_BYTES, may be NULL)
 * says so. `dynamic` is the section of the dynamic configuration, or NULL. `local` has to live as
 * long. */
void config_effective_make(const struct config_postgresql *local, const json_t *dynamic,
                           struct config_effective *ret_effective, char *warning);
void config_effective_free(struct config_effective *effective); /* NULL and zeroed are accepted */

/* Strict look at a section that somebody wants to store, parameters apart; a key that is stored
 * with the same value already (in `before`, may be NULL) is passed over. */
int config_effective_check(const json_t *section, const json_t *before,
                           struct error *err) MUST_CHECK;

/* Keys of the section that are stored and do nothing: "postgresql.listen (the file's alone)". Free
 * with mem_free; NULL = there is none. */
char *config_effective_idle(const json_t *section);

#endif
