/* The other cluster that a standby cluster follows: where it is, and what PostgreSQL is given of
 * the section standby_cluster. */
#ifndef AGENT_LOOP_REMOTE_H
#define AGENT_LOOP_REMOTE_H

#include "agent/config/dynamic_standby.h"
#include "agent/loop/loop.h"

/* Settings of a decision. Where the section stands in the file alone, and the cluster is there and
 * has no configuration that can be read, it is neither obeyed nor passed over: nobody is promoted.
 */
void remote_fill(const struct agent *agent, struct ha_settings *settings);
/* The section in force; false = there is none. Lives as long as the configuration. */
bool remote_section(const struct agent *agent, struct dynamic_standby *ret_standby);

/* One host of the list: the one that answered as a primary last, or the next one to be tried.
 * ERR_NOT_FOUND: there is an archive alone. */
int remote_host(const struct agent *agent, char ret_host[PG_HOST_BYTES], uint16_t *ret_port,
                struct error *err) MUST_CHECK;
/* It did not do: another one is next. */
void remote_next_host(struct agent *agent);

/* Does our history, up to `timeline`, agree with that of the other cluster's primary? Two clusters
 * that have parted may have made timelines of one number, at different positions. `done` is called
 * once, from the loop, unless the agent is stopping. A history that cannot be read decides nothing.
 */
typedef void (*remote_forked)(struct agent *agent, bool forked);
int remote_look_forked(struct agent *agent, uint32_t timeline, const struct pg_history *theirs,
                       remote_forked done, struct error *err) MUST_CHECK;

/* A rewind to the other cluster has begun, and is one of this term and that cluster: one that an
 * earlier run has begun was compared by nobody who is left. */
void remote_note_rewind(struct agent *agent, const struct ha_action *action);

/* Where the walreceiver is to connect to; `ret_host` (PG_HOST_BYTES) has the list. False: nowhere,
 * WAL comes from the archive. */
bool remote_upstream(const struct agent *agent, char *ret_host, struct pg_upstream *ret_upstream);
/* From now on (`follows`), or no longer, a standby here follows the other cluster. */
void remote_set(struct agent *agent, bool follows);
/* It gets WAL from the archive that the section names. */
bool remote_has_archive(const struct agent *agent);

/* What a reload is given for it. Zeroed: nothing is ours. */
struct remote_reload {
    struct pg_parameter *recovery;
    char slot[PG_NAME_BYTES];
    char apply_delay[PG_VALUE_BYTES];
};
/* `request` borrows from `storage` until remote_reload_free. */
void remote_reload_fill(const struct agent *agent, struct remote_reload *storage,
                        struct pg_reload *request);
void remote_reload_free(struct remote_reload *storage);

#endif
