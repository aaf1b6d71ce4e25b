/* The verbs in the order of the help. `id`s are of their verb alone, but for 'G' (--group), which
 * cli_option keeps to itself, and 'n' (--dry-run). */
#include "agent/cli/cli_grammar.h"

#include <string.h>

#define END                                   \
    {                                         \
        NULL, 0, 0, NULL, NULL, CLI_WORDS_ANY \
    }
#define FLAG(name, letter, id, what)                \
    {                                               \
        name, letter, id, NULL, what, CLI_WORDS_ANY \
    }
#define TAKES(name, letter, id, value, what)         \
    {                                                \
        name, letter, id, value, what, CLI_WORDS_ANY \
    }
#define GROUP TAKES("group", 0, 'G', "NUMBER", "the group of a Citus cluster of Patroni's")
#define FORMAT                                                                              \
    {                                                                                       \
        "format", 'f', 'f', "FORMAT", "pretty (default), tsv, json, yaml", CLI_WORDS_FORMAT \
    }
#define ROLE(what)                                     \
    {                                                  \
        "role", 'r', 'r', "ROLE", what, CLI_WORDS_ROLE \
    }
#define WATCH                                      \
    FLAG(NULL, 'W', 'W', "again every 2 seconds"), \
        TAKES("watch", 'w', 'w', "SECONDS", "again every so many seconds")
#define FORCE   FLAG("force", 0, 'F', "ask nothing")
#define DRY_RUN FLAG("dry-run", 0, 'n', "tell what would happen, and change nothing")

static const struct cli_option none[] = {END};
static const struct cli_option group_only[] = {GROUP, END};

static const struct cli_option before_verb[] = {
    {"config-file", 'c', 'c', "FILE", "the file of the agent (or PATRONICTL_CONFIG_FILE)",
     CLI_WORDS_FILE},
    TAKES("dcs-url", 'd', 'd', "URL",
          "etcd3://host:port/namespace, or etcd://: in place of the file's store (or DCS_URL)"),
    TAKES("dcs", 0, 'd', "URL", NULL),
    FLAG("insecure", 'k', 'k', "take any certificate of the members' REST interfaces"),
    FLAG("help", 'h', 'h', "what there is"),
    FLAG("version", 0, 'V', "of this program"),
    END};

static const struct cli_option list_options[] = {
    FLAG("extended", 'e', 'e', "the columns of Patroni that tell nothing just now, too"),
    FLAG("timestamp", 't', 't', "the time first"),
    FORMAT,
    WATCH,
    GROUP,
    END};
static const struct cli_option topology_options[] = {WATCH, GROUP, END};
static const struct cli_option history_options[] = {FORMAT, GROUP, END};
static const struct cli_option switchover_options[] = {
    TAKES("leader", 0, 'l', "NAME", "who leads now"),
    TAKES("primary", 0, 'l', "NAME", NULL),
    TAKES("master", 0, 'l', "NAME", NULL),
    TAKES("candidate", 0, 'c', "NAME", "who is to lead; without it the best"),
    TAKES("scheduled", 0, 's', "TIME",
          "when: 2026-12-01T03:00 or 2026-12-01T03:00+01:00; without a zone, local time; now"),
    FORCE,
    DRY_RUN,
    GROUP,
    END};
static const struct cli_option failover_options[] = {
    TAKES("candidate", 0, 'c', "NAME", "who is to lead"), FORCE, DRY_RUN, GROUP, END};
static const struct cli_option restart_options[] = {
    ROLE("members of that role only"),
    FLAG("any", 0, 'a', "one of them, at random"),
    TAKES("scheduled", 0, 's', "TIME", "when, as of switchover"),
    TAKES("pg-version", 0, 'v', "VERSION", "only where PostgreSQL is older than it"),
    FLAG("pending", 0, 'p', "only where a setting waits for a restart"),
    TAKES("timeout", 0, 't', "TIME", "how long the start may take before another member leads"),
    FORCE,
    DRY_RUN,
    GROUP,
    END};
static const struct cli_option reinit_options[] = {
    FLAG("from-leader", 0, 'l', "copy the leader, whatever else could be copied"),
    FLAG("wait", 0, 'w', "until it is done"),
    FORCE,
    DRY_RUN,
    GROUP,
    END};
static const struct cli_option flush_options[] = {ROLE("members of that role only"), FORCE, DRY_RUN,
                                                  GROUP, END};
