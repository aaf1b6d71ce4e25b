/* A key that nobody reads is how a typing mistake looks. Patroni takes unknown keys silently; we do
 * too when they are far from every name there is, with a warning, and refuse the near ones:
 * `retry_timeuot: 5` was meant to do something. */
#include "agent/config/known_keys.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define KEY_BYTES_MAX 64 /* longer ones are near to nothing */

/* clang-format off */
#define SECTION(list, key, path, keys, fallback, effect, meaning) {#list, #key, KNOWN_SERVED, "", effect},
#define KEY(list, key, fallback, values, effect, meaning, test) {#list, #key, KNOWN_SERVED, "", effect},
#define NO_EFFECT(list, key, instead) {#list, #key, KNOWN_NO_EFFECT, instead, ""},
#define REFUSED(list, key, why, instead) {#list, #key, KNOWN_REFUSED, instead, ""},
#define REFUSED_EMPTY(list, key, why, instead) {#list, #key, KNOWN_REFUSED_EMPTY, instead, ""},
const struct known_key known_keys[] = {
#include "agent/config/keys.def"
    {NULL, NULL, KNOWN_SERVED, NULL, NULL},
};

#define SECTION(list, key, path, keys, fallback, effect, meaning) {path, #keys},
const struct known_section known_sections[] = {
    {"", "top"},
#include "agent/config/keys.def"
    {NULL, NULL},
};
/* clang-format on */

static char fold(char c)
{
    return (char)(c == '-' ? '_' : tolower((unsigned char)c));
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Optimal string alignment: a swap of two neighbours is one edit. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][KEY_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            char x = fold(a[i - 1]);
            char y = fold(b[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x == y ? 0 : 1));
            if (i > 1 && j > 1 && x == fold(b[j - 2]) && fold(a[i - 2]) == y) {
                row[j] = least(row[j], two_above[j - 2] + 1, row[j]);
            }
        }
    }
    return rows[a_len % 3][b_len];
}

const struct known_key *known_keys_find(const char *list, const char *key)
{
    for (const struct known_key *row = known_keys; row->list != NULL; row++) {
        if (strcmp(row->list, list) == 0 && strcmp(row->key, key) == 0) {
            return row;
        }
    }
    return NULL;
}

bool known_keys_is_changeable(const struct known_key *row)
{
    static const char *const words[] = {"at once", "new cluster"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(row->effect, words[i], strlen(words[i])) == 0) {
            return true;
        }
    }
    return row->status != KNOWN_SERVED; /* it does nothing, now as before */
}

const struct known_section *known_sections_find(const char *path)
{
    for (const struct known_section *known = known_sections; known->path != NULL; known++) {
        if (strcmp(known->path, path) == 0) {
            return known;
        }
    }
    return NULL;
}

bool known_keys_has(const char *list, const char *key)
{
    return known_keys_find(list, key) != NULL;
}

const char *known_keys_near(const char *list, const char *key)
{
    size_t len = strlen(key);
    const char *best = NULL;
    size_t best_distance = len >= 6 ? 3 : 2; /* exclusive */
    if (known_keys_has(list, key) || len < 3 || len > KEY_BYTES_MAX) {
        return NULL;
    }
    for (const struct known_key *row = known_keys; row->list != NULL; row++) {
        size_t known_len = strlen(row->key);
        if (strcmp(row->list, list) != 0 || known_len > KEY_BYTES_MAX) {
            continue;
        }
        size_t d = distance(key, len, row->key, known_len);
        if (d < best_distance) {
            best = row->key;
            best_distance = d;
        }
    }
    return best;
}
