/* The table, and what of it can be checked without a connection. */
#include "pgctl/pg_security.h"

#include "pgctl/conf/pg_conf.h"

#include <ctype.h>
#include <string.h>

#define VALUE_BYTES_MAX 900 /* a line of a service file has 1023 bytes in libpq 13 */

/* PostgreSQL documentation, "Parameter Key Words" of libpq. */
/* clang-format off */
const struct pg_security_row pg_security_rows[PG_SECURITY_COUNT] = {
    [PG_SECURITY_SSLMODE] =
        {"sslmode", PG_SECURITY_WORD, "disable allow prefer require verify-ca verify-full", 0, 0},
    [PG_SECURITY_SSLCERT] = {"sslcert", PG_SECURITY_FILE, "", 0, 0},
    [PG_SECURITY_SSLKEY] = {"sslkey", PG_SECURITY_FILE, "", 0, 0},
    [PG_SECURITY_SSLPASSWORD] = {"sslpassword", PG_SECURITY_SECRET, "", 13, 0},
    [PG_SECURITY_SSLROOTCERT] = {"sslrootcert", PG_SECURITY_FILE, "system", 0, 16},
    [PG_SECURITY_SSLCRL] = {"sslcrl", PG_SECURITY_FILE, "", 0, 0},
    [PG_SECURITY_SSLCRLDIR] = {"sslcrldir", PG_SECURITY_FILE, "", 14, 0},
    [PG_SECURITY_SSLNEGOTIATION] = {"sslnegotiation", PG_SECURITY_WORD, "postgres direct", 17, 0},
    [PG_SECURITY_GSSENCMODE] = {"gssencmode", PG_SECURITY_WORD, "disable prefer require", 12, 0},
    [PG_SECURITY_CHANNEL_BINDING] =
        {"channel_binding", PG_SECURITY_WORD, "disable prefer require", 13, 0},
    [PG_SECURITY_KRBSRVNAME] = {"krbsrvname", PG_SECURITY_COMMON, "", 0, 0},
};
/* clang-format on */

bool pg_security_has_word(const struct pg_security_row *row, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = row->words; *at != '\0';) {
        size_t word_len = strcspn(at, " ");
        if (word_len == len && memcmp(at, word, len) == 0) {
            return true;
        }
        at += word_len + (at[word_len] == ' ' ? 1 : 0);
    }
    return false;
}

int pg_security_check(const struct pg_security *security, const char *where, int major,
                      const char *whose, struct error *err)
{
    for (size_t i = 0; i < PG_SECURITY_COUNT; i++) {
        const struct pg_security_row *row = &pg_security_rows[i];
        const char *value = security->values[i];
        if (value == NULL) {
            continue;
        }
        size_t len = strlen(value);
        if (!pg_conf_is_line(value) || len > VALUE_BYTES_MAX ||
            (len > 0 && isspace((unsigned char)value[len - 1]))) {
            return error_set(err, ERR_INVALID,
                             "%s.%s has a control character, a space at its end, or more than %d "
                             "bytes",
                             where, row->name, VALUE_BYTES_MAX);
        }
        if (major < row->since) {
            return error_set(err, ERR_UNSUPPORTED,
                             "%s.%s is not known before version %d, and %s has version %d: take it "
                             "out",
                             where, row->name, row->since, whose, major);
        }
        if (major < row->words_since && pg_security_has_word(row, value)) {
            return error_set(err, ERR_UNSUPPORTED,
                             "%s.%s: '%s' is not known before version %d, and %s has version %d: "
                             "give a file",
                             where, row->name, value, row->words_since, whose, major);
        }
    }
    return 0;
}
