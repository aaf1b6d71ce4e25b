/* PURE. Which of the operator's callbacks is due: what was told last, and what is seen now.
 *
 * A role is told once the instance is seen in it. on_role_change stands in the place of on_start
 * and on_restart where it comes up in another role than the last one that was told, or that it had
 * before this run of the agent. Nothing is told of what a bootstrap does before it has ended. */
#ifndef AGENT_HA_CALLBACK_H
#define AGENT_HA_CALLBACK_H

#include "agent/ha/ha_snapshot.h"

enum ha_callback {
    HA_CALLBACK_NONE,
    HA_CALLBACK_START,       /* it accepts connections; or did so already when the agent started */
    HA_CALLBACK_STOP,        /* it was stopped, and nothing of it is left */
    HA_CALLBACK_RESTART,     /* as HA_CALLBACK_START, after a restart that was asked for */
    HA_CALLBACK_ROLE_CHANGE, /* promoted, or up in another role; or crashed, and its key is gone */
};

enum ha_told_role {
    HA_TOLD_UNINITIALIZED, /* no data directory */
    HA_TOLD_REPLICA,
    HA_TOLD_PRIMARY,
    HA_TOLD_STANDBY_LEADER,
    HA_TOLD_DEMOTED, /* down, and no primary any more */
};

/* Zeroed: nothing was seen yet. */
struct ha_told {
    bool known;
    bool up;
    bool crashed;    /* it went down by itself, and nothing was told since */
    bool restarting; /* it went down for a restart that was asked for: likewise */
    enum ha_told_role role;
};

enum ha_seen_run {
    HA_SEEN_BETWEEN, /* starting, stopping, a bootstrap, or not known */
    HA_SEEN_NO_DATA,
    HA_SEEN_STOPPED,
    HA_SEEN_CRASHED,
    HA_SEEN_UP,
};

struct ha_seen {
    enum ha_seen_run run;
    bool primary;        /* up: it is one; down: it was one */
    bool standby_leader; /* up: it leads a standby cluster ... */
    bool led_by_other;   /* ... or somebody else does, or leads this one */
    bool key_is_ours;
    bool restarting; /* it was stopped for a restart that was asked for, and is not up again */
};

void ha_callback_look(const struct ha_snapshot *s, struct ha_seen *ret_seen);
/* The callback that is due, with the role in `told` as its argument. `told` says from now on that
 * it was told. */
enum ha_callback ha_callback_next(struct ha_told *told, const struct ha_seen *seen);

const char *ha_callback_name(enum ha_callback callback); /* "on_start"; "" of none */
const char *ha_told_role_name(enum ha_told_role role);   /* "primary" */

#endif
