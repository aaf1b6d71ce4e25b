/* A password is sent as a verifier, made by us: whoever reads the server's log, statistics or
 * memory dump has no password from it. The verifier is a secret all the same (an MD5 hash logs in),
 * so the session is made quiet before: every setting by which a statement's text may get into the
 * log, and the extensions known to keep it. One that is not loaded takes its setting for a user's
 * own, and nobody reads it. */
#include "pgctl/conf/pg_password.h"

#include <stddef.h>
#include <string.h>

#define BASE64             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define SCRAM_BEGIN        "SCRAM-SHA-256$"
#define SHA256_BASE64      44 /* 32 bytes, with one '=' */
#define MD5_BEGIN          "md5"
#define MD5_DIGITS         32

#define QUIET(name, value) ", pg_catalog.set_config('" name "', '" value "', false)"

/* clang-format off */
const char pg_password_quiet_sql[] =
    "SELECT pg_catalog.current_setting('password_encryption')"
    QUIET("log_statement", "none")
    QUIET("log_min_duration_statement", "-1")
    QUIET("log_min_duration_sample", "-1")
    QUIET("log_transaction_sample_rate", "0")
    QUIET("log_min_error_statement", "panic")
    QUIET("debug_print_parse", "off") /* 16 and 17 print a CREATE ROLE whole */
    QUIET("debug_print_rewritten", "off")
    QUIET("debug_print_plan", "off")
    QUIET("track_activities", "off")
    QUIET("auto_explain.log_min_duration", "-1")
    QUIET("pg_stat_statements.track", "none")
    QUIET("pgaudit.log", "none");
/* clang-format on */

/* Moves past `count` characters of base64, any number if 0, and the padding; false if they are not
 * there. */
static bool skip_base64(const char **at, size_t count)
{
    size_t len = strspn(*at, BASE64);
    size_t padded = len + strspn(*at + len, "=");
    *at += padded;
    return len > 0 && padded % 4 == 0 && padded - len <= 2 && (count == 0 || padded == count);
}

static bool skip_char(const char **at, char c)
{
    bool there = **at == c;
    *at += there ? 1 : 0;
    return there;
}

bool pg_password_is_verifier(const char *password)
{
    const char *at = password;

    if (strncmp(at, MD5_BEGIN, strlen(MD5_BEGIN)) == 0) {
        at += strlen(MD5_BEGIN);
        return strlen(at) == MD5_DIGITS && strspn(at, "0123456789abcdef") == MD5_DIGITS;
    }
    if (strncmp(at, SCRAM_BEGIN, strlen(SCRAM_BEGIN)) != 0) {
        return false;
    }
    at += strlen(SCRAM_BEGIN);
    size_t digits = strspn(at, "0123456789");
    at += digits;
    return digits > 0 && skip_char(&at, ':') && skip_base64(&at, 0) && skip_char(&at, '$') &&
           skip_base64(&at, SHA256_BASE64) && skip_char(&at, ':') &&
           skip_base64(&at, SHA256_BASE64) && *at == '\0';
}
