/* The file, read again while the agent runs: SIGHUP, or POST /reload. */
#ifndef AGENT_APP_RELOAD_H
#define AGENT_APP_RELOAD_H

#include "agent/app_rest.h"
#include "agent/config/config.h"

#include <uv.h>

struct agent;

struct app_reload {
    struct agent *agent;
    struct config *config; /* in force; exchanged where it stands */
    /* Of the start: what was opened then may have pointers into it. Not to be freed by a reload. */
    struct config_memory *started;
    uv_work_t work;
    bool running;
    bool again;            /* asked for while it ran: the file may be another one since */
    char path[4096];       /* "" = none */
    struct app_rest *rest; /* NULL: there is no REST server */
    bool from_file;        /* what is in force is of the file: it has to be there */
    /* Of the thread, while it runs. */
    int rc;
    struct config read;
    struct tls_context *tls; /* what the REST server's files have; NULL: there are none */
    struct config_warnings warnings;
    struct error err;
};

/* `config` was read by config_load from `path` (NULL: from the environment alone), and the agent is
 * to have a pointer to it. */
void app_reload_init(struct app_reload *reload, struct agent *agent, struct config *config,
                     const char *path);
/* Reads it on a thread of the pool, and takes what can be taken; all or nothing. */
void app_reload_ask(struct app_reload *reload);
/* When the loop has ended: frees the configuration in force, and that of the start. */
void app_reload_free(struct app_reload *reload);

#endif