static const struct cli_option reload_options[] = {ROLE("members of that role only"), FORCE,
                                                   DRY_RUN, GROUP, END};
static const struct cli_option reexec_options[] = {ROLE("members of that role only"), FORCE,
                                                   DRY_RUN, GROUP, END};
static const struct cli_option pause_options[] = {
    FLAG("wait", 0, 'w', "until every member says so"), DRY_RUN, GROUP, END};
static const struct cli_option demote_options[] = {
    TAKES("host", 0, 'h', "HOST", "of the other cluster"),
    TAKES("port", 0, 'p', "PORT", "of the other cluster"),
    TAKES("restore-command", 0, 'r', "COMMAND", "how its WAL is fetched"),
    TAKES("primary-slot-name", 0, 's', "NAME", "the slot there that is streamed from"),
    FORCE,
    DRY_RUN,
    END};
static const struct cli_option promote_options[] = {FORCE, DRY_RUN, END};
static const struct cli_option edit_options[] = {
    FLAG("quiet", 'q', 'q', "do not show the difference"),
    TAKES("set", 's', 's', "KEY=VALUE",
          "a value of YAML; null removes the key; may be given often"),
    TAKES("pg", 'p', 'p', "PARAMETER=VALUE", "of postgresql.parameters; may be given often"),
    {"apply", 0, 'a', "FILE", "merge this file of YAML (- is standard input)", CLI_WORDS_FILE},
    {"replace", 0, 'r', "FILE", "take this file in its place (- is standard input)",
     CLI_WORDS_FILE},
    FORCE,
    DRY_RUN,
    GROUP,
    END};
static const struct cli_option dsn_options[] = {
    ROLE("any member of that role; without it, of the leader"),
    TAKES("member", 'm', 'm', "NAME", "that member"), GROUP, END};
static const struct cli_option query_options[] = {
    TAKES("command", 'c', 'c', "SQL", "what is executed"),
    {"file", 'f', 'f', "FILE", "what is executed is in this file", CLI_WORDS_FILE},
    {"format", 0, 'o', "FORMAT", "pretty, tsv (default), json, yaml", CLI_WORDS_FORMAT},
    TAKES("delimiter", 0, 'D', "TEXT", "between the columns of tsv"),
    TAKES("username", 'U', 'U', "NAME", "whom to connect as"),
    FLAG("password", 0, 'P', "ask for a password"),
    TAKES("dbname", 'd', 'd', "NAME", "the database"),
    ROLE("a member of that role; without it, the leader"),
    TAKES("member", 'm', 'm', "NAME", "that member"),
    WATCH,
    GROUP,
    END};
static const struct cli_option remove_options[] = {FORMAT, DRY_RUN, GROUP, END};
static const struct cli_option raft_options[] = {FORMAT, FORCE, DRY_RUN, END};
static const struct cli_option import_options[] = {
    {"from", 0, 'o', "URL|FILE", "the etcd that the cluster runs on, or a file that names it",
     CLI_WORDS_FILE},
    TAKES("prefix", 0, 'p', "/NAMESPACE/SCOPE", "where its keys are, if not where the file says"),
    FORCE,
    DRY_RUN,
    END};
static const struct cli_option explain_options[] = {
    FLAG("inputs", 'i', 'i', "what was decided on, too"),
    {"format", 'f', 'f', "FORMAT", "pretty (default), json", CLI_WORDS_FORMAT},
    END};

