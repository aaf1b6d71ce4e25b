/* PURE. `import-etcd --from`: which stores it may mean. */
#ifndef AGENT_CLI_IMPORT_SOURCE_H
#define AGENT_CLI_IMPORT_SOURCE_H

#include "base/err.h"

#include <stddef.h>

#define IMPORT_SOURCES_MAX 2

struct import_source {
    char *path;                     /* a configuration file; else NULL */
    char *urls[IMPORT_SOURCES_MAX]; /* as of --dcs-url: of one etcd's two APIs if none is named */
    const char *api[IMPORT_SOURCES_MAX];
    size_t url_count;
    char *scope; /* of `prefix`; NULL: none was given */
};

/* `from`: etcd3://HOST[:PORT], etcd://HOST[:PORT], http://HOST[:PORT], HOST:PORT, or a file.
 * `prefix` ("/db/postgres": namespace and scope; may be NULL) goes with an address alone;
 * `namespace_` is taken without it. */
int import_source_parse(const char *from, const char *prefix, const char *namespace_,
                        struct import_source *ret_source, struct error *err) MUST_CHECK;
void import_source_free(struct import_source *source);

#endif
