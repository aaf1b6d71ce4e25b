/* PURE. The sections of the file, one function each: 0, or one line in the reader's error. Private
 * to agent/config. */
#ifndef AGENT_CONFIG_SECTIONS_H
#define AGENT_CONFIG_SECTIONS_H

#include "agent/config/reader.h"

#include <stdbool.h>

int section_bootstrap(const struct reader *r, const struct section *top,
                      struct config *c) MUST_CHECK;
/* Settings for a recovery, of the section `key`, whose whole path is `path`. */
int section_recovery_conf(const struct reader *r, const struct section *parent, const char *path,
                          struct pg_parameters *ret_recovery_conf) MUST_CHECK;
/* bootstrap.method with its section, and post_bootstrap. */
int section_bootstrap_hooks(const struct reader *r, const struct section *bootstrap,
                            struct config_bootstrap *b) MUST_CHECK;
/* create_replica_methods with their sections. */
int section_replica_methods(const struct reader *r, const struct section *postgresql,
                            struct config_postgresql *p) MUST_CHECK;
/* The key is the section of a method that the document names. */
bool section_is_method(const json_t *tree, const char *section, const char *key);
/* Commands of the operator in the section `postgresql`; what is not there is left alone. */
int section_hooks(const struct reader *r, const struct section *postgresql,
                  struct config_hooks *ret_hooks) MUST_CHECK;
int section_postgresql(const struct reader *r, const struct config_source *source,
                       const struct section *top, struct config *c) MUST_CHECK;
/* The keys of `postgresql` that the dynamic configuration may have, too (keys.def,
 * dynamic_postgresql). What is not there leaves its output alone. `everywhere`: it is for all
 * members (pgctl/pg_hba.h). */
int section_postgresql_shared(const struct reader *r, const struct section *s, bool everywhere,
                              struct config_postgresql *p) MUST_CHECK;
int section_etcd(const struct reader *r, const struct config_source *source,
                 const struct section *top, struct config *c) MUST_CHECK;
int section_etcd_server(const struct reader *r, const struct config_source *source,
                        const struct section *top, struct config *c) MUST_CHECK;
/* What `restapi` has beside its addresses; `s` is that section. */
int section_restapi(const struct reader *r, const struct config_source *source,
                    const struct section *s, struct config *c) MUST_CHECK;
/* After section_restapi, whose user and authorities it falls back to. */
int section_ctl(const struct reader *r, const struct config_source *source,
                const struct section *top, struct config *c) MUST_CHECK;
int section_tags(const struct reader *r, const struct section *top, struct config *c) MUST_CHECK;
int section_watchdog(const struct reader *r, const struct section *top,
                     struct config *c) MUST_CHECK;
int section_log(const struct reader *r, const struct config_source *source,
                const struct section *top, struct config *c) MUST_CHECK;

#endif
