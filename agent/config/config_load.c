/* The effects round config.c: reading the file or the files of a directory, the environment, the
 * working directory and the home directory, and a second look at the two data directories through
 * symbolic links. */
#include "agent/config/config.h"
#include "agent/config/dcs_url.h"
#include "agent/config/dynamic.h"
#include "agent/config/environment.h"
#include "agent/config/reader.h"
#include "agent/config/yaml.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/net/addr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 65536
#define FILES_MAX  256 /* of a directory */

static int read_descriptor(int fd, const char *path, struct buf *out, struct error *err)
{
    for (;;) {
        buf_reserve(out, READ_CHUNK);
        ssize_t got = read(fd, out->data + out->len, READ_CHUNK);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set(err, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        }
        if (got == 0) {
            return 0;
        }
        out->len += (size_t)got;
        if (out->len > CONFIG_FILE_BYTES_MAX) {
            return error_set(err, ERR_LIMIT,
                             "%s: is larger than %zu bytes: give a configuration file", path,
                             CONFIG_FILE_BYTES_MAX);
        }
    }
}

static int read_file(const char *path, struct buf *out, struct error *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not hold us */
    if (fd < 0) {
        return error_set(err, err_from_errno(errno),
                         "%s: cannot be read: %s: give the path of a readable YAML file", path,
                         strerror(errno));
    }
    int rc = 0;
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        rc = error_set(err, ERR_INVALID,
                       "%s: is no regular file: give the path of a readable YAML file", path);
    } else {
        rc = read_descriptor(fd, path, out, err);
    }
    (void)close(fd);
    return rc;
}

/* A link may hide that one directory lies in the other. Directories that are not there yet have no
 * links. */
static int check_real_directories(const struct config *config, struct error *err)
{
    char raft[PATH_MAX];
    char postgresql[PATH_MAX];
    char conf[PATH_MAX];
    if (realpath(config->postgresql.data_dir, postgresql) == NULL) {
        return 0;
    }
    if (strcmp(config->postgresql.config_dir, config->postgresql.data_dir) != 0 &&
        realpath(config->postgresql.config_dir, conf) != NULL &&
        reader_path_inside(conf, postgresql)) {
        return error_set(err, ERR_INVALID,
                         "%s: postgresql.config_dir: '%.150s' lies in data_dir '%.150s', or is the "
                         "same: give one outside, or leave it out",
                         config->path, conf, postgresql);
    }
    if (realpath(config->state_dir, raft) != NULL &&
        (reader_path_inside(raft, postgresql) || reader_path_inside(postgresql, raft))) {
        return error_set(err, ERR_INVALID,
                         "%s: %s: '%.150s' and postgresql.data_dir '%.150s' lie one in "
                         "the other: give each a "
                         "directory of its own",
                         config->path, config_state_in_raft(config) ? "raft.data_dir" : "state_dir",
                         raft, postgresql);
    }
    return 0;
}

static bool may_be_host(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t len = strlen(text);
    return len > 0 && len < NET_HOST_BYTES && strspn(text, letters) == len &&
           strspn(text, "0123456789.") < len;
}

static int check_allowlist(const struct config *config, struct error *err)
{
    for (size_t i = 0; i < config->restapi.allowlist_count; i++) {
        const char *text = config->restapi.allowlist[i];
        struct net_network unused;
        int rc = net_network_parse(text, &unused, NULL);
        if (rc != 0 && (rc != ERR_NOT_FOUND || !may_be_host(text))) {
            return error_set(err, ERR_INVALID,
                             "%s: restapi.allowlist: '%.100s' is neither address nor network nor "
                             "name of a host: give one such as 10.0.0.5, 10.1.0.0/16 or "
                             "host.example",
                             config->path, text);
        }
    }
    return 0;
}

