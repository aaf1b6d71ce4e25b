/* show-config and edit-config. A change is made on a copy, checked as the REST interface checks it,
 * shown as a difference, and written only if nobody wrote in between. */
#include "agent/api/api_ports.h"
#include "agent/cli/cli_verbs.h"
#include "agent/cli/cluster_doc.h"
#include "agent/cli/config_edit.h"
#include "agent/cli/text_diff.h"
#include "agent/config/dynamic.h"
#include "agent/config/yaml.h"
#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANGES_MAX 256
#define READ_CHUNK  65536

/* --- show-config ------------------------------------------------------------------------------ */

int cli_show_config(struct cli *cli, int argc, char **argv)
{
    struct error err = {0};
    struct dcs_view *view = NULL;
    struct buf text = BUF_INIT;
    if (cli_option(cli, argc, argv) != -1) {
        return CLI_USAGE;
    }
    if (!cli_arguments(argc, argv, optind, 1)) {
        return CLI_USAGE;
    }
    if (!cli_open(cli)) {
        return CLI_ERROR;
    }
    int rc = cli_session_read(cli->session, cli_cluster(cli, argc, argv, optind), &view, &err);
    json_t *config = rc == 0 ? cluster_doc_key(view, "config") : NULL;
    if (config != NULL) {
        rc = yaml_write(config, &text, &err);
        (void)printf("%s\n", buf_str(&text));
    }
    json_decref(config);
    buf_free(&text);
    dcs_view_unref(view);
    return rc == 0 ? CLI_OK : cli_fail("%s", err.text);
}

/* --- edit-config ------------------------------------------------------------------------------ */

struct edit {
    struct cli *cli;
    const char *cluster;
    const char *changes[CHANGES_MAX]; /* of -s and -p */
    size_t change_count;
    char *owned[CHANGES_MAX]; /* those of -p, made longer */
    size_t owned_count;
    const char *apply;
    const char *replace;
    bool quiet;
    bool force;
    bool dry_run; /* everything but the write */
};

static int read_stream(FILE *file, const char *name, struct buf *out, struct error *err)
{
    while (!feof(file) && !ferror(file)) {
        buf_reserve(out, READ_CHUNK);
        out->len += fread(out->data + out->len, 1, READ_CHUNK, file);
        if (out->len > YAML_BYTES_MAX) {
            return error_set(err, ERR_LIMIT, "%s: is larger than %zu bytes", name, YAML_BYTES_MAX);
        }
    }
    return ferror(file) ? error_set(err, ERR_IO, "%s: cannot be read: %s", name, strerror(errno))
                        : 0;
}

/* "-" is standard input. */
static int read_yaml(const char *name, json_t **ret_tree, struct error *err)
{
    struct buf text = BUF_INIT;
    bool is_stdin = strcmp(name, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(name, "re");
    if (file == NULL) {
        return error_set(err, err_from_errno(errno), "%s: cannot be read: %s", name,
                         strerror(errno));
    }
    int rc = read_stream(file, name, &text, err);
    if (!is_stdin) {
        (void)fclose(file);
    }
    if (rc == 0) {
        rc = yaml_parse(buf_span(&text), ret_tree, err);
        if (rc != 0) {
            error_wrap(err, "%s", name);
        }
    }
    buf_free(&text);
    return rc;
}

static int replace_with_file(const struct edit *edit, json_t **document, struct error *err)
{
    json_t *tree = NULL;
    int rc = read_yaml(edit->replace, &tree, err);
    if (rc != 0) {
        return rc;
    }
    json_decref(*document);
    *document = tree;
    return 0;
}

static int apply_file(const struct edit *edit, json_t **document, struct error *err)
{
    json_t *patch = NULL;
    json_t *merged = NULL;
    int rc = read_yaml(edit->apply, &patch, err);
    rc = rc != 0 ? rc : dynamic_config_merge(*document, patch, &merged, NULL, err);
    json_decref(patch);
    if (rc == 0) {
        json_decref(*document);
        *document = merged;
    }
    return rc;
}

static const char *editor_command(void)
{
    const char *editor = getenv("EDITOR");
    if (editor != NULL && editor[0] != '\0') {
        return editor;
    }
    return access("/usr/bin/editor", X_OK) == 0 ? "editor" : "vi";
}

/* The shell takes $EDITOR apart, as it may have options; the file's name is an argument and never
 * text of the command. */
static int run_editor(const char *path, struct error *err)
{
    char *command = mem_printf("%s \"$1\"", editor_command());
    int wait_status = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, "sh", path, (char *)NULL);
        _exit(127);
    }
    mem_free(command);
    if (child < 0 || waitpid(child, &wait_status, 0) != child) {
        return error_set(err, ERR_IO, "cannot start the editor: %s", strerror(errno));
    }
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0
               ? 0
               : error_set(err, ERR_INVALID,
                           "the editor '%s' ended with a failure: nothing was changed",
                           editor_command());
}

