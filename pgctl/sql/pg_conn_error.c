/* PURE. Before login libpq keeps no SQLSTATE for us, and a server's words are in the language of
 * its lc_messages, even the word FATAL. With PQERRORS_VERBOSE each server's message has the code,
 * in one form in every language (pqBuildErrorMessage3, 13 to 17):
 *
 *     <libpq's own prefix> <severity>:  <SQLSTATE>: <words>\n ... LOCATION:  <function>,
 * <file>.c:<line>\n
 *
 * A message without one was made by libpq: nobody listens, the connection broke, or the server
 * asked for a password that we do not have (libpq says that apart from its words). */
#include "pgctl/sql/pg_conn_error.h"

#include <stdio.h>
#include <string.h>

#define SQLSTATE_LEN 5

/* By their beginnings. What is not here came from a server that answered and let us
 * not in: that may pass (57P01 shutdown, 57P03 starting up, 53300 too many clients, 58 disk). */
static const struct {
    const char *sqlstate; /* or its class */
    int code;
} meanings[] = {
    {"28", ERR_PERMISSION},    /* password, peer, pg_hba.conf, no such role, no right to log in */
    {"3D000", ERR_PERMISSION}, /* no such database */
    {"42501", ERR_PERMISSION}, /* no right to connect to it, or to be a walsender */
};

static bool is_state_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

/* The last one: libpq tries again without encryption, and what came of that counts. */
static const char *find_sqlstate(const char *message)
{
    const char *found = NULL;

    for (const char *at = strstr(message, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
        const char *state = at + strlen(":  ");
        size_t len = 0;
        while (len < SQLSTATE_LEN && is_state_char(state[len])) {
            len++;
        }
        if (len == SQLSTATE_LEN && state[len] == ':' && state[len + 1] == ' ') {
            found = state;
        }
    }
    return found;
}

/* "LOCATION:  auth_failed, auth.c:335", whatever the first word is in the server's language. */
static bool is_location(const char *line, size_t len)
{
    size_t digits = 0;
    while (digits < len && line[len - 1 - digits] >= '0' && line[len - 1 - digits] <= '9') {
        digits++;
    }
    return digits > 0 && len > digits + 3 && memcmp(line + len - digits - 3, ".c:", 3) == 0;
}

static void put_words(const char *message, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    while (*message != '\0' && used < size) {
        size_t len = strcspn(message, "\n");
        if (len > 0 && !is_location(message, len)) {
            int put = snprintf(ret_text + used, size - used, "%s%.*s", used > 0 ? " " : "",
                               (int)len, message);
            used += put > 0 ? (size_t)put : 0;
        }
        message += len + (message[len] == '\n' ? 1 : 0);
    }
}

int pg_conn_error_read(const char *message, bool needs_password, struct error *ret_err)
{
    const char *sqlstate = find_sqlstate(message);
    char text[ERROR_TEXT_BYTES];
    int code = ERR_CLOSED;

    if (sqlstate != NULL) {
        code = ERR_UNAVAILABLE;
        for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
            if (strncmp(sqlstate, meanings[i].sqlstate, strlen(meanings[i].sqlstate)) == 0) {
                code = meanings[i].code;
            }
        }
    } else if (needs_password) {
        code = ERR_PERMISSION;
    }
    put_words(message, text, sizeof text);
    return error_set(ret_err, code, "%s", text);
}
