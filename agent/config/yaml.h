/* YAML 1.1 text <-> JSON tree. PURE apart from libyaml's own memory: no files.
 *
 * Reading resolves plain scalars as PyYAML (yaml_scalar.h), anchors, aliases (expanded, within a
 * bound) and merge keys
 * (`<<`). Refused, with the line: duplicate keys (PyYAML takes the last one, which hides a
 * mistake), keys that are no scalars, tags of applications, a second document, NUL characters, and
 * whatever goes over a limit below. Keys are text as written. */
#ifndef AGENT_CONFIG_YAML_H
#define AGENT_CONFIG_YAML_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#include <jansson.h>

#define YAML_BYTES_MAX ((size_t)1024 * 1024)
#define YAML_DEPTH_MAX 64
#define YAML_NODES_MAX 50000 /* after the expansion of aliases: a "billion laughs" ends here */

/* The only document of `text` as a new reference; an empty text is null. ERR_INVALID, ERR_LIMIT;
 * `err` begins with "line N: ". */
int yaml_parse(struct span text, json_t **ret_tree, struct error *err) MUST_CHECK;

/* One value on a command line: "on", "[1, 2]", "{a: b}". As yaml_parse, without the line. */
int yaml_parse_value(const char *text, json_t **ret_value, struct error *err) MUST_CHECK;

/* Block style, sorted keys, 200 columns, as `patronictl show-config` prints; appended to `out`.
 * What a reader would take for something else is quoted. ERR_LIMIT beyond YAML_DEPTH_MAX. */
int yaml_write(const json_t *tree, struct buf *out, struct error *err) MUST_CHECK;

/* The same value on one line, {a: b, c: [1]}, without a line end. */
int yaml_write_flow(const json_t *tree, struct buf *out, struct error *err) MUST_CHECK;

#endif