static int edit_file(const char *text, const char *path, int fd, json_t **ret_tree,
                     struct error *err)
{
    size_t len = strlen(text);
    bool written = write(fd, text, len) == (ssize_t)len;
    if (close(fd) != 0 || !written) {
        return error_set(err, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    }
    int rc = run_editor(path, err);
    return rc != 0 ? rc : read_yaml(path, ret_tree, err);
}

static int edit_by_hand(const char *before, json_t **document, struct error *err)
{
    const char *directory = getenv("TMPDIR");
    char *path =
        mem_printf("%s/pgquorum-config-XXXXXX.yaml", directory != NULL ? directory : "/tmp");
    json_t *tree = NULL;
    int fd = mkstemps(path, (int)strlen(".yaml"));
    int rc = fd < 0 ? error_set(err, ERR_IO, "%s: cannot be made: %s", path, strerror(errno))
                    : edit_file(before, path, fd, &tree, err);
    if (fd >= 0) {
        (void)unlink(path);
    }
    mem_free(path);
    if (rc == 0) {
        json_decref(*document);
        *document = tree;
    }
    return rc;
}

/* Order: replace, apply, set. None of them: the editor. */
static int make_changes(const struct edit *edit, const char *before, json_t **document,
                        struct error *err)
{
    int rc = 0;
    if (edit->replace == NULL && edit->apply == NULL && edit->change_count == 0) {
        rc = edit_by_hand(before, document, err);
    }
    rc = rc != 0 || edit->replace == NULL ? rc : replace_with_file(edit, document, err);
    rc = rc != 0 || edit->apply == NULL ? rc : apply_file(edit, document, err);
    for (size_t i = 0; rc == 0 && i < edit->change_count; i++) {
        rc = json_is_object(*document) ? config_edit_set(*document, edit->changes[i], err) : 0;
    }
    return rc;
}

#define STORED_JSON (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

static int check_size(const json_t *document, struct error *err)
{
    size_t len = json_dumpb(document, NULL, 0, STORED_JSON);
    return len <= API_CONFIG_BYTES_MAX
               ? 0
               : error_set(err, ERR_LIMIT,
                           "the configuration has %zu bytes as JSON, at most %zu are taken", len,
                           API_CONFIG_BYTES_MAX);
}

static int write_config(const struct edit *edit, const json_t *document, int64_t revision)
{
    struct error err = {0};
    struct buf text = BUF_INIT;
    buf_reserve(&text, json_dumpb(document, NULL, 0, STORED_JSON) + 1);
    text.len = json_dumpb(document, (char *)text.data, text.capacity, STORED_JSON);
    int rc = cli_session_put(edit->cli->session, edit->cluster, "config", buf_str(&text), revision,
                             &err);
    buf_free(&text);
    if (rc == ERR_CONFLICT) {
        return cli_fail("Config modification aborted due to concurrent changes");
    }
    if (rc != 0) {
        return cli_fail("%s", err.text);
    }
    (void)printf("Configuration changed\n");
    return CLI_OK;
}

static int confirm_and_write(const struct edit *edit, const char *before, const char *after,
                             const json_t *document, int64_t revision)
{
    bool from_stdin = (edit->apply != NULL && strcmp(edit->apply, "-") == 0) ||
                      (edit->replace != NULL && strcmp(edit->replace, "-") == 0);
    if (!edit->quiet) {
        struct buf diff = BUF_INIT;
        struct error err = {0};
        text_diff(before, after, &diff);
        int rc = cli_page(buf_str(&diff), &err);
        buf_free(&diff);
        if (rc != 0) {
            return cli_fail("%s", err.text);
        }
    }
    if (edit->dry_run) {
        (void)printf("Dry run: nothing was sent. The configuration would be changed\n");
        return CLI_OK;
    }
    if (from_stdin && !edit->force) {
        (void)printf("Use --force option to apply changes\n");
        return CLI_OK;
    }
    enum cli_answer answer = edit->force ? CLI_YES : cli_confirm("Apply these changes?");
    if (answer != CLI_YES) {
        return answer == CLI_NO ? CLI_OK : CLI_ERROR; /* as patronictl: nothing went wrong */
    }
    return write_config(edit, document, revision);
}

static int edit_document(const struct edit *edit, const json_t *stored, int64_t revision)
{
    struct error err = {0};
    struct buf before = BUF_INIT;
    struct buf after = BUF_INIT;
    json_t *document = json_deep_copy(stored);
    int64_t ttl_min_ms = config_ttl_min_ms(cli_session_config(edit->cli->session));
    int status = CLI_OK;
    int rc = yaml_write(stored, &before, &err);
    rc = rc != 0 ? rc : make_changes(edit, buf_str(&before), &document, &err);
    rc = rc != 0 ? rc : dynamic_config_validate(document, ttl_min_ms, stored, &err);
    rc = rc != 0 ? rc : check_size(document, &err);
    rc = rc != 0 ? rc : yaml_write(document, &after, &err);
    if (rc != 0) {
        status = cli_fail("%s", err.text);
    } else if (json_equal(document, stored)) {
        if (!edit->quiet) {
            (void)printf("Not changed\n");
        }
    } else {
        status = confirm_and_write(edit, buf_str(&before), buf_str(&after), document, revision);
    }
    json_decref(document);
    buf_free(&before);
    buf_free(&after);
    return status;
}

static int edit_stored(const struct edit *edit)
{
    struct error err = {0};
    struct dcs_view *view = NULL;
    if (cli_session_read(edit->cli->session, edit->cluster, &view, &err) != 0) {
        return cli_fail("%s", err.text);
    }
    const struct dcs_kv *kv = dcs_view_get(view, "config");
    json_t *stored = cluster_doc_key(view, "config");
    int status = !json_is_object(stored)
                     ? cli_fail("The config key does not exist in the cluster %s", edit->cluster)
                     : edit_document(edit, stored, kv->mod_revision);
    json_decref(stored);
    dcs_view_unref(view);
    return status;
}

static bool add_change(struct edit *edit, char option, const char *text)
{
    if (edit->change_count == CHANGES_MAX) {
        return false;
    }
    if (option == 'p') {
        char *longer = mem_printf("postgresql.parameters.%s", text);
        edit->owned[edit->owned_count++] = longer;
        text = longer;
    }
    edit->changes[edit->change_count++] = text;
    return true;
}

static bool parse(struct edit *edit, int argc, char **argv)
{
    int option = 0;
    while ((option = cli_option(edit->cli, argc, argv)) != -1) {
        switch (option) {
        case 'q': edit->quiet = true; break;
        case 'a': edit->apply = optarg; break;
        case 'r': edit->replace = optarg; break;
        case 'F': edit->force = true; break;
        case 'n': edit->dry_run = true; break;
        case 's':
        case 'p':
            if (!add_change(edit, (char)option, optarg)) {
                (void)cli_wrong_usage("edit-config", "more than 256 changes at once");
                return false;
            }
            break;
        default: return false;
        }
    }
    return true;
}

int cli_edit_config(struct cli *cli, int argc, char **argv)
{
    struct edit *edit = mem_new(struct edit);
    int status = CLI_USAGE;
    edit->cli = cli;
    if (parse(edit, argc, argv) && cli_arguments(argc, argv, optind, 1)) {
        status = CLI_ERROR;
        if (cli_open(cli)) {
            edit->cluster = cli_cluster(cli, argc, argv, optind);
            status = edit_stored(edit);
        }
    }
    for (size_t i = 0; i < edit->owned_count; i++) {
        mem_free(edit->owned[i]);
    }
    mem_free(edit);
    return status;
}
