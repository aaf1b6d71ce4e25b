/* The effects round config.c: reading the file, the working directory and the home directory, and a
 * second look at the two data directories through symbolic links. */
#include "agent/config/config.h"
#include "agent/config/dcs_url.h"
#include "agent/config/reader.h"
#include "agent/config/yaml.h"
#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_CHUNK 65536

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
    if (realpath(config->state_dir, raft) != NULL &&
        realpath(config->postgresql.data_dir, postgresql) != NULL &&
        (reader_path_inside(raft, postgresql) || reader_path_inside(postgresql, raft))) {
        return error_set(err, ERR_INVALID,
                         "%s: %s: '%.150s' and postgresql.data_dir '%.150s' lie one in "
                         "the other: give each a "
                         "directory of its own",
                         config->path,
                         config->store == CONFIG_STORE_RAFT ? "raft.data_dir" : "state_dir", raft,
                         postgresql);
    }
    return 0;
}

/* Those that are opened later, when a part of the program runs already. */
static int check_files(const struct config *config, struct error *err)
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
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd =
            files[i].path == NULL ? -1 : open(files[i].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (files[i].path != NULL && fd < 0) {
            return error_set(err, err_from_errno(errno),
                             "%s: %s.%s: '%.150s' cannot be read: %s: give the path of a PEM file "
                             "that the user of pgquorum may read",
                             config->path, files[i].section, files[i].key, files[i].path,
                             strerror(errno));
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    return 0;
}

static int read_tree(const char *path, json_t **ret_tree, struct error *err)
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

/* `path` NULL: no file, but a URL. */
static int load(const char *path, const char *dcs_url, enum config_use use,
                struct config *ret_config, struct config_warnings *warnings, struct error *err)
{
    static const char *const no_environment[] = {NULL};
    json_t *tree = path == NULL ? json_object() : NULL;
    char cwd[PATH_MAX];
    *ret_config = (struct config){0};
    const struct passwd *user = getpwuid(geteuid());
    struct config_source source = {.path = path != NULL ? path : "--dcs-url",
                                   .cwd = getcwd(cwd, sizeof(cwd)),
                                   .environment = dcs_url == NULL ? (const char *const *)environ
                                                                  : no_environment,
                                   .use = use,
                                   .home = user != NULL ? user->pw_dir : NULL};
    if (source.cwd == NULL) {
        source.cwd = "/";
    }
    int rc = path == NULL ? 0 : read_tree(path, &tree, err);
    if (rc == 0 && dcs_url != NULL && json_is_object(tree)) {
        rc = dcs_url_apply(tree, dcs_url, err);
    }
    rc = rc != 0 ? rc : config_from_json(&source, tree, ret_config, warnings, err);
    if (rc == 0 && use != CONFIG_CLIENT) {
        rc = use == CONFIG_AGENT ? check_real_directories(ret_config, err) : 0;
        rc = rc != 0 ? rc : check_files(ret_config, err);
        if (rc != 0) {
            config_free(ret_config);
        }
    }
    json_decref(tree);
    return rc;
}

int config_load(const char *path, struct config *ret_config, struct config_warnings *warnings,
                struct error *err)
{
    return load(path, NULL, CONFIG_AGENT, ret_config, warnings, err);
}

int config_load_client(const char *path, const char *dcs_url, struct config *ret_config,
                       struct config_warnings *warnings, struct error *err)
{
    return load(path, dcs_url, CONFIG_CLIENT, ret_config, warnings, err);
}

int config_load_witness(const char *path, struct config *ret_config,
                        struct config_warnings *warnings, struct error *err)
{
    return load(path, NULL, CONFIG_WITNESS, ret_config, warnings, err);
}
