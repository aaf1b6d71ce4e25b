/* PURE. Which agent or witness a configuration makes, and where that one's belongings are. Another
 * one is not to go on in the place of what runs (agent/reexec.h): it would neither know the
 * PostgreSQL, the fence and the lease that are there, nor be known to them. */
#ifndef AGENT_CONFIG_CONFIG_IDENTITY_H
#define AGENT_CONFIG_CONFIG_IDENTITY_H

#include "agent/config/config.h"

/* As a text, for another program to compare with, also of another release. mem_free. */
char *config_identity(const struct config *config);

/* ERR_REFUSED: `config` makes another one than `running`, a config_identity, tells; `err` has the
 * first key that differs, both values, and what to do. What only one of the two releases knows is
 * not compared. */
int config_identity_check(const struct config *config, const char *running,
                          struct error *err) MUST_CHECK;

#endif
