/* PURE. What the dynamic configuration says of replication slots that are no member's: `slots`
 * (also by its older names) and `ignore_slots`. */
#ifndef AGENT_CONFIG_DYNAMIC_SLOTS_H
#define AGENT_CONFIG_DYNAMIC_SLOTS_H

#include "agent/config/dynamic.h"

#define DYNAMIC_SLOTS_MAX 32

/* Physical slots that `slots` wants to be there, at most DYNAMIC_SLOTS_MAX; more are left out.
 * Names that PostgreSQL would not take, logical slots and those of the other `cluster_type`
 * (primary or standby) are none. Of two with one name that of the newer key counts. The names are
 * the configuration's. */
size_t dynamic_slots_physical(const struct dynamic_config *config,
                              const char *ret_names[DYNAMIC_SLOTS_MAX]);

struct dynamic_logical {
    const char *name; /* texts are the configuration's */
    const char *database;
    const char *plugin;
};
/* Logical slots that it wants to be there, likewise; none where `use_slots` is off: they would not
 * outlive the primary. None in a standby cluster. */
size_t dynamic_slots_logical(const struct dynamic_config *config,
                             struct dynamic_logical ret_slots[DYNAMIC_SLOTS_MAX]);
/* There is one of them. */
bool dynamic_slots_has_logical(const struct dynamic_config *config);
/* The logical slot `slot` is the operator's, in the sense of the next. */
bool dynamic_slots_is_operators_logical(const struct dynamic_config *config,
                                        const struct pg_slot *slot);

/* The physical slot of that name is the operator's: `slots` names it, as whatever, or
 * `ignore_slots` matches it. It is never dropped. While one of the two cannot be read, every slot
 * is. */
bool dynamic_slots_is_operators(const struct dynamic_config *config, const char *name);

/* `slots` is no mapping, or `ignore_slots` no list of rules. */
bool dynamic_slots_unreadable(const json_t *document);

/* In one line what of them cannot be read, or would be passed over: a name that PostgreSQL does not
 * take, a type that is none, a logical one without database or plugin, more than DYNAMIC_SLOTS_MAX.
 * False = nothing. A key with the same value in `before` (may be NULL) is not looked at. */
#define DYNAMIC_SLOTS_FAULT_BYTES 256
bool dynamic_slots_fault(const json_t *document, const json_t *before,
                         char ret_text[DYNAMIC_SLOTS_FAULT_BYTES]);

/* In one line what else a logical slot in `slots` needs, and is not so: wal_level logical,
 * use_slots. False = nothing, or nothing of it differs from `before` (may be NULL). */
bool dynamic_slots_unmet(const json_t *document, const json_t *before,
                         char ret_text[DYNAMIC_SLOTS_FAULT_BYTES]);

#endif