const struct cli_grammar cli_grammar[] = {
    {"", "COMMAND ...", "", NULL, before_verb},
    {"run", "[FILE]", "the agent: runs PostgreSQL as a member of the cluster", NULL, none},
    {"witness", "[FILE]", "a member that only votes, without PostgreSQL", NULL, none},
    {"list", "[CLUSTER...]", "members of the cluster", NULL, list_options},
    {"topology", "[CLUSTER...]", "members as a tree", NULL, topology_options},
    {"switchover", "[CLUSTER]", "move the leader on purpose", NULL, switchover_options},
    {"failover", "[CLUSTER]", "make a member the leader though there is none", NULL,
     failover_options},
    {"restart", "CLUSTER [MEMBER...]", "restart PostgreSQL of members, now or at a time", NULL,
     restart_options},
    {"reinit", "CLUSTER [MEMBER...]", "copy standbys anew: their data directories are removed",
     NULL, reinit_options},
    {"flush", "CLUSTER [MEMBER...] restart|switchover", "delete what is scheduled",
     "restart switchover", flush_options},
    {"pause", "[CLUSTER]",
     "leave PostgreSQL to the operator: nothing is stopped, started or promoted by itself", NULL,
     pause_options},
    {"resume", "[CLUSTER]", "end of the pause", NULL, pause_options},
    {"demote-cluster", "[CLUSTER]",
     "make this cluster a standby of another one: it has no primary of its own then", NULL,
     demote_options},
    {"promote-cluster", "[CLUSTER]", "make a standby cluster one of its own again", NULL,
     promote_options},
    {"show-config", "[CLUSTER]", "the dynamic configuration", NULL, group_only},
    {"edit-config", "[CLUSTER]", "change it", NULL, edit_options},
    {"reload", "CLUSTER [MEMBER...]", "have members read their configuration files again", NULL,
     reload_options},
    {"reexec", "CLUSTER [MEMBER...]",
     "have agents execute their program anew, in place: an upgrade, under which PostgreSQL runs on",
     NULL, reexec_options},
    {"history", "[CLUSTER]", "timelines and why they began", NULL, history_options},
    {"dsn", "[CLUSTER]", "where to connect to", NULL, dsn_options},
    {"query", "[CLUSTER]", "run SQL on a member", NULL, query_options},
    {"remove", "CLUSTER", "delete all that the store holds of a cluster", NULL, remove_options},
    {"raft", "status|members|remove NAME|recover",
     "the Raft group: its members, taking one out, and the way back after a lost majority",
     "status members remove recover", raft_options},
    {"import-etcd", "[CLUSTER]",
     "copy the keys of a paused cluster from its etcd into the store of the file", NULL,
     import_options},
    {"explain", "[MEMBER]", "the last decisions of a member, and why", NULL, explain_options},
    {"version", "[CLUSTER [MEMBER...]]", "of this program, and of the members", NULL, group_only},
    {"completion", "bash|zsh", "what a shell reads to complete these commands", "bash zsh", none},
    {"help", "", "this text", NULL, none},
};
const size_t cli_grammar_count = sizeof(cli_grammar) / sizeof(cli_grammar[0]);

const char *cli_words_text(enum cli_words words)
{
    switch (words) {
    case CLI_WORDS_FORMAT: return "pretty tsv json yaml";
    case CLI_WORDS_ROLE: return "leader primary standby-leader replica standby any";
    case CLI_WORDS_ANY:
    case CLI_WORDS_FILE: break;
    }
    return "";
}

const struct cli_grammar *cli_grammar_of(const char *verb)
{
    for (size_t i = 0; i < cli_grammar_count; i++) {
        if (strcmp(cli_grammar[i].verb, verb) == 0) {
            return &cli_grammar[i];
        }
    }
    return NULL;
}

static void put_name(const struct cli_option *option, struct buf *out)
{
    if (option->letter != 0) {
        buf_printf(out, "-%c", option->letter);
    } else {
        buf_printf(out, "--%s", option->name);
    }
}

void cli_grammar_usage(const struct cli_grammar *grammar, struct buf *out)
{
    const char *space = grammar->verb[0] != '\0' && grammar->arguments[0] != '\0' ? " " : "";
    buf_printf(out, "%s%s%s", grammar->verb, space, grammar->arguments);
    for (const struct cli_option *o = grammar->options; o->id != 0; o++) {
        if (o->what != NULL) {
            buf_put_str(out, " [");
            put_name(o, out);
            buf_printf(out, "%s%s]", o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        }
    }
}

void cli_grammar_options(const struct cli_option *options, struct buf *out)
{
    for (const struct cli_option *o = options; o->id != 0; o++) {
        struct buf name = BUF_INIT;
        if (o->what == NULL) {
            continue;
        }
        if (o->letter != 0) {
            buf_printf(&name, "-%c%s", o->letter, o->name != NULL ? ", " : "");
        } else {
            buf_put_str(&name, "    ");
        }
        buf_printf(&name, "%s%s%s%s", o->name != NULL ? "--" : "", o->name != NULL ? o->name : "",
                   o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        buf_printf(out, "  %-28s %s\n", buf_str(&name), o->what);
        buf_free(&name);
    }
}
