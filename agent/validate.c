/* First what the document says by itself (config_faults), then what it means here: ports, files,
 * programs, the data directory, an etcd that answers. Nothing is changed; each check says one line,
 * which names key, fault and remedy. */
#include "agent/validate.h"

#include "agent/config/config.h"
#include "agent/config/config_faults.h"
#include "agent/config/yaml.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/pg_parse.h"
#include "pgctl/pg_programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 3000

struct validation {
    const struct config *config;
    json_t *faults;
};

static void add(struct validation *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct validation *v, const char *fmt, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    char *line = mem_printf("%s: %s", v->config->path, text);
    config_faults_add(v->faults, line);
    mem_free(line);
}

/* --- addresses -------------------------------------------------------------------------------- */

static struct addrinfo *look_up(const char *host, uint16_t port, int flags, const char **ret_why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(host[0] == '\0' ? NULL : host, service, &hints, &found);
    *ret_why = rc == EAI_SYSTEM ? strerror(errno) : rc != 0 ? gai_strerror(rc) : NULL;
    return rc == 0 ? found : NULL;
}

/* NULL = it could be listened on. */
static const char *why_not_bound(const char *host, uint16_t port)
{
    const char *why = NULL;
    struct addrinfo *found = look_up(host, port, AI_PASSIVE, &why);
    for (struct addrinfo *at = found; at != NULL && why == NULL; at = at->ai_next) {
        int on = 1;
        int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (fd < 0) {
            continue; /* no IPv6 here: the others count */
        }
        if (at->ai_family == AF_INET6) { /* a port of IPv4 is looked at by itself */
            (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        why = bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, 1) == 0 ? NULL
                                                                               : strerror(errno);
        (void)close(fd);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return why;
}

/* `host` may be a list with commas, as PostgreSQL's is. */
static void check_listener(struct validation *v, const char *key,
                           const struct config_address *address)
{
    if (address->text == NULL) {
        return;
    }
    char *hosts = mem_strdup(address->host);
    char *rest = hosts;
    for (char *host = strsep(&rest, ","); host != NULL; host = strsep(&rest, ",")) {
        const char *why = why_not_bound(host, address->port);
        if (why != NULL) {
            add(v,
                "%s: '%.100s' port %u cannot be listened on: %s: give an address of this host and "
                "a free port, or -i if it is this member that runs there",
                key, host[0] == '\0' ? "*" : host, address->port, why);
        }
    }
    mem_free(hosts);
}

static void check_listeners(struct validation *v)
{
    const struct config *c = v->config;
    check_listener(v, "restapi.listen", &c->restapi_listen);
    check_listener(v, "postgresql.listen", &c->postgresql.listen);
    check_listener(v, c->raft.bind.text == c->raft.self.text ? "raft.self_addr" : "raft.bind_addr",
                   &c->raft.bind);
    check_listener(v, "etcd_server.listen", &c->etcd_server.listen);
}

/* What the others are told: from there it is themselves. */
static void check_told(struct validation *v, const char *key, const struct config_address *address)
{
    static const char *const own[] = {"127.0.0.1", "::1", "localhost"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (address->text != NULL && strcasecmp(address->host, own[i]) == 0) {
            add(v,
                "%s: '%s' leads every other host to itself: give the address that reaches this "
                "node from the others",
                key, address->text);
        }
    }
}

/* --- etcd ------------------------------------------------------------------------------------- */

static const char *why_not_connected(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, at->ai_protocol);
    int failed = fd < 0 ? errno : 0;
    if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
        struct pollfd waits = {.fd = fd, .events = POLLOUT};
        socklen_t len = sizeof(failed);
        failed = errno;
        if (failed == EINPROGRESS) {
            failed = poll(&waits, 1, CONNECT_MS) == 1 ? 0 : ETIMEDOUT;
        }
        if (failed == 0) {
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return failed == 0 ? NULL : strerror(failed);
}

/* "http://10.0.0.4:2379": one address of those that the name has is enough. */
static void check_url(struct validation *v, const char *section, const char *url)
{
    struct config_address address = {0};
    struct error unused = {0};
    const char *text = strstr(url, "://");
    const char *why = NULL;
    text = text != NULL ? text + 3 : url;
    if (config_address_parse(text, 2379, &address, &unused) != 0) {
        return; /* read once already: it is one */
    }
    struct addrinfo *found = look_up(address.host, address.port, 0, &why);
    bool reached = false;
    for (struct addrinfo *at = found; at != NULL && !reached; at = at->ai_next) {
        why = why_not_connected(at);
        reached = why == NULL;
    }
    if (!reached) {
        add(v, "%s: '%.150s' cannot be reached: %s: start etcd there, or give another address",
            section, url, why != NULL ? why : "it has no address");
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    mem_free((char *)(uintptr_t)address.text);
    mem_free((char *)(uintptr_t)address.host);
}

/* --- the instance ----------------------------------------------------------------------------- */

/* False: nothing in it but what is hidden; or it is not there. */
static bool has_something(struct validation *v, const char *path)
{
    const struct dirent *entry;
    bool found = false;
    DIR *dir = opendir(path);
    if (dir == NULL && errno != ENOENT) {
        add(v,
            "postgresql.data_dir: '%.200s' cannot be read: %s: run this as the user of pgquorum, "
            "or give another directory",
            path, strerror(errno));
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        found = found || (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                          strcmp(entry->d_name, "lost+found") != 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return found;
}

static void check_data_dir(struct validation *v, const char *data_dir, int major)
{
    char text[32] = "";
    int of_data = 0;
    struct error err = {0};
    if (!has_something(v, data_dir)) {
        return;
    }
    char *path = mem_printf("%s/PG_VERSION", data_dir);
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fgets(text, sizeof(text), file) != NULL;
    if (file != NULL) {
        (void)fclose(file);
    }
    mem_free(path);
    if (!read || pg_version_parse(text, &of_data, &err) != 0) {
        add(v,
            "postgresql.data_dir: '%.200s' has something in it, and no PG_VERSION: give an empty "
            "directory, one that is not there, or a data directory of PostgreSQL",
            data_dir);
    } else if (major != 0 && of_data != major) {
        add(v,
            "postgresql.bin_dir: its programs are of PostgreSQL %d, and data_dir is of %d: give "
            "the programs of that version",
            major, of_data);
    }
}

static void check_instance(struct validation *v)
{
    struct pg_programs programs = {.major = 0};
    struct error err = {0};
    if (v->config->postgresql.data_dir == NULL) {
        return;
    }
    if (pg_programs_find(v->config->postgresql.bin_dir, &v->config->postgresql.programs, &programs,
                         &err) != 0) {
        add(v, "%s%s",
            strncmp(err.text, "postgresql.", 11) == 0 ? "" : "postgresql.bin_dir: ", err.text);
    } else if (v->config->postgresql.guard && !programs.has_guard) {
        add(v, "%s", programs.guard_why);
    }
    check_data_dir(v, v->config->postgresql.data_dir, programs.major);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void check_host(struct validation *v, bool ports)
{
    const struct config *c = v->config;
    struct error err;
    check_told(v, "restapi.connect_address", &c->restapi_connect);
    check_told(v, "postgresql.connect_address", &c->postgresql.connect);
    for (size_t i = 0; config_check_place(c, i, &err); i++) {
        if (err.code != 0) {
            config_faults_add(v->faults, err.text);
        }
    }
    for (size_t i = 0; i < c->etcd.url_count; i++) {
        check_url(v, c->store == CONFIG_STORE_ETCD2 ? "etcd" : "etcd3", c->etcd.urls[i]);
    }
    check_instance(v);
    if (ports) {
        check_listeners(v);
    }
}

/* As config_faults puts them in place. */
static bool is_stand_in(const char *fault)
{
    return strstr(fault, "'/nonexistent/") != NULL || strstr(fault, "'192.0.2.1'") != NULL ||
           strstr(fault, "//192.0.2.1:") != NULL;
}

/* What stands in for missing keys is nobody's mistake. */
static void drop_stand_ins(json_t *faults, size_t from)
{
    for (size_t i = json_array_size(faults); i > from; i--) {
        if (is_stand_in(json_string_value(json_array_get(faults, i - 1)))) {
            (void)json_array_remove(faults, i - 1);
        }
    }
}

static int print(const json_t *tree)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    json_t *shown = config_without_secrets(tree);
    int rc = yaml_write(shown, &out, &err);
    if (rc == 0) {
        (void)fwrite(out.data, 1, out.len, stdout);
        rc = fflush(stdout);
    } else {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    buf_free(&out);
    json_decref(shown);
    return rc == 0 ? 0 : 1;
}

static int validate_tree(const struct validate_options *options, const struct config_source *source,
                         json_t *tree)
{
    struct config config;
    struct config_warnings warnings = {0};
    json_t *given = json_deep_copy(tree);
    json_t *faults = json_array();
    config_faults(source, tree, faults, &config, &warnings);
    if (config.memory != NULL) {
        struct validation v = {.config = &config, .faults = faults};
        size_t known = json_array_size(faults);
        check_host(&v, !options->ignore_listen_ports);
        if (known > 0) {
            drop_stand_ins(faults, known);
        }
    }
    for (size_t i = 0; i < warnings.count && i < CONFIG_WARNINGS_MAX; i++) {
        (void)fprintf(stderr, "warning: %s\n", warnings.texts[i]);
    }
    for (size_t i = 0; i < json_array_size(faults); i++) {
        (void)fprintf(stderr, "%s\n", json_string_value(json_array_get(faults, i)));
    }
    int status = json_array_size(faults) > 0 ? 1 : 0;
    if (status == 0 && options->print) {
        status = print(given);
    }
    json_decref(faults);
    json_decref(given);
    config_warnings_free(&warnings);
    config_free(&config);
    return status;
}

int validate_run(const struct validate_options *options)
{
    struct config_source source = {0};
    struct error err = {0};
    json_t *tree = NULL;
    if (config_load_tree(options->path, &source, &tree, &err) != 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int status = validate_tree(options, &source, tree);
    json_decref(tree);
    config_source_free(&source);
    return status;
}
