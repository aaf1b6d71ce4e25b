/* PURE. What an unquoted YAML scalar means: YAML 1.1 as PyYAML reads it, because the files that we
 * read were written for Patroni. `on` is a boolean, 0777 octal, 12:30:45 a number in base 60, and
 * 1e3 is text. */
#ifndef AGENT_CONFIG_YAML_SCALAR_H
#define AGENT_CONFIG_YAML_SCALAR_H

#include "base/err.h"

#include <jansson.h>
#include <stddef.h>

enum yaml_plain {
    YAML_PLAIN_TEXT,
    YAML_PLAIN_NULL,
    YAML_PLAIN_BOOL,
    YAML_PLAIN_INT,
    YAML_PLAIN_FLOAT,
    YAML_PLAIN_TIMESTAMP, /* stays text: JSON has no time */
    YAML_PLAIN_MERGE,     /* << */
    YAML_PLAIN_VALUE,     /* =: text for us, but no reader agrees on it: quote it */
};

enum yaml_plain yaml_plain_kind(const char *text, size_t len);

/* The value of a scalar of that kind, as a new reference. ERR_INVALID: a number beyond 64 bits,
 * .inf, .nan, digits that are only underscores. ERR_CORRUPT: not UTF-8. */
int yaml_plain_value(enum yaml_plain kind, const char *text, size_t len, json_t **ret_value,
                     struct error *err) MUST_CHECK;

#endif
