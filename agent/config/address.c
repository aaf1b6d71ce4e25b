/* The port begins behind the last ':', the host in front of it may stand in brackets, and a list
 * (PostgreSQL's `listen` alone) has its port at its end. Hosts come out bare: without brackets, and
 * in a list without the spaces that Patroni takes there, too. */
#include "agent/config/address.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE_BYTES 96

/* Where the port begins (after its ':'), or NULL. "::1" without brackets has none; a list has it at
 * its end. */
static const char *port_of(const char *text)
{
    const char *colon = strrchr(text, ':');
    bool list = strchr(text, ',') != NULL;
    if (colon == NULL || (!list && text[0] == '[' && colon[-1] != ']') ||
        (!list && text[0] != '[' && strchr(text, ':') != colon)) {
        return NULL;
    }
    return colon + 1;
}

static bool port_number(const char *text, uint16_t *ret_port)
{
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len) {
        return false;
    }
    long port = strtol(text, NULL, 10);
    *ret_port = (uint16_t)port;
    return port >= 1 && port <= UINT16_MAX;
}

/* One host; brackets round it are gone already. "fd00:" is what is left of "fd00::1" when its last
 * part was taken for the port. */
static bool host_allowed(const char *host, size_t len)
{
    bool cut = len >= 1 && host[len - 1] == ':' && (len == 1 || host[len - 2] != ':');
    return len < PG_HOST_BYTES && !cut && strcspn(host, " \t/[]") >= len;
}

static void trim(const char **start, size_t *len, char open, char close)
{
    while (*len > 0 && **start == open) {
        (*start)++;
        (*len)--;
    }
    while (*len > 0 && (*start)[*len - 1] == close) {
        (*len)--;
    }
}

/* Of a list with commas; NULL behind the last. */
static const char *next_host(const char *host)
{
    const char *comma = strchr(host, ',');
    return comma != NULL ? comma + 1 : NULL;
}

/* NULL if one of them is none. Free with mem_free. */
static char *hosts_normal(const char *list)
{
    struct buf out = BUF_INIT;
    for (; list != NULL; list = next_host(list)) {
        const char *host = list;
        size_t len = strcspn(list, ",");
        trim(&host, &len, ' ', ' ');
        trim(&host, &len, '[', ']');
        if (len == 0 || !host_allowed(host, len) || out.len + len + 1 >= PG_HOST_BYTES) {
            buf_free(&out);
            return NULL;
        }
        buf_printf(&out, "%s%.*s", out.len > 0 ? "," : "", (int)len, host);
    }
    return buf_take(&out);
}

static char *host_normal(const char *host)
{
    size_t len = strlen(host);
    if (strchr(host, ',') != NULL) {
        return hosts_normal(host);
    }
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    return host_allowed(host, len) ? mem_strndup(host, strcmp(host, "*") == 0 ? 0 : len) : NULL;
}

bool address_is_every(const char *host)
{
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static const char *example(const struct address_form *form, char ret_text[EXAMPLE_BYTES])
{
    (void)snprintf(ret_text, EXAMPLE_BYTES,
                   form->listener ? "host:port, such as 0.0.0.0:%u"
                                  : "host:port, such as 10.0.0.1:%u or [fd00::1]:%u",
                   form->usual_port, form->usual_port);
    return ret_text;
}

static int check_host(const char *text, const struct address_form *form, const char *host,
                      struct error *err)
{
    char right[EXAMPLE_BYTES];
    if (host == NULL || (!form->listener && strchr(host, ',') != NULL)) {
        return error_set(err, ERR_INVALID, "'%.100s' names no %s: give %s", text,
                         form->listener ? "host or list of hosts" : "one host",
                         example(form, right));
    }
    if (!form->listener && address_is_every(host)) {
        return error_set(err, ERR_INVALID,
                         "'%.100s' is every address of a host, and none to connect to: give the "
                         "one that reaches it, such as 10.0.0.1:%u",
                         text, form->usual_port);
    }
    return 0;
}

int address_parse(const char *text, const struct address_form *form,
                  struct config_address *ret_address, struct error *err)
{
    char right[EXAMPLE_BYTES];
    const char *port_text = port_of(text);
    uint16_t port = form->default_port;
    if (strstr(text, "://") != NULL) {
        return error_set(err, ERR_INVALID, "'%.100s' is a URL: give %s", text,
                         example(form, right));
    }
    if (port_text == NULL && form->default_port == 0) {
        return error_set(err, ERR_INVALID, "'%.100s' has no port: give %s", text,
                         example(form, right));
    }
    if (port_text != NULL && !port_number(port_text, &port)) {
        return error_set(err, ERR_INVALID, "'%.100s' has no port from 1 to 65535: give %s", text,
                         example(form, right));
    }
    char *given =
        mem_strndup(text, port_text != NULL ? (size_t)(port_text - text) - 1 : strlen(text));
    char *host = host_normal(given);
    int rc = check_host(text, form, host, err);
    mem_free(given);
    if (rc != 0) {
        mem_free(host);
        return rc;
    }
    bool brackets = strchr(host, ':') != NULL && strchr(host, ',') == NULL;
    ret_address->text = mem_printf(brackets ? "[%s]:%u" : "%s:%u", host, port);
    ret_address->host = host;
    ret_address->port = port;
    return 0;
}

int config_address_parse(const char *text, uint16_t port, struct config_address *ret_address,
                         struct error *err)
{
    struct address_form form = {.default_port = port, .usual_port = port};
    return address_parse(text, &form, ret_address, err);
}

/* Is the host `other` (of `other_len` bytes) among the addresses that the one at `host` stands for?
 */
static bool host_covers(const char *host, size_t len, const char *other, size_t other_len)
{
    bool every =
        len == 0 || (len == 1 && host[0] == '*') || (len == 2 && memcmp(host, "::", 2) == 0);
    bool every_v4 =
        len == 7 && memcmp(host, "0.0.0.0", 7) == 0 && memchr(other, ':', other_len) == NULL;
    return every || every_v4 || (len == other_len && memcmp(host, other, len) == 0);
}

bool address_meets(const struct config_address *a, const struct config_address *b)
{
    bool meet = false;
    if (a->text == NULL || b->text == NULL || a->port != b->port) {
        return false;
    }
    for (const char *host = a->host; host != NULL; host = next_host(host)) {
        for (const char *other = b->host; other != NULL; other = next_host(other)) {
            size_t len = strcspn(host, ",");
            size_t other_len = strcspn(other, ",");
            meet = meet || host_covers(host, len, other, other_len) ||
                   host_covers(other, other_len, host, len);
        }
    }
    return meet;
}
