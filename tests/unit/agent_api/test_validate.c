/* What a configuration means on this host, and the file that is made to begin with. */
#include "agent/config/config.h"
#include "agent/generate.h"
#include "agent/validate.h"
#include "base/mem.h"
#include "tests/harness/free_port.h"
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

static char directory[256];
static char said[16384]; /* on both outputs */

static char *in_directory(const char *name)
{
    return mem_printf("%s/%s", directory, name);
}

static void put(const char *name, const char *text)
{
    char *path = in_directory(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    mem_free(path);
}

/* Both outputs of what runs between the two go into `said`. */
static FILE *listen_begin(int saved[2])
{
    FILE *file = tmpfile();
    (void)fflush(stdout);
    (void)fflush(stderr);
    saved[0] = dup(1);
    saved[1] = dup(2);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    return file;
}

static void listen_end(FILE *file, int saved[2])
{
    (void)fflush(stdout);
    (void)fflush(stderr);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
    rewind(file);
    size_t len = fread(said, 1, sizeof(said) - 1, file);
    said[len] = '\0';
    fclose(file);
}

static int validated(const char *name, bool ignore_ports, bool print)
{
    int saved[2];
    char *path = in_directory(name);
    struct validate_options options = {
        .path = path, .ignore_listen_ports = ignore_ports, .print = print};
    FILE *file = listen_begin(saved);
    int status = validate_run(&options);
    listen_end(file, saved);
    mem_free(path);
    return status;
}

static int sampled(const char *path)
{
    int saved[2];
    FILE *file = listen_begin(saved);
    int status = generate_sample(path);
    listen_end(file, saved);
    return status;
}

static void says(const char *words)
{
    if (strstr(said, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, said);
    }
}

/* A member whose ports and directories are free. */
static void put_good(const char *name, const char *more)
{
    char *text = mem_printf("scope: s\nname: n\n"
                            "restapi: {listen: '*:%d', connect_address: '10.0.0.1:8008'}\n"
                            "raft: {data_dir: %s/raft, self_addr: '10.0.0.1:2222', bind_addr: "
                            "'127.0.0.1:%d', password: s3cret}\n"
                            "postgresql:\n"
                            "  listen: '127.0.0.1:%d'\n"
                            "  connect_address: '10.0.0.1:5432'\n"
                            "  data_dir: %s/data\n"
                            "  authentication: {replication: {username: r, password: s3cret}}\n"
                            "%s",
                            free_port(), directory, free_port(), free_port(), directory, more);
    put(name, text);
    mem_free(text);
}

static void what_is_right_says_nothing(void **state)
{
    (void)state;
    put_good("good.yml", "");
    assert_int_equal(validated("good.yml", false, false), 0);
    assert_string_equal(said, "");
    assert_int_equal(validated("good.yml", false, true), 0);
    says("  password: '***'\n");
    says("  data_dir: ");
    assert_null(strstr(said, "s3cret"));
}

static void faults_of_document_and_host_come_together(void **state)
{
    (void)state;
    put_good("bad.yml", "log: {level: loud, traceback_level: DEBUG}\nwatchdog: {mode: sometimes}\n"
                        "bootstrap: {initdb: [data-checksums]}\n");
    assert_int_equal(validated("bad.yml", false, true), 1);
    says("bad.yml: log.level: 'loud' is no level");
    says("bad.yml: watchdog.mode: is none of the modes");
    says("bad.yml: bootstrap.dcs: is not there, and a 'bootstrap' section is");
    says("warning: ");
    assert_null(strstr(said, "scope:")); /* what is not right is not printed */
    assert_null(strstr(said, "/nonexistent/"));
}

static void a_fault_that_is_quoted_up_to_the_middle_of_a_character_counts(void **state)
{
    (void)state;
    put_good("cut.yml", "log: {level: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa9y}\n");
    assert_int_equal(validated("cut.yml", true, true), 1);
    says("cut.yml: log.level: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx?' is no level");
}

/* What the checks of this host say is told as what the document says is. */
static void a_fault_in_a_file_of_another_encoding_counts(void **state)
{
    (void)state;
    put_good("caf\xe9.yml", "  bin_dir: /nonexistent\n");
    assert_int_equal(validated("caf\xe9.yml", true, false), 1);
    says(".yml: postgresql.bin_dir '/nonexistent' has no program 'postgres'");
    put_good("caf\xe9.yml", "etcd_server: {listen: '127.0.0.1:1', certfile: /nonexistent.pem}\n");
    assert_int_equal(validated("caf\xe9.yml", true, false), 1);
    says(".yml: etcd_server.certfile: '/nonexistent.pem' cannot be read");
}

static void a_port_in_use_is_told_unless_it_does_not_matter(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char *more = mem_printf("etcd_server: {listen: '127.0.0.1:%d'}\n", ntohs(address.sin_port));
    put_good("port.yml", more);
    assert_int_equal(validated("port.yml", false, false), 1);
    says("etcd_server.listen: '127.0.0.1' port ");
    says("Address already in use: give an address of this host and a free port, or -i");
    assert_int_equal(validated("port.yml", true, false), 0);
    assert_string_equal(said, "");
    mem_free(more);
    close(fd);
}

static void data_of_something_else_or_another_version_is_told(void **state)
{
    char *data = in_directory("data");
    (void)state;
    put_good("data.yml", "");
    assert_int_equal(mkdir(data, 0700), 0);
    assert_int_equal(validated("data.yml", true, false), 0); /* empty */
    put("data/notes.txt", "x");
    assert_int_equal(validated("data.yml", true, false), 1);
    says("has something in it, and no PG_VERSION: give an empty directory");
    put("data/PG_VERSION", "9.6\n");
    assert_int_equal(validated("data.yml", true, false), 1);
    says("postgresql.bin_dir: its programs are of PostgreSQL ");
    says(", and data_dir is of 9: give the programs of that version");
    mem_free(data);
    data = mem_printf("rm -r %s/data", directory);
    FILE *done = popen(data, "r");
    assert_int_equal(pclose(done), 0);
    mem_free(data);
}

static void programs_and_files_that_are_missing_are_told(void **state)
{
    (void)state;
    put_good("files.yml", "  bin_dir: /nonexistent\n"
                          "etcd_server: {listen: '127.0.0.1:1', certfile: /nonexistent.pem}\n");
    assert_int_equal(validated("files.yml", true, false), 1);
    says("files.yml: postgresql.bin_dir '/nonexistent' has no program 'postgres'");
    says("files.yml: etcd_server.certfile: '/nonexistent.pem' cannot be read");
}

static void an_address_that_leads_to_oneself_is_told(void **state)
{
    (void)state;
    put_good("told.yml", "");
    char *path = in_directory("told.yml");
    char *command = mem_printf("sed -i 's/10.0.0.1:8008/localhost:8008/' %s", path);
    FILE *done = popen(command, "r");
    assert_int_equal(pclose(done), 0);
    mem_free(command);
    mem_free(path);
    assert_int_equal(validated("told.yml", true, false), 1);
    says("restapi.connect_address: 'localhost:8008' leads every other host to itself");
}

static void an_etcd_that_nobody_serves_is_told(void **state)
{
    (void)state;
    char *text = mem_printf("scope: s\nname: n\nstate_dir: %s/state\n"
                            "restapi: {listen: '10.0.0.1:8008'}\n"
                            "etcd3: {host: '127.0.0.1:%d'}\n"
                            "postgresql:\n"
                            "  listen: '10.0.0.1:5432'\n"
                            "  data_dir: %s/data\n"
                            "  authentication: {replication: {username: r}}\n",
                            directory, free_port(), directory);
    put("etcd.yml", text);
    mem_free(text);
    assert_int_equal(validated("etcd.yml", true, false), 1);
    says("etcd.yml: etcd3: 'http://127.0.0.1:");
    says("cannot be reached: Connection refused: start etcd there");
}

static void the_sample_is_right_and_is_not_written_over(void **state)
{
    struct config config;
    struct error err = {0};
    struct stat status;
    char *path = in_directory("sample.yml");
    (void)state;
    assert_int_equal(sampled(path), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    if (config_load(path, &config, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(json_object_size(json_object_get(
                         json_object_get(config.bootstrap.dcs, "postgresql"), "parameters")),
                     11);
    config_free(&config);
    assert_int_equal(validated("sample.yml", true, false), 0);
    assert_int_equal(sampled(path), 1);
    says("sample.yml: cannot be made: File exists: give the path of a file that is not there");
    assert_int_equal(sampled(NULL), 0);
    says("# A member of a cluster of three");
    says("\nscope: cluster\n");
    mem_free(path);
}

static void a_server_that_is_not_there_is_told(void **state)
{
    int saved[2];
    FILE *file = listen_begin(saved);
    (void)state;
    int status = generate_from_instance(NULL, "host=/nonexistent user=postgres");
    listen_end(file, saved);
    assert_int_equal(status, 1);
    says("connecting to PostgreSQL: ");
    says("give a superuser's connection in --dsn");
}

static int make_directory(void **state)
{
    (void)state;
    scratch_make(directory, sizeof(directory), "/tmp", "validate");
    return 0;
}

static int remove_directory(void **state)
{
    char *command = mem_printf("rm -r %s", directory);
    FILE *done = popen(command, "r");
    (void)state;
    mem_free(command);
    return done == NULL ? -1 : pclose(done);
}

int main(void)
{
    json_set_alloc_funcs(mem_try, mem_free); /* as agent/app.c does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_says_nothing),
        cmocka_unit_test(faults_of_document_and_host_come_together),
        cmocka_unit_test(a_fault_that_is_quoted_up_to_the_middle_of_a_character_counts),
        cmocka_unit_test(a_fault_in_a_file_of_another_encoding_counts),
        cmocka_unit_test(a_port_in_use_is_told_unless_it_does_not_matter),
        cmocka_unit_test(data_of_something_else_or_another_version_is_told),
        cmocka_unit_test(programs_and_files_that_are_missing_are_told),
        cmocka_unit_test(an_address_that_leads_to_oneself_is_told),
        cmocka_unit_test(an_etcd_that_nobody_serves_is_told),
        cmocka_unit_test(the_sample_is_right_and_is_not_written_over),
        cmocka_unit_test(a_server_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
