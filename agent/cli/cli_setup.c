/* Options and the file come in any order, as with Patroni: `patroni --validate-config FILE -i`. */
#include "agent/cli/cli_setup.h"

#include "agent/cli/cli_verbs.h"
#include "agent/config/config.h"
#include "agent/generate.h"
#include "agent/validate.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { SETUP_VALIDATE = 256, SETUP_GENERATE, SETUP_SAMPLE, SETUP_DSN };

static const struct option options[] = {
    {"validate-config", no_argument, NULL, SETUP_VALIDATE},
    {"generate-config", no_argument, NULL, SETUP_GENERATE},
    {"generate-sample-config", no_argument, NULL, SETUP_SAMPLE},
    {"dsn", required_argument, NULL, SETUP_DSN},
    {"ignore-listen-port", no_argument, NULL, 'i'},
    {"print", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

bool cli_setup_asked(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        for (size_t j = 0; j < 3; j++) {
            if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, options[j].name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static int usage(FILE *out, int status, const char *text)
{
    (void)fprintf(
        out,
        "Usage: pgquorum --validate-config [-i] [-p] [FILE]   all that is wrong with it\n"
        "       pgquorum --generate-sample-config [FILE]      a file to begin with\n"
        "       pgquorum --generate-config [--dsn DSN] [FILE] the same, of a PostgreSQL that runs\n"
        "\n"
        "  -i, --ignore-listen-port   ports may be in use: by this member, which runs\n"
        "  -p, --print                print what was read, if it is right, without passwords\n"
        "      --dsn DSN              libpq's connection string of a superuser\n");
    if (text != NULL) {
        (void)fprintf(out, "Error: %s\n", text);
    }
    return status;
}

int cli_setup(int argc, char **argv)
{
    struct validate_options validate = {.path = NULL};
    const char *dsn = NULL;
    int what = 0;
    int option = 0;
    optind = 0;
    while ((option = getopt_long(argc, argv, "iph", options, NULL)) != -1) {
        switch (option) {
        case SETUP_VALIDATE:
        case SETUP_GENERATE:
        case SETUP_SAMPLE:
            if (what != 0 && what != option) {
                return usage(stderr, CLI_USAGE, "two things are asked for: give one of them");
            }
            what = option;
            break;
        case SETUP_DSN: dsn = optarg; break;
        case 'i': validate.ignore_listen_ports = true; break;
        case 'p': validate.print = true; break;
        case 'h': return usage(stdout, CLI_OK, NULL);
        default: return usage(stderr, CLI_USAGE, NULL);
        }
    }
    const char *path = optind < argc ? argv[optind] : NULL;
    if (argc - optind > 1) {
        return usage(stderr, CLI_USAGE, "more than one file: give one");
    }
    if ((dsn != NULL && what != SETUP_GENERATE) ||
        ((validate.print || validate.ignore_listen_ports) && what != SETUP_VALIDATE)) {
        return usage(stderr, CLI_USAGE,
                     "--dsn goes with --generate-config, -i and -p with --validate-config");
    }
    if (what != SETUP_VALIDATE) {
        return what == SETUP_SAMPLE ? generate_sample(path) : generate_from_instance(path, dsn);
    }
    if (path == NULL && !config_environment_given()) {
        return usage(stderr, CLI_USAGE,
                     "give a configuration file, or PATRONI_* in the environment");
    }
    validate.path = path;
    return validate_run(&validate);
}
