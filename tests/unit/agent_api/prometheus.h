/* A strict reader of the text format of Prometheus: what promtool would refuse fails the test. */
#ifndef TESTS_AGENT_API_PROMETHEUS_H
#define TESTS_AGENT_API_PROMETHEUS_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PROM_METRICS_MAX = 128, PROM_NAME_BYTES = 96, PROM_LABEL_BYTES = 256 };

struct prom_metric {
    char name[PROM_NAME_BYTES];
    bool has_help;
    char type[16]; /* "" = not said yet */
    unsigned samples;
    double value;                 /* of the last one */
    char scope[PROM_LABEL_BYTES]; /* labels, unescaped */
    char member[PROM_LABEL_BYTES];
    /* The other labels of the last sample, as they stand there; each sample has others. */
    char others[PROM_LABEL_BYTES];
};

struct prom {
    size_t count;
    struct prom_metric metrics[PROM_METRICS_MAX];
};

static inline struct prom_metric *prom_find(struct prom *prom, const char *name)
{
    for (size_t i = 0; i < prom->count; i++) {
        if (strcmp(prom->metrics[i].name, name) == 0) {
            return &prom->metrics[i];
        }
    }
    return NULL;
}

/* A name at *at, which goes past it. */
static inline void prom_take_name(const char **at, bool colons, char *ret_name)
{
    size_t len = 0;
    while (isalpha((unsigned char)(*at)[len]) || (*at)[len] == '_' ||
           (colons && (*at)[len] == ':') || (len > 0 && isdigit((unsigned char)(*at)[len]))) {
        len++;
    }
    assert_in_range(len, 1, PROM_NAME_BYTES - 1);
    memcpy(ret_name, *at, len);
    ret_name[len] = '\0';
    *at += len;
}

static inline void prom_take(const char **at, char wanted)
{
    assert_int_equal(**at, wanted);
    (*at)++;
}

static inline void prom_take_quoted(const char **at, char *ret_text)
{
    size_t len = 0;
    prom_take(at, '"');
    while (**at != '"') {
        char c = *(*at)++;
        assert_true(c != '\0' && c != '\n' && len < PROM_LABEL_BYTES - 1);
        if (c == '\\') {
            c = *(*at)++;
            assert_true(c == '\\' || c == '"' || c == 'n');
            c = c == 'n' ? '\n' : c;
        }
        ret_text[len++] = c;
    }
    ret_text[len] = '\0';
    prom_take(at, '"');
}

/* The metric that the last lines were about: a sample may only follow its own TYPE. */
static inline struct prom_metric *prom_last(struct prom *prom)
{
    assert_true(prom->count > 0);
    return &prom->metrics[prom->count - 1];
}

static inline void prom_comment(struct prom *prom, const char *line)
{
    char name[PROM_NAME_BYTES];
    const char *at = line + 2;
    if (strncmp(line, "# HELP ", 7) == 0) {
        at = line + 7;
        prom_take_name(&at, true, name);
        prom_take(&at, ' ');
        assert_true(*at != '\0' && strchr(at, '\\') == NULL);
        assert_null(prom_find(prom, name)); /* once, and before everything else of it */
        assert_in_range(prom->count, 0, PROM_METRICS_MAX - 1);
        struct prom_metric *metric = &prom->metrics[prom->count++];
        memcpy(metric->name, name, sizeof name);
        metric->has_help = true;
    } else if (strncmp(line, "# TYPE ", 7) == 0) {
        at = line + 7;
        prom_take_name(&at, true, name);
        prom_take(&at, ' ');
        struct prom_metric *metric = prom_last(prom);
        assert_string_equal(metric->name, name);
        assert_string_equal(metric->type, "");
        assert_true(strcmp(at, "gauge") == 0 || strcmp(at, "counter") == 0 ||
                    strcmp(at, "histogram") == 0);
        memcpy(metric->type, at, strlen(at) + 1);
    } else {
        assert_true(line[1] == ' '); /* any other comment */
    }
}

static inline void prom_sample(struct prom *prom, const char *line)
{
    char name[PROM_NAME_BYTES];
    char *end = NULL;
    const char *at = line;
    struct prom_metric *metric = prom_last(prom);
    prom_take_name(&at, true, name);
    bool histogram = strcmp(metric->type, "histogram") == 0;
    size_t len = strlen(metric->name);
    assert_memory_equal(metric->name, name, len);
    assert_true(histogram ? strcmp(name + len, "_bucket") == 0 || strcmp(name + len, "_sum") == 0 ||
                                strcmp(name + len, "_count") == 0
                          : name[len] == '\0');
    assert_true(metric->has_help && metric->type[0] != '\0');
    prom_take(&at, '{');
    prom_take_name(&at, false, name);
    assert_string_equal(name, "scope");
    prom_take(&at, '=');
    prom_take_quoted(&at, metric->scope);
    prom_take(&at, ',');
    prom_take_name(&at, false, name);
    assert_string_equal(name, "name");
    prom_take(&at, '=');
    prom_take_quoted(&at, metric->member);
    const char *others = at;
    while (*at == ',') {
        char value[PROM_LABEL_BYTES];
        at++;
        prom_take_name(&at, false, name);
        prom_take(&at, '=');
        prom_take_quoted(&at, value);
    }
    size_t others_len = (size_t)(at - others);
    assert_in_range(others_len, 0, PROM_LABEL_BYTES - 1);
    if (metric->samples++ > 0 && !histogram) {
        assert_true(others_len != strlen(metric->others) ||
                    memcmp(metric->others, others, others_len) != 0);
    }
    memcpy(metric->others, others, others_len);
    metric->others[others_len] = '\0';
    prom_take(&at, '}');
    prom_take(&at, ' ');
    assert_true(*at == '-' || isdigit((unsigned char)*at));
    metric->value = strtod(at, &end);
    assert_string_equal(end, "");
    assert_true(strcmp(metric->type, "counter") != 0 || metric->value >= 0);
}

/* Reads all of `text`; every metric has its HELP and TYPE, and samples that differ. */
static inline void prom_read(const char *text, struct prom *ret_prom)
{
    char line[1024];
    memset(ret_prom, 0, sizeof *ret_prom);
    assert_true(text[0] != '\0' && text[strlen(text) - 1] == '\n');
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        assert_in_range(len, 1, sizeof line - 1);
        memcpy(line, text, len);
        line[len] = '\0';
        assert_null(strchr(line, '\r'));
        if (line[0] == '#') {
            prom_comment(ret_prom, line);
        } else {
            prom_sample(ret_prom, line);
        }
        text += len + 1;
    }
}

#endif