/* Those that are opened later, when a part of the program runs already. */
bool config_check_place(const struct config *config, size_t index, struct error *err)
{
    const char *etcd = config->store == CONFIG_STORE_ETCD2 ? "etcd" : "etcd3";
    const struct {
        const char *section;
        const char *key;
        const char *path; /* NULL = not given */
    } files[] = {
        {"raft", "certfile", config->raft.certfile},
        {"raft", "keyfile", config->raft.keyfile},
        {"raft", "cafile", config->raft.cafile},
        {etcd, "cacert", config->etcd.cacert},
        {etcd, "cert", config->etcd.cert},
        {etcd, "key", config->etcd.key},
        {"etcd_server", "certfile", config->etcd_server.certfile},
        {"etcd_server", "keyfile", config->etcd_server.keyfile},
        {"etcd_server", "cafile", config->etcd_server.cafile},
        {"restapi", "certfile", config->restapi.tls.certfile},
        {"restapi", "keyfile", config->restapi.tls.keyfile},
        {"restapi", "cafile", config->restapi.tls.cafile},
        {"ctl", "certfile", config->ctl.tls.certfile},
        {"ctl", "keyfile", config->ctl.tls.keyfile},
        {"ctl", "cacert", config->ctl.own_cacert ? config->ctl.tls.cafile : NULL},
    };
    *err = (struct error){0};
    if (index == 0) {
        if (config->postgresql.data_dir != NULL) { /* a witness has none */
            (void)check_real_directories(config, err);
        }
        if (err->code == 0) {
            (void)check_allowlist(config, err);
        }
        return true;
    }
    if (index > sizeof(files) / sizeof(files[0])) {
        return false;
    }
    const char *path = files[index - 1].path;
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (path != NULL && fd < 0) {
        (void)error_set(err, err_from_errno(errno),
                        "%s: %s.%s: '%.150s' cannot be read: %s: give the path of a PEM file "
                        "that the user of pgquorum may read",
                        config->path, files[index - 1].section, files[index - 1].key, path,
                        strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return true;
}

static int check_places(const struct config *config, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && config_check_place(config, i, err); i++) {
        rc = err->code;
    }
    return rc;
}

/* --- the environment -------------------------------------------------------------------------- */

/* For as long as the process lives: the configuration may be read again. A list that grows, NULL at
 * its end. */
static char **taken;
static size_t taken_count;

static void take(const char *variable)
{
    size_t len = strcspn(variable, "=") + 1;
    size_t i = 0;
    while (i < taken_count && strncmp(taken[i], variable, len) != 0) {
        i++;
    }
    if (i == taken_count) {
        taken = mem_resize(taken, (taken_count + 2) * sizeof(*taken));
        taken[++taken_count] = NULL;
    } else {
        mem_free(taken[i]);
    }
    taken[i] = mem_strdup(variable);
}

const char *const *config_environment_taken(void)
{
    static const char *const none[] = {NULL};
    return taken != NULL ? (const char *const *)taken : none;
}

/* Neither PostgreSQL nor any other child is to see passwords that are for us. */
static const char *const *take_environment(void)
{
    for (size_t i = 0; environ != NULL && environ[i] != NULL;) {
        size_t len = strcspn(environ[i], "=");
        if (strncmp(environ[i], "PATRONI_", strlen("PATRONI_")) != 0 || environ[i][len] == '\0') {
            i++;
            continue;
        }
        take(environ[i]);
        char *name = mem_strndup(environ[i], len);
        if (unsetenv(name) != 0) { /* moves the others up */
            i++;
        }
        mem_free(name);
    }
    return config_environment_taken();
}

bool config_environment_given(void)
{
    const char *const *environment = take_environment();
    return environment_document(environment) != NULL || environment_has_any(environment);
}

/* --- files ------------------------------------------------------------------------------------ */

static int parse_file(const char *path, json_t **ret_tree, struct error *err)
{
    struct buf text = BUF_INIT;
    int rc = read_file(path, &text, err);
    if (rc == 0) {
        rc = yaml_parse(buf_span(&text), ret_tree, err);
        if (rc != 0) {
            error_wrap(err, "%s", path);
        }
    }
    buf_free(&text);
    return rc;
}

static bool is_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".yml") == 0 || strcmp(dot, ".yaml") == 0);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b); /* not as the locale has it */
}

