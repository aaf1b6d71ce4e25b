/* PURE. `standby_cluster` of the dynamic configuration: the cluster outside that this one copies
 * and follows, as a whole. While it is there nobody here becomes a primary. */
#ifndef AGENT_CONFIG_DYNAMIC_STANDBY_H
#define AGENT_CONFIG_DYNAMIC_STANDBY_H

#include "agent/config/dynamic.h"

#define DYNAMIC_STANDBY_HOSTS_MAX   8
#define DYNAMIC_STANDBY_METHODS_MAX 16
#define DYNAMIC_STANDBY_FAULT_BYTES 256
#define DYNAMIC_STANDBY_HOSTS_BYTES 240

struct dynamic_standby {
    /* "a,b": the primary is one of them; "" = nobody, an archive alone. */
    char hosts[DYNAMIC_STANDBY_HOSTS_BYTES];
    uint16_t port;
    char slot[PG_NAME_BYTES]; /* of ours at the primary; "" = none */
    /* Settings of who follows it; borrowed from the document, NULL = not given. */
    const char *restore_command;
    const char *archive_cleanup_command;
    char apply_delay[PG_VALUE_BYTES]; /* recovery_min_apply_delay; "" = not given */
    size_t method_count;              /* create_replica_methods; none: those of the member */
    const char *methods[DYNAMIC_STANDBY_METHODS_MAX];
};

/* Is the section there? One that is empty, null or false is not. */
bool dynamic_standby_is_given(const json_t *document);
/* False: it is not there, or cannot be obeyed. Lives as long as the document. */
bool dynamic_standby_read(const json_t *document, struct dynamic_standby *ret_standby);
/* It is there, and cannot be obeyed: `ret_text` (DYNAMIC_STANDBY_FAULT_BYTES) says why. */
bool dynamic_standby_fault(const json_t *document, char *ret_text);
/* Strict look at a section that somebody wants to store: also what would do nothing. */
bool dynamic_standby_mistake(const json_t *document, char *ret_text);

/* Host `index` of the list; false = there is none. */
bool dynamic_standby_host(const struct dynamic_standby *standby, size_t index,
                          char ret_host[PG_HOST_BYTES]);
size_t dynamic_standby_host_count(const struct dynamic_standby *standby);
/* "a,b:5432", or "archive": what it is known by; another text is another remote. At most
 * DYNAMIC_STANDBY_TEXT_BYTES. */
#define DYNAMIC_STANDBY_TEXT_BYTES (DYNAMIC_STANDBY_HOSTS_BYTES + 8)
void dynamic_standby_text(const struct dynamic_standby *standby, char *ret_text);

#endif
