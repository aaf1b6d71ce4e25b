/* PURE. The sections of the file, one function each: 0, or one line in the reader's error. Private
 * to agent/config. */
#ifndef AGENT_CONFIG_SECTIONS_H
#define AGENT_CONFIG_SECTIONS_H

#include "agent/config/reader.h"

int section_bootstrap(const struct reader *r, const struct section *top,
                      struct config *c) MUST_CHECK;
int section_postgresql(const struct reader *r, const struct config_source *source,
                       const struct section *top, struct config *c) MUST_CHECK;
int section_etcd(const struct reader *r, const struct config_source *source,
                 const struct section *top, struct config *c) MUST_CHECK;
int section_etcd_server(const struct reader *r, const struct config_source *source,
                        const struct section *top, struct config *c) MUST_CHECK;
int section_tags(const struct reader *r, const struct section *top, struct config *c) MUST_CHECK;
int section_watchdog(const struct reader *r, const struct section *top,
                     struct config *c) MUST_CHECK;
int section_log(const struct reader *r, const struct section *top, struct config *c) MUST_CHECK;

#endif
