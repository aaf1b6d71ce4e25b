/* PURE. Typed access to a section of the document: each getter either gives a checked value or one
 * line that names file and key, what is wrong, and what would be right. Private to agent/config. */
#ifndef AGENT_CONFIG_READER_H
#define AGENT_CONFIG_READER_H

#include "agent/config/address.h"
#include "agent/config/config.h"

struct reader {
    const char *path; /* of the file, for messages; NULL = there is none */
    struct config_memory *memory;
    struct config_warnings *warnings; /* may be NULL */
    const char *const *environment;   /* merged already; for messages. May be NULL */
    struct error *err;
};

/* A section and its name: {"raft", object}. `object` is NULL where the file has none. */
struct section {
    const char *name; /* "" = top level */
    const json_t *object;
};

/* Owns everything a configuration points to. */
struct config_memory *config_memory_new(void);
void config_memory_free(struct config_memory *memory);      /* NULL is accepted */
void *config_keep(struct config_memory *memory, void *ptr); /* a mem_* pointer; returned */
const char *config_keep_text(struct config_memory *memory, char *text);
json_t *config_keep_json(struct config_memory *memory, json_t *json); /* takes the reference */

int reader_fail(const struct reader *r, const struct section *s, const char *key, const char *fmt,
                ...) __attribute__((format(printf, 4, 5)));
void reader_warn(const struct reader *r, const struct section *s, const char *key, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

/* NULL for absent and null: an empty value in YAML is not given. */
const json_t *reader_get(const struct section *s, const char *key);
/* The section below; not there = object NULL. Anything but a mapping is an error. */
int reader_section(const struct reader *r, const struct section *s, const char *key,
                   const char *path, struct section *ret_section) MUST_CHECK;

enum reader_need { READER_OPTIONAL, READER_REQUIRED };

/* Optional and absent: the output is left alone. A whole number is taken as text, as Patroni does.
 */
int reader_text(const struct reader *r, const struct section *s, const char *key,
                enum reader_need need, const char **ret_text) MUST_CHECK;
int reader_bool(const struct reader *r, const struct section *s, const char *key,
                bool *ret_value) MUST_CHECK;
int reader_int(const struct reader *r, const struct section *s, const char *key, int minimum,
               int maximum, int *ret_value) MUST_CHECK;
int reader_address(const struct reader *r, const struct section *s, const char *key,
                   struct address_form form, enum reader_need need,
                   struct config_address *ret_address) MUST_CHECK;
/* What we listen on ourselves: a port has to be there, and no list. */
int reader_listener_one(const struct reader *r, const struct section *s, const char *key,
                        uint16_t usual_port, enum reader_need need,
                        struct config_address *ret_address) MUST_CHECK;
/* Of an address that is published in a URL of this form. */
int reader_check_url(const struct reader *r, const struct section *s, const char *key,
                     const char *before, const struct config_address *address,
                     const char *after) MUST_CHECK;
/* An absolute path without "." and ".." in it; `cwd` is where a relative one starts. */
int reader_path(const struct reader *r, const struct section *s, const char *key, const char *cwd,
                enum reader_need need, const char **ret_path) MUST_CHECK;
/* A list of texts, each one line. */
int reader_lines(const struct reader *r, const struct section *s, const char *key,
                 struct pg_lines *ret_lines) MUST_CHECK;
/* Options of a program: a list of "x" and {k: v}, or a mapping; gives "<dashes>x", "<dashes>k=v".
 * `forbidden` ends in NULL. */
int reader_options(const struct reader *r, const struct section *s, const char *key,
                   const char *dashes, const char *const *forbidden,
                   struct pg_lines *ret_lines) MUST_CHECK;

/* Lexical: "/a/./b/../c" -> "/a/c". Free with mem_free. */
char *reader_path_normal(const char *cwd, const char *path);
/* The one is the other, or lies in it. Both normal. */
bool reader_path_inside(const char *inner, const char *outer);

#endif
