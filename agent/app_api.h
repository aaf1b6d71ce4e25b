/* The REST server's place in the program: between agent/api and agent/loop. */
#ifndef AGENT_APP_API_H
#define AGENT_APP_API_H

#include "base/err.h"

struct agent;

/* Listens, and gives the server a new picture whenever the loop has one. */
int app_api_start(struct agent *agent, struct error *err) MUST_CHECK;
void app_api_stop(struct agent *agent);

#endif
