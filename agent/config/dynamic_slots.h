/* PURE. What the dynamic configuration says of replication slots that are no member's: `slots`
 * (also by its older names) and `ignore_slots`. */
#ifndef AGENT_CONFIG_DYNAMIC_SLOTS_H
#define AGENT_CONFIG_DYNAMIC_SLOTS_H

#include "agent/config/dynamic.h"

#define DYNAMIC_SLOTS_MAX 32

/* Physical slots that `slots` wants to be there, at most DYNAMIC_SLOTS_MAX; more are left out.
 * Names that PostgreSQL would not take, logical slots and those of standby clusters are none. The
 * names are the configuration's. */
size_t dynamic_slots_physical(const struct dynamic_config *config,
                              const char *ret_names[DYNAMIC_SLOTS_MAX]);

/* The physical slot of that name is the operator's: `slots` names it, as whatever, or
 * `ignore_slots` matches it. It is never dropped. While one of the two cannot be read, every slot
 * is. */
bool dynamic_slots_is_operators(const struct dynamic_config *config, const char *name);

/* `slots` is no mapping, or `ignore_slots` no list of rules. */
bool dynamic_slots_unreadable(const json_t *document);

/* In one line what of them cannot be read, or would be passed over: a name that PostgreSQL does not
 * take, a type that is none, more than DYNAMIC_SLOTS_MAX. False = nothing. A key with the same
 * value in `before` (may be NULL) is not looked at. */
#define DYNAMIC_SLOTS_FAULT_BYTES 256
bool dynamic_slots_fault(const json_t *document, const json_t *before,
                         char ret_text[DYNAMIC_SLOTS_FAULT_BYTES]);

/* First entry of `slots` that asks for a logical slot, which we do not make; NULL = none. */
const char *dynamic_slots_logical(const json_t *document);

#endif