/* Paths of the files, sorted; *ret_count may be above FILES_MAX, of which so many are there. */
static int list_parts(const char *path, char *ret_parts[FILES_MAX], size_t *ret_count,
                      struct error *err)
{
    const struct dirent *entry;
    size_t count = 0;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return error_set(err, err_from_errno(errno),
                         "%s: cannot be read: %s: give a readable file or directory", path,
                         strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        if (is_part(entry->d_name) && count++ < FILES_MAX) {
            ret_parts[count - 1] = mem_printf("%s/%s", path, entry->d_name);
        }
    }
    (void)closedir(dir);
    qsort(ret_parts, count < FILES_MAX ? count : FILES_MAX, sizeof(*ret_parts), by_name);
    *ret_count = count;
    return 0;
}

/* One file over what the earlier ones say: mappings merge, an empty value takes away. */
static int add_part(const char *path, json_t **tree, struct error *err)
{
    json_t *part = NULL;
    json_t *merged = NULL;
    int rc = parse_file(path, &part, err);
    if (rc == 0 && !json_is_null(part)) {
        rc = json_is_object(part)
                 ? dynamic_config_merge(*tree, part, &merged, NULL, err)
                 : error_set(err, ERR_INVALID,
                             "%s: holds no mapping of keys and values: give one, or take the file "
                             "out",
                             path);
    }
    if (merged != NULL) {
        json_decref(*tree);
        *tree = merged;
    }
    json_decref(part);
    return rc;
}

static int read_directory(const char *path, json_t **ret_tree, struct error *err)
{
    char *parts[FILES_MAX];
    size_t count = 0;
    json_t *tree = json_object();
    int rc = list_parts(path, parts, &count, err);
    if (rc == 0 && (count == 0 || count > FILES_MAX)) {
        rc = error_set(err, ERR_INVALID,
                       "%s: has %s files *.yml or *.yaml: give a directory with 1 to %d, or a file",
                       path, count == 0 ? "no" : "too many", FILES_MAX);
    }
    for (size_t i = 0; i < count && i < FILES_MAX; i++) {
        rc = rc != 0 ? rc : add_part(parts[i], &tree, err);
        mem_free(parts[i]);
    }
    if (rc == 0) {
        *ret_tree = tree;
    } else {
        json_decref(tree);
    }
    return rc;
}

static int read_tree(const char *path, json_t **ret_tree, struct error *err)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? read_directory(path, ret_tree, err)
                                                               : parse_file(path, ret_tree, err);
}

/* Without a file: a document in the environment, or no document. */
static int read_literal(const char *const *environment, json_t **ret_tree, struct error *err)
{
    const char *document = environment_document(environment);
    int rc = 0;
    *ret_tree = NULL;
    if (document != NULL) {
        rc = yaml_parse(span_str(document), ret_tree, err);
        if (rc != 0) {
            error_wrap(err, "PATRONI_CONFIGURATION");
        }
    } else {
        *ret_tree = json_object();
    }
    return rc;
}

/* Where the tree comes from, by `source`, which is completed. `must_exist`: the environment does
 * not stand in for a file. */
static int read_source(const char *path, bool must_exist, struct config_source *source,
                       json_t **ret_tree, struct error *err)
{
    static const char *const nothing[] = {NULL};
    const char *const *environment = take_environment();
    bool literal = environment_document(environment) != NULL;
    bool given = literal || environment_has_any(environment);
    source->environment = environment;
    if (path != NULL && (must_exist || !(given && access(path, F_OK) != 0 && errno == ENOENT))) {
        source->path = path;
        return read_tree(path, ret_tree, err);
    }
    source->path = literal ? "PATRONI_CONFIGURATION" : given ? "environment" : "--dcs-url";
    int rc = read_literal(environment, ret_tree, err);
    if (literal) {
        source->environment = nothing; /* as with Patroni */
    }
    return rc;
}

