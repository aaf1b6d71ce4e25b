/* An order to members: which of them are meant, and whether it is to be carried out. What restart,
 * reexec and flush have in common; private to agent/cli. */
#ifndef AGENT_CLI_CLI_ORDER_H
#define AGENT_CLI_CLI_ORDER_H

#include "agent/cli/cli_verbs.h"

#include <jansson.h>

struct cli_order {
    struct cli *cli;
    const char *verb; /* as the words have it: "restart", "flush" */
    const char *cluster;
    const char *role; /* NULL = any */
    bool force;
    bool dry_run; /* nobody is asked */
    bool any;     /* one of them, at random */
    bool pending; /* only where a setting waits for it */
    const char *scheduled;
    const char *version;
    const char *timeout;
    char iso[CLI_TIME_BYTES]; /* "" = now */
    char *asked_version;      /* owned */
    struct dcs_view *view;
    json_t *doc;
    json_t *config;
    json_t *members; /* those that are meant */
};

/* Text of a key, "" if it has none. Borrowed. */
const char *cli_text_of(const json_t *object, const char *key);

/* Takes -r with what getopt has in optarg, -F and -n. False: it is none of them (which cli_option
 * has told), or there is no such role, which was told. */
bool cli_order_option(struct cli_order *q, const char *verb, int option);
/* When the options are taken: the next word is the cluster, whose state is read, and what is behind
 * it is for `order`. The exit status. */
int cli_order_run(struct cli_order *q, int argc, char **argv,
                  int (*order)(struct cli_order *q, int argc, char **argv));
/* Shows the members; chosen are those that are named and have the role, or, without names, all that
 * have it. CLI_OK, or the exit status. */
int cli_order_choose(struct cli_order *q, int argc, char **argv);
/* "n1, n2"; free with mem_free. */
char *cli_order_names(const json_t *members);
/* Asks, unless it is forced. Likewise. */
int cli_order_confirm(const struct cli_order *q);
/* The member's scheduled restart is deleted. CLI_OK: it has answered, be it with a refusal. */
int cli_order_drop_scheduled(const json_t *member);

#endif
