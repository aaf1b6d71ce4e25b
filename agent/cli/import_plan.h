/* PURE. What of a running cluster's keys is copied into another store, in which order, and whether
 * that may be done now.
 *
 * Two stores with one cluster's keys could each let it have a leader. So the cluster must be paused
 * and every member must know it, or nobody may be there; and nobody may lead in the new store. What
 * lives on a lease (`leader`, `members/`) is never copied, nor is what names an epoch of the old
 * store (`epoch`, `unfenced`, `reports/`) or is an order to it (`failover`). */
#ifndef AGENT_CLI_IMPORT_PLAN_H
#define AGENT_CLI_IMPORT_PLAN_H

#include "agent/dcs/dcs.h"

#include <jansson.h>

enum import_action {
    IMPORT_COPY,    /* not in the new store */
    IMPORT_REPLACE, /* another value is, which nobody needs: of an import before this one */
    IMPORT_SAME,    /* there already */
    IMPORT_LEAVE,   /* not copied */
};

struct import_step {
    enum import_action action;
    const char *key;      /* borrowed from the view `from` */
    const char *value;    /* likewise */
    int64_t compare;      /* for the put: as in dcs.h */
    const char *why_left; /* IMPORT_LEAVE */
};

struct import_plan {
    struct import_step *steps; /* in the order in which they are written */
    size_t count;
    bool running; /* somebody is there in the old store: the cluster is paused */
};

/* `to` may be NULL: nothing is there. ERR_NOT_FOUND (no cluster in `from`), ERR_INVALID (it is not
 * one that was ever initialized, or its keys cannot be read), ERR_REFUSED (it is not paused
 * everywhere), ERR_CONFLICT (the new store has a leader or another cluster). `ret_plan` borrows
 * from both views; import_plan_free. */
int import_plan_make(const struct dcs_view *from, const struct dcs_view *to,
                     struct import_plan *ret_plan, struct error *err) MUST_CHECK;
void import_plan_free(struct import_plan *plan);

/* Both have the key, and its values mean the same. */
bool import_is_same(const struct dcs_view *one, const struct dcs_view *other, const char *key);

const char *import_action_text(enum import_action action);

#endif