/* A mistake in the path would go unnoticed. */
static void warn_of_path(struct config_warnings *warnings, const char *path, const char *used)
{
    if (warnings != NULL && warnings->count++ < CONFIG_WARNINGS_MAX) {
        warnings->texts[warnings->count - 1] =
            mem_printf("%s: there is no such file: the configuration is taken from %s", path,
                       strcmp(used, "environment") == 0 ? "the environment alone" : used);
    }
}

static struct config_source source_make(void)
{
    const struct passwd *user = getpwuid(geteuid());
    char *cwd = mem_alloc(PATH_MAX);
    if (getcwd(cwd, PATH_MAX) == NULL) {
        (void)snprintf(cwd, PATH_MAX, "/");
    }
    return (struct config_source){.cwd = cwd, .home = user != NULL ? user->pw_dir : NULL};
}

void config_source_free(struct config_source *source)
{
    mem_free((char *)(uintptr_t)source->cwd);
    source->cwd = NULL;
}

int config_load_tree(const char *path, struct config_source *ret_source, json_t **ret_tree,
                     struct error *err)
{
    json_t *document = NULL;
    *ret_source = source_make();
    *ret_tree = NULL;
    int rc = read_source(path, false, ret_source, &document, err);
    if (rc == 0 && !json_is_object(document)) {
        rc = error_set(err, ERR_INVALID,
                       "%s: holds no mapping of keys and values: give a configuration, with scope, "
                       "name, raft, restapi and postgresql",
                       ret_source->path);
    }
    rc = rc != 0 ? rc : environment_merge(document, ret_source->environment, ret_tree, err);
    json_decref(document);
    ret_source->merged = true;
    if (rc != 0) {
        config_source_free(ret_source);
    }
    return rc;
}

/* What a configuration is read from. */
struct origin {
    const char *path;    /* NULL = none */
    const char *dcs_url; /* NULL = none */
    bool must_exist;
    enum config_use use;
};

static int load(const struct origin *origin, struct config *ret_config,
                struct config_warnings *warnings, struct error *err)
{
    const char *path = origin->path;
    const char *dcs_url = origin->dcs_url;
    json_t *tree = NULL;
    struct config_source source = source_make();
    *ret_config = (struct config){0};
    source.use = origin->use;
    int rc = read_source(path, origin->must_exist, &source, &tree, err);
    if (rc == 0 && dcs_url != NULL && json_is_object(tree)) {
        json_t *merged = NULL; /* the environment's stores give way, too */
        rc = environment_merge(tree, source.environment, &merged, err);
        rc = rc != 0 ? rc : dcs_url_apply(merged, dcs_url, err);
        json_decref(tree);
        tree = merged;
        source.environment = NULL;
    }
    rc = rc != 0 ? rc : config_from_json(&source, tree, ret_config, warnings, err);
    if (rc == 0 && path != NULL && source.path != path) {
        warn_of_path(warnings, path, source.path);
    }
    if (rc == 0 && origin->use != CONFIG_CLIENT) {
        rc = check_places(ret_config, err);
        if (rc != 0) {
            config_free(ret_config);
        }
    }
    json_decref(tree);
    config_source_free(&source);
    return rc;
}

int config_load(const char *path, struct config *ret_config, struct config_warnings *warnings,
                struct error *err)
{
    struct origin origin = {.path = path, .use = CONFIG_AGENT};
    return load(&origin, ret_config, warnings, err);
}

int config_load_file(const char *path, struct config *ret_config, struct config_warnings *warnings,
                     struct error *err)
{
    struct origin origin = {.path = path, .must_exist = true, .use = CONFIG_AGENT};
    return load(&origin, ret_config, warnings, err);
}

int config_load_client(const char *path, const char *dcs_url, struct config *ret_config,
                       struct config_warnings *warnings, struct error *err)
{
    struct origin origin = {
        .path = path, .dcs_url = dcs_url, .must_exist = true, .use = CONFIG_CLIENT};
    return load(&origin, ret_config, warnings, err);
}

int config_load_witness(const char *path, struct config *ret_config,
                        struct config_warnings *warnings, struct error *err)
{
    struct origin origin = {.path = path, .use = CONFIG_WITNESS};
    return load(&origin, ret_config, warnings, err);
}
