/* From the tree of the file to plain data, section by section. First what would be dangerous to
 * overlook: names that are nearly right, and keys that we do not serve. Then the values, and last
 * what has to fit together. The first mistake ends it. */
#include "agent/config/config.h"

#include "agent/config/dynamic.h"
#include "agent/config/environment.h"
#include "agent/config/known_keys.h"
#include "agent/config/reader.h"
#include "agent/config/sections.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFIX_BYTES_MAX       512
#define RESTAPI_PORT           8008
#define RAFT_PORT              2222
#define ELECTION_TIMEOUT_MIN   100
#define ELECTION_TIMEOUT_MAX   60000
#define HEARTBEAT_MIN          10
#define HEARTBEATS_PER_TIMEOUT 3

/* --- names ------------------------------------------------------------------------------------ */

static const json_t *at_path(const json_t *tree, const char *path)
{
    while (*path != '\0' && tree != NULL) {
        char part[64];
        size_t len = strcspn(path, ".");
        (void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
        tree = json_object_get(tree, part);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return tree;
}

static int check_names(const struct reader *r, const json_t *tree)
{
    for (const struct known_section *known = known_sections; known->path != NULL; known++) {
        struct section s = {.name = known->path, .object = at_path(tree, known->path)};
        bool free_names = strcmp(known->path, "tags") == 0;
        const char *key;
        json_t *unused;
        json_object_foreach((json_t *)(uintptr_t)s.object, key, unused)
        {
            if (section_is_method(tree, known->path, key)) {
                continue;
            }
            const char *near = known_keys_near(known->list, key);
            if (near != NULL) {
                return reader_fail(r, &s, key, "there is no key of that name: did you mean '%s'?",
                                   near);
            }
            if (!free_names && !known_keys_has(known->list, key)) {
                reader_warn(r, &s, key, "no key that is known here, ignoring it");
            }
        }
    }
    return 0;
}

/* A value that switches nothing on: false, off, empty. */
static bool is_off(const json_t *value)
{
    bool on = false;
    return value == NULL || (dynamic_bool(value, &on) && !on) ||
           (json_is_string(value) && (json_string_length(value) == 0 ||
                                      strcasecmp(json_string_value(value), "none") == 0)) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static int check_refused(const struct reader *r, const struct section *s,
                         const struct known_key *row)
{
    bool asked = row->status == KNOWN_REFUSED_EMPTY ? json_object_get(s->object, row->key) != NULL
                                                    : !is_off(reader_get(s, row->key));
    return asked ? reader_fail(r, s, row->key, "not served by this release: %s", row->instead) : 0;
}

/* Every key of that status in every section. What bootstrap.dcs has without effect is told of with
 * the rest of the dynamic configuration. */
static int check_status(const struct reader *r, const json_t *tree, enum known_status status)
{
    for (const struct known_section *known = known_sections; known->path != NULL; known++) {
        struct section s = {.name = known->path, .object = at_path(tree, known->path)};
        bool dynamic = strncmp(known->path, "bootstrap.dcs", strlen("bootstrap.dcs")) == 0;
        for (const struct known_key *row = known_keys; s.object != NULL && row->list != NULL;
             row++) {
            if (row->status != status || strcmp(row->list, known->list) != 0) {
                continue;
            }
            if (status != KNOWN_NO_EFFECT) {
                int rc = check_refused(r, &s, row);
                if (rc != 0) {
                    return rc;
                }
            } else if (!dynamic && !is_off(reader_get(&s, row->key))) {
                reader_warn(r, &s, row->key, "has no effect in this release%s%s, ignoring it",
                            row->instead[0] != '\0' ? ": " : "", row->instead);
            }
        }
    }
    return 0;
}

static int check_served(const struct reader *r, const json_t *tree)
{
    /* Two stores at once is the more telling mistake: name both. */
    struct section top = {.name = "", .object = tree};
    static const char *const pairs[][2] = {{"raft", "etcd"}, {"raft", "etcd3"}, {"etcd3", "etcd"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (reader_get(&top, pairs[i][0]) != NULL && reader_get(&top, pairs[i][1]) != NULL) {
            return reader_fail(r, &top, pairs[i][1],
                               "stands beside '%s': there is one store: keep '%s', take out '%s' "
                               "(also from the environment)",
                               pairs[i][0], pairs[i][0], pairs[i][1]);
        }
    }
    int rc = check_status(r, tree, KNOWN_REFUSED_EMPTY);
    rc = rc != 0 ? rc : check_status(r, tree, KNOWN_REFUSED);
    struct section dcs = {.name = "bootstrap.dcs", .object = at_path(tree, "bootstrap.dcs")};
    if (rc == 0 && !is_off(reader_get(&dcs, "pause"))) {
        return reader_fail(r, &dcs, "pause",
                           "not served by this release: take it out: `pgquorum pause` when the "
                           "cluster is there");
    }
    return rc != 0 ? rc : check_status(r, tree, KNOWN_NO_EFFECT);
}

/* --- top level, restapi ----------------------------------------------------------------------- */

static int check_plain_name(const struct reader *r, const struct section *s, const char *key,
                            const char *name, size_t bytes_max)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (*at == '/' || (unsigned char)*at < ' ' || *at == 0x7f) {
            return reader_fail(r, s, key,
                               "'%.100s' has a slash or a control character: give a name without",
                               name);
        }
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return reader_fail(r, s, key, "'%s' is a step in a path, and keys are paths: give a name",
                           name);
    }
    if (strlen(name) > bytes_max) {
        return reader_fail(r, s, key, "is longer than %zu bytes: give a shorter name", bytes_max);
    }
    return 0;
}

static const char *namespace_normal(const struct reader *r, const char *given)
{
    char *path = reader_path_normal("/", given);
    if (strcmp(path, "/") == 0) {
        path[0] = '\0';
    }
    return config_keep_text(r->memory, path);
}

static int read_top(const struct reader *r, const struct section *top, enum config_use use,
                    struct config *c)
{
    /* A client's command may name the cluster. */
    enum reader_need need = use == CONFIG_CLIENT ? READER_OPTIONAL : READER_REQUIRED;
    const char *given = "/service";
    int rc = reader_text(r, top, "scope", need, &c->scope);
    rc = rc != 0 ? rc : reader_text(r, top, "namespace", READER_OPTIONAL, &given);
    rc = rc != 0 ? rc : reader_text(r, top, "name", need, &c->name);
    rc = rc != 0 || c->scope == NULL
             ? rc
             : check_plain_name(r, top, "scope", c->scope, PREFIX_BYTES_MAX / 2);
    rc = rc != 0 || c->name == NULL
             ? rc
             : check_plain_name(r, top, "name", c->name, CONFIG_NAME_BYTES_MAX);
    if (rc != 0) {
        return rc;
    }
    c->namespace_ = namespace_normal(r, given);
    if (strlen(c->namespace_) > PREFIX_BYTES_MAX / 2) {
        return reader_fail(r, top, "namespace", "is longer than %d bytes: give a shorter one",
                           PREFIX_BYTES_MAX / 2);
    }
    if (c->scope != NULL) {
        c->prefix = config_keep_text(r->memory, mem_printf("%s/%s/", c->namespace_, c->scope));
    }
    return 0;
}

static int read_restapi(const struct reader *r, const struct config_source *source,
                        const struct section *top, struct config *c)
{
    struct section s;
    enum config_use use = source->use;
    enum reader_need need = use == CONFIG_AGENT ? READER_REQUIRED : READER_OPTIONAL;
    int rc = reader_section(r, top, "restapi", "restapi", &s);
    rc =
        rc != 0 ? rc : reader_listener_one(r, &s, "listen", RESTAPI_PORT, need, &c->restapi_listen);
    c->restapi_connect = c->restapi_listen;
    rc = rc != 0 ? rc
                 : reader_address(r, &s, "connect_address",
                                  (struct address_form){.usual_port = RESTAPI_PORT},
                                  READER_OPTIONAL, &c->restapi_connect);
    if (rc == 0 && use == CONFIG_AGENT && address_is_every(c->restapi_connect.host)) {
        return reader_fail(
            r, &s, "connect_address",
            "is not there, and 'listen' is every address: give the one that reaches this node, "
            "such as 10.0.0.1:%u",
            c->restapi_listen.port);
    }
    rc = rc != 0 ? rc : section_restapi(r, source, &s, c);
    return rc != 0 || c->restapi_connect.text == NULL
               ? rc
               : reader_check_url(r, &s, "connect_address",
                                  c->restapi.tls.certfile != NULL ? "https://" : "http://",
                                  &c->restapi_connect, "/patroni");
}

/* --- raft ------------------------------------------------------------------------------------- */

static const struct address_form raft_form = {.usual_port = RAFT_PORT};

static int add_partner(const struct reader *r, const struct section *s, const char *text,
                       struct config_raft *raft)
{
    struct config_address address = {0};
    struct error why = {0};
    if (address_parse(text, &raft_form, &address, &why) != 0) {
        return reader_fail(r, s, "partner_addrs", "%s", why.text);
    }
    (void)config_keep(r->memory, (void *)(uintptr_t)address.text);
    (void)config_keep(r->memory, (void *)(uintptr_t)address.host);
    if (raft->self.text != NULL && strcmp(address.text, raft->self.text) == 0) {
        return 0; /* one list for all nodes is a convenience, not a mistake */
    }
    for (size_t i = 0; i < raft->partner_count; i++) {
        if (strcmp(raft->partners[i].text, address.text) == 0) {
            return reader_fail(r, s, "partner_addrs", "'%s' is there twice: keep one of them",
                               text);
        }
    }
    if (raft->partner_count == CONFIG_PARTNERS_MAX) {
        return reader_fail(r, s, "partner_addrs", "has more than %d addresses: give fewer",
                           CONFIG_PARTNERS_MAX);
    }
    raft->partners[raft->partner_count++] = address;
    return 0;
}

static int read_partners(const struct reader *r, const struct section *s, struct config_raft *raft)
{
    const json_t *list = reader_get(s, "partner_addrs");
    int rc = 0;
    if (json_is_string(list)) { /* "a:1, b:1", as in the environment of Patroni */
        char *text = mem_strdup(json_string_value(list));
        char *rest = NULL;
        for (char *part = strtok_r(text, ", ", &rest); rc == 0 && part != NULL;
             part = strtok_r(NULL, ", ", &rest)) {
            rc = add_partner(r, s, part, raft);
        }
        mem_free(text);
        return rc;
    }
    if (list != NULL && !json_is_array(list)) {
        return reader_fail(r, s, "partner_addrs",
                           "is no list: give a list such as ['10.0.0.2:2222', '10.0.0.3:2222']");
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        rc = text != NULL ? add_partner(r, s, text, raft)
                          : reader_fail(r, s, "partner_addrs",
                                        "its item %zu is no text: give host:port", i + 1);
    }
    return rc;
}

static int read_raft_times(const struct reader *r, const struct section *s,
                           struct config_raft *raft)
{
    int rc = reader_int(r, s, "election_timeout", ELECTION_TIMEOUT_MIN, ELECTION_TIMEOUT_MAX,
                        &raft->election_timeout_ms);
    rc = rc != 0 ? rc
                 : reader_int(r, s, "heartbeat", HEARTBEAT_MIN, ELECTION_TIMEOUT_MAX,
                              &raft->heartbeat_ms);
    if (rc == 0 && raft->heartbeat_ms != 0 && raft->election_timeout_ms != 0 &&
        raft->heartbeat_ms * HEARTBEATS_PER_TIMEOUT > raft->election_timeout_ms) {
        return reader_fail(r, s, "heartbeat",
                           "%d ms is more than a third of election_timeout %d ms: give %d or less",
                           raft->heartbeat_ms, raft->election_timeout_ms,
                           raft->election_timeout_ms / HEARTBEATS_PER_TIMEOUT);
    }
    return rc;
}

/* Half of it would leave the port open to everybody, or closed to all. */
static int read_raft_tls(const struct reader *r, const struct config_source *source,
                         const struct section *s, struct config_raft *raft)
{
    int rc = reader_path(r, s, "certfile", source->cwd, READER_OPTIONAL, &raft->certfile);
    rc = rc != 0 ? rc : reader_path(r, s, "keyfile", source->cwd, READER_OPTIONAL, &raft->keyfile);
    rc = rc != 0 ? rc : reader_path(r, s, "cafile", source->cwd, READER_OPTIONAL, &raft->cafile);
    if (rc == 0 && raft->certfile != NULL && raft->cafile == NULL) {
        return reader_fail(r, s, "cafile",
                           "is not there, and certfile is: give the file with the authority that "
                           "signs the members' certificates");
    }
    if (rc == 0 && raft->certfile == NULL && (raft->cafile != NULL || raft->keyfile != NULL)) {
        return reader_fail(r, s, "certfile",
                           "is not there, and %s is: give the file with this member's certificate",
                           raft->cafile != NULL ? "cafile" : "keyfile");
    }
    return rc;
}

/* An agent without an address of its own votes nowhere: its words are those of a client. */
static int check_raft_client(const struct reader *r, const struct section *s,
                             struct config_raft *raft)
{
    static const char *const idle[] = {"election_timeout", "heartbeat"};
    if (raft->partner_count == 0) {
        return reader_fail(r, s, "partner_addrs",
                           "names nobody, and self_addr is not there: give self_addr for a member "
                           "of the group, or the members' addresses for a client of it");
    }
    if (raft->bind.text != NULL) {
        return reader_fail(r, s, "bind_addr",
                           "is there, and self_addr is not: give both for a member of the group, "
                           "neither for a client of it");
    }
    if ((raft->password.hidden == NULL || raft->password.hidden[0] == '\0') &&
        raft->certfile == NULL) {
        return reader_fail(r, s, "self_addr",
                           "is not there: give it for a member of the group; without it this node "
                           "is a client, which needs the group's raft.password or a certificate, "
                           "for only members are let in by their addresses");
    }
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++) {
        if (reader_get(s, idle[i]) != NULL) {
            reader_warn(r, s, idle[i], "has no effect on a client of the group, ignoring it");
        }
    }
    return 0;
}

static int read_raft(const struct reader *r, const struct config_source *source,
                     const struct section *top, struct config *c)
{
    struct section s;
    struct config_raft *raft = &c->raft;
    bool client = source->use == CONFIG_CLIENT;
    int rc = reader_section(r, top, "raft", "raft", &s);
    if (rc != 0) {
        return rc;
    }
    if (s.object == NULL) {
        return reader_fail(r, top, "raft",
                           "is not there: the cluster keeps its state in it: give a section with "
                           "data_dir, self_addr and partner_addrs (or one named etcd or etcd3)");
    }
    raft->client = source->use == CONFIG_AGENT && reader_get(&s, "self_addr") == NULL &&
                   reader_get(&s, "partner_addrs") != NULL;
    enum reader_need need = client || raft->client ? READER_OPTIONAL : READER_REQUIRED;
    rc = reader_path(r, &s, "data_dir", source->cwd, need, &raft->data_dir);
    rc = rc != 0 ? rc : reader_address(r, &s, "self_addr", raft_form, need, &raft->self);
    raft->bind = raft->self;
    rc = rc != 0 ? rc
                 : reader_listener_one(r, &s, "bind_addr", RAFT_PORT, READER_OPTIONAL, &raft->bind);
    rc = rc != 0 ? rc : reader_text(r, &s, "password", READER_OPTIONAL, &raft->password.hidden);
    rc = rc != 0 ? rc : read_raft_tls(r, source, &s, raft);
    rc = rc != 0 ? rc : read_partners(r, &s, raft);
    rc = rc != 0 ? rc : read_raft_times(r, &s, raft);
    if (rc == 0 && client && raft->self.text == NULL && raft->partner_count == 0) {
        return reader_fail(r, &s, "partner_addrs",
                           "names nobody, and self_addr is not there: give the addresses of "
                           "the members");
    }
    if (rc == 0 && raft->client) {
        return check_raft_client(r, &s, raft);
    }
    if (rc == 0 && !client && raft->partner_count == 1) {
        reader_warn(r, &s, "partner_addrs",
                    "two members: the loss of either stops the cluster; three survive one");
    }
    return rc;
}

/* With etcd, and as a client of a Raft group, a node has no Raft directory, but a few things to
 * remember all the same: whose data directory is unfinished, where the fence is. */
static int read_state_dir(const struct reader *r, const struct config_source *source,
                          const struct section *top, struct config *c)
{
    int rc = reader_path(r, top, "state_dir", source->cwd, READER_OPTIONAL, &c->state_dir);
    if (rc != 0 || c->state_dir != NULL || source->use == CONFIG_CLIENT) {
        return rc;
    }
    if (c->raft.client && c->raft.data_dir != NULL) {
        c->state_dir = c->raft.data_dir;
        return 0;
    }
    if (source->home == NULL) {
        return reader_fail(r, top, "state_dir",
                           "is not there, and this user has no home directory: give a directory "
                           "for what this node "
                           "has to remember");
    }
    c->state_dir = config_keep_text(
        r->memory, mem_printf("%s/.pgquorum/%s-%s", source->home, c->scope, c->name));
    return 0;
}

/* The one store. */
static int read_store(const struct reader *r, const struct config_source *source,
                      const struct section *top, struct config *c)
{
    bool v2 = reader_get(top, "etcd") != NULL;
    if (!v2 && reader_get(top, "etcd3") == NULL) {
        int rc = read_raft(r, source, top, c);
        if (rc == 0 && c->raft.client) {
            return read_state_dir(r, source, top, c);
        }
        c->state_dir = c->raft.data_dir;
        return rc;
    }
    c->store = v2 ? CONFIG_STORE_ETCD2 : CONFIG_STORE_ETCD3;
    if (source->use == CONFIG_WITNESS) {
        return reader_fail(r, top, v2 ? "etcd" : "etcd3",
                           "a witness votes in a Raft group, and with this store there is none: "
                           "give a 'raft' section instead");
    }
    int rc = section_etcd(r, source, top, c);
    return rc != 0 ? rc : read_state_dir(r, source, top, c);
}

/* --- what has to fit together ----------------------------------------------------------------- */

bool config_state_in_raft(const struct config *config)
{
    return config->store == CONFIG_STORE_RAFT && config->state_dir == config->raft.data_dir;
}

static int check_directories(const struct reader *r, const struct config *c)
{
    bool in_raft = config_state_in_raft(c);
    struct section state = {.name = in_raft ? "raft" : "", .object = NULL};
    const char *key = in_raft ? "data_dir" : "state_dir";
    const char *a = c->state_dir;
    const char *b = c->postgresql.data_dir;
    if (reader_path_inside(a, b)) {
        return reader_fail(r, &state, key,
                           "'%.200s' lies in postgresql.data_dir '%.200s', which a clone empties: "
                           "give one outside",
                           a, b);
    }
    if (reader_path_inside(b, a)) {
        struct section postgresql = {.name = "postgresql", .object = NULL};
        return reader_fail(r, &postgresql, "data_dir",
                           "'%.200s' lies in %s '%.200s': give each a directory of its own", b,
                           in_raft ? "raft.data_dir" : "state_dir", a);
    }
    return 0;
}

static int check_ports(const struct reader *r, const struct config *c)
{
    const struct {
        const char *section;
        const char *key;
        const struct config_address *address;
    } places[] = {
        {"postgresql", "listen", &c->postgresql.listen},
        {"restapi", "listen", &c->restapi_listen},
        {"raft", c->raft.bind.text == c->raft.self.text ? "self_addr" : "bind_addr", &c->raft.bind},
        {"etcd_server", "listen", &c->etcd_server.listen},
    };
    for (size_t i = 1; i < sizeof(places) / sizeof(places[0]); i++) {
        for (size_t j = 0; j < i; j++) {
            if (address_meets(places[i].address, places[j].address)) {
                struct section s = {.name = places[i].section, .object = NULL};
                return reader_fail(r, &s, places[i].key,
                                   "has the address of %s.%s: give it a port of its own",
                                   places[j].section, places[j].key);
            }
        }
    }
    return 0;
}

/* What the agent has, and a witness does not. */
static int read_instance(const struct reader *r, const struct config_source *source,
                         const struct section *top, struct config *c)
{
    int rc = section_postgresql(r, source, top, c);
    rc = rc != 0 ? rc : section_tags(r, top, c);
    rc = rc != 0 ? rc : section_watchdog(r, top, c);
    return rc != 0 ? rc : check_directories(r, c);
}

/* With the file of a node that has PostgreSQL, a witness would take that node's place in the group.
 */
static int check_witness(const struct reader *r, const struct section *top)
{
    if (reader_get(top, "postgresql") != NULL) {
        return reader_fail(
            r, top, "postgresql",
            "a witness runs no PostgreSQL: take the section out, or start the agent: "
            "pgquorum FILE");
    }
    static const char *const idle[] = {"tags", "watchdog"};
    for (size_t i = 0; i < sizeof(idle) / sizeof(idle[0]); i++) {
        if (reader_get(top, idle[i]) != NULL) {
            reader_warn(r, top, idle[i], "has no effect on a witness, ignoring it");
        }
    }
    return 0;
}

static int read_all(const struct reader *r, const struct config_source *source, const json_t *tree,
                    struct config *c)
{
    struct section top = {.name = "", .object = tree};
    environment_warn(r, source->environment);
    int rc = check_names(r, tree);
    rc = rc != 0 ? rc : check_served(r, tree);
    rc = rc != 0 ? rc : read_top(r, &top, source->use, c);
    rc = rc != 0 ? rc : read_store(r, source, &top, c);
    rc = rc != 0 ? rc : read_restapi(r, source, &top, c);
    rc = rc != 0 ? rc : section_ctl(r, source, &top, c);
    rc = rc != 0 ? rc : section_log(r, source, &top, c);
    if (rc != 0 || source->use == CONFIG_CLIENT) {
        return rc;
    }
    rc = section_etcd_server(r, source, &top, c);
    rc = rc != 0 ? rc : section_bootstrap(r, &top, c);
    rc = rc != 0                         ? rc
         : source->use == CONFIG_WITNESS ? check_witness(r, &top)
                                         : read_instance(r, source, &top, c);
    return rc != 0 ? rc : check_ports(r, c);
}

int config_from_json(const struct config_source *source, json_t *tree, struct config *ret_config,
                     struct config_warnings *warnings, struct error *err)
{
    struct config config = {.memory = config_memory_new()};
    struct reader r = {.path = source->path,
                       .memory = config.memory,
                       .warnings = warnings,
                       .environment = source->environment,
                       .err = err};
    int rc = 0;
    *ret_config = (struct config){0};
    if (!json_is_object(tree)) {
        rc = error_set(
            err, ERR_INVALID,
            "%s: holds no mapping of keys and values: give a configuration, with scope, name, "
            "raft, restapi and postgresql",
            source->path);
    } else {
        json_t *whole = NULL;
        config.path = config_keep_text(config.memory, mem_strdup(source->path));
        config.cwd = config_keep_text(config.memory, mem_strdup(source->cwd));
        config.home = config_keep_text(config.memory, mem_strdup(source->home));
        rc = environment_merge(tree, source->merged ? NULL : source->environment, &whole, err);
        if (rc != 0) {
            error_wrap(err, "%s", source->path);
        } else {
            config.document = config_keep_json(config.memory, whole);
            rc = read_all(&r, source, config.document, &config);
        }
    }
    if (rc != 0) {
        config_free(&config);
        return rc;
    }
    *ret_config = config;
    return 0;
}

void config_free(struct config *config)
{
    if (config != NULL) {
        config_memory_free(config->memory);
        *config = (struct config){0};
    }
}

void config_warnings_free(struct config_warnings *warnings)
{
    for (size_t i = 0; i < warnings->count && i < CONFIG_WARNINGS_MAX; i++) {
        mem_free(warnings->texts[i]);
    }
    *warnings = (struct config_warnings){0};
}

int64_t config_ttl_min_ms(const struct config *config)
{
    return config->store == CONFIG_STORE_RAFT ? DYNAMIC_TTL_MS_MIN_RAFT : DYNAMIC_TTL_MS_MIN_ETCD;
}

void config_raft_timeouts(const struct config_raft *raft, int64_t ttl_ms,
                          int *ret_election_timeout_ms, int *ret_heartbeat_ms)
{
    int64_t election = ttl_ms / 6 < 500 ? 500 : ttl_ms / 6 > 1000 ? 1000 : ttl_ms / 6;
    *ret_election_timeout_ms =
        raft->election_timeout_ms != 0 ? raft->election_timeout_ms : (int)election;
    *ret_heartbeat_ms =
        raft->heartbeat_ms != 0 ? raft->heartbeat_ms : *ret_election_timeout_ms / 10;
}
