/* Every mistake of a configuration, not the first alone. PURE. */
#ifndef AGENT_CONFIG_CONFIG_FAULTS_H
#define AGENT_CONFIG_CONFIG_FAULTS_H

#include "agent/config/config.h"

#define CONFIG_FAULTS_MAX 64

/* One more line. It is made UTF-8 first: whatever it quotes, it is not lost. */
void config_faults_add(json_t *faults, const char *line);

/* One line each, as config_from_json would end with it, into the array `faults`, which is empty; a
 * last one says so if there may be more than CONFIG_FAULTS_MAX. `tree` (an object,
 * the environment merged into it) loses what is wrong, and gets something in place of what is
 * missing, until it can be read: *ret_config is what could be read of it, for more checks; its
 * memory is NULL if that came to no end. `bootstrap.dcs` is held to what PATCH /config would take.
 * `warnings` are those of the last reading. */
void config_faults(const struct config_source *source, json_t *tree, json_t *faults,
                   struct config *ret_config, struct config_warnings *warnings);

/* A copy of a document to be shown: "***" stands for values of keys whose names have "password",
 * "secret" or the like, for what follows such a name in a text ("ldapbindpasswd=..."), for
 * passwords in URLs, and for all of a command but its first word. Keys of other names are shown,
 * also those that the operator's own methods get. */
json_t *config_without_secrets(const json_t *tree);

#endif
