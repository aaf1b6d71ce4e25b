/* `bootstrap`: what the first member makes the cluster with. bootstrap.dcs is checked like any
 * dynamic configuration, so that what is written to the store at first is right. */
#include "agent/config/sections.h"

#include "agent/config/dynamic.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

static int read_user_options(const struct reader *r, const struct section *s, struct pg_user *user)
{
    int rc = reader_lines(r, s, "options", &user->options);
    for (size_t i = 0; rc == 0 && i < user->options.count; i++) {
        /* ours alone until the configuration is handed out */
        for (char *at = (char *)(uintptr_t)user->options.items[i]; *at != '\0'; at++) {
            *at = (char)toupper((unsigned char)*at);
            if (!isalnum((unsigned char)*at) && strchr("_ ", *at) == NULL) {
                return reader_fail(
                    r, s, "options",
                    "'%.60s' is no option of CREATE ROLE: give words such as createdb",
                    user->options.items[i]);
            }
        }
    }
    return rc;
}

static int read_users(const struct reader *r, const struct section *bootstrap,
                      struct config_bootstrap *b)
{
    struct section all;
    int rc = reader_section(r, bootstrap, "users", "bootstrap.users", &all);
    size_t count = rc == 0 ? json_object_size(all.object) : 0;
    if (count == 0) {
        return rc;
    }
    if (count > PG_USERS_MAX) {
        return reader_fail(r, bootstrap, "users", "has more than %d users: give fewer",
                           PG_USERS_MAX);
    }
    struct pg_user *users = config_keep(r->memory, mem_new_array(struct pg_user, count));
    const char *name;
    json_t *unused;
    json_object_foreach((json_t *)(uintptr_t)all.object, name, unused)
    {
        struct section s;
        struct pg_user *user = &users[b->user_count];
        const char *path = config_keep_text(r->memory, mem_printf("bootstrap.users.%s", name));
        user->name = config_keep_text(r->memory, mem_strdup(name));
        rc = reader_section(r, &all, name, path, &s);
        rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &user->password);
        rc = rc != 0 ? rc : read_user_options(r, &s, user);
        rc = rc != 0 || strlen(name) < PG_NAME_BYTES
                 ? rc
                 : reader_fail(r, &all, name, "is too long for a role's name");
        if (rc != 0) {
            return rc;
        }
        b->user_count++;
    }
    b->users = users;
    return 0;
}

static int read_dcs(const struct reader *r, const struct section *bootstrap, bool given,
                    int64_t ttl_min_ms, struct config_bootstrap *b)
{
    struct section s;
    struct error why = {0};
    char warning[DYNAMIC_WARNING_BYTES];
    json_t *adjusted = NULL;
    json_t *empty = config_keep_json(r->memory, json_object());
    int rc = reader_section(r, bootstrap, "dcs", "bootstrap.dcs", &s);
    if (rc != 0) {
        return rc;
    }
    if (!given) { /* by that a member makes no cluster */
        b->dcs = empty;
        return 0;
    }
    const json_t *dcs = s.object != NULL ? s.object : empty;
    if (dynamic_config_check_types(dcs, ttl_min_ms, &why) != 0 ||
        dynamic_config_adjusted(dcs, ttl_min_ms, &adjusted, warning, &why) != 0) {
        return error_set(r->err, ERR_INVALID, "%s: bootstrap.dcs.%s", r->path, why.text);
    }
    if (warning[0] != '\0') {
        reader_warn(r, &s, NULL, "%s", warning);
    }
    b->dcs = config_keep_json(r->memory, adjusted);
    return 0;
}

int section_bootstrap(const struct reader *r, const struct section *top, struct config *c)
{
    static const char *const forbidden[] = {"pgdata",    "nosync",  "pwfile",
                                            "sync-only", "version", NULL};
    struct section s;
    int rc = reader_section(r, top, "bootstrap", "bootstrap", &s);
    bool given = json_object_get(top->object, "bootstrap") != NULL; /* an empty one is, too */
    rc = rc != 0 ? rc : section_bootstrap_hooks(r, &s, &c->bootstrap);
    rc = rc != 0 ? rc : read_dcs(r, &s, given, config_ttl_min_ms(c), &c->bootstrap);
    rc = rc != 0 ? rc : reader_options(r, &s, "initdb", "", forbidden, &c->bootstrap.initdb);
    rc = rc != 0 ? rc : reader_lines(r, &s, "pg_hba", &c->bootstrap.pg_hba);
    return rc != 0 ? rc : read_users(r, &s, &c->bootstrap);
}
