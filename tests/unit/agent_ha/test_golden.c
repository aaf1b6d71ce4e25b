/* Scenarios as text: tests/golden/ha/NAME.txt is facts, a line ----, and the plan. They are found,
 * not registered. A line "< NAME" stands for the facts in tests/golden/ha/facts/NAME; later lines
 * change single fields of them. GOLDEN_WRITE=1 writes the plans anew: review the diff. GOLDEN_DIR
 * is where the scenarios are, by default below the current directory. */
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_rules.h"
#include "base/buf.h"
#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCENARIOS_MAX 1024
#define SCENARIOS_MIN 40 /* fewer than that were not found where they are */
#define PATH_BYTES    512
#define SEPARATOR     "----\n"

static const char *directory(void)
{
    const char *given = getenv("GOLDEN_DIR");
    return given != NULL ? given : "tests/golden/ha";
}

static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    char block[4096];
    size_t len = 0;
    while ((len = fread(block, 1, sizeof block, file)) > 0) {
        buf_put(out, block, len);
    }
    (void)fclose(file);
    return true;
}

/* Replaces "< NAME" lines. */
static void expand(const char *facts, size_t len, struct buf *out)
{
    const char *end = facts + len;
    while (facts < end) {
        size_t line = strcspn(facts, "\n") + 1;
        if (strncmp(facts, "< ", 2) == 0) {
            char path[PATH_BYTES];
            (void)snprintf(path, sizeof path, "%s/facts/%.*s", directory(), (int)line - 3,
                           facts + 2);
            if (!read_file(path, out)) {
                fail_msg("no facts '%s'", path);
            }
        } else {
            buf_put(out, facts, line);
        }
        facts += line;
    }
}

static char *plan_text(const char *name, const char *facts, size_t len)
{
    static struct ha_snapshot s;
    static struct ha_snapshot again;
    static struct ha_plan plan;
    struct error err = {0};
    struct buf text = BUF_INIT;
    expand(facts, len, &text);
    if (ha_snapshot_parse(buf_str(&text), &s, &err) != 0) {
        fail_msg("%s: %s", name, err.text);
    }
    /* What is printed is read back as the same: `explain` and these files can be exchanged. */
    buf_clear(&text);
    ha_snapshot_print(&s, &text);
    assert_int_equal(ha_snapshot_parse(buf_str(&text), &again, &err), 0);
    struct buf twice = BUF_INIT;
    ha_snapshot_print(&again, &twice);
    assert_string_equal(buf_str(&text), buf_str(&twice));
    buf_free(&twice);
    buf_clear(&text);
    ha_decide(&s, &plan);
    ha_plan_print(&plan, &text);
    return buf_take(&text);
}

static void write_scenario(const char *path, const char *facts, size_t len, const char *plan)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(facts, 1, len, file), len);
    assert_true(fputs(SEPARATOR, file) >= 0);
    assert_true(fputs(plan, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void one_scenario(void **state)
{
    const char *name = *state;
    char path[PATH_BYTES];
    struct buf file = BUF_INIT;
    (void)snprintf(path, sizeof path, "%s/%s", directory(), name);
    assert_true(read_file(path, &file));
    const char *text = buf_str(&file);
    const char *separator = strstr(text, SEPARATOR);
    size_t facts_len = separator == NULL ? strlen(text) : (size_t)(separator - text);
    char *plan = plan_text(name, text, facts_len);
    if (getenv("GOLDEN_WRITE") != NULL) {
        write_scenario(path, text, facts_len, plan);
    } else {
        assert_non_null(separator);
        assert_string_equal(plan, separator + strlen(SEPARATOR));
    }
    mem_free(plan);
    buf_free(&file);
}

static char *names[SCENARIOS_MAX];
static size_t name_count;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void find_scenarios(void)
{
    DIR *dir = opendir(directory());
    const struct dirent *entry = NULL;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot != NULL && strcmp(dot, ".txt") == 0 && name_count < SCENARIOS_MAX) {
            names[name_count++] = mem_strdup(entry->d_name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    qsort(names, name_count, sizeof names[0], by_name);
}

static void there_are_scenarios(void **state)
{
    (void)state;
    assert_true(name_count >= SCENARIOS_MIN);
    assert_true(name_count < SCENARIOS_MAX); /* none was left out */
}

static void decide_scenario(const char *name, struct ha_plan *plan)
{
    static struct ha_snapshot s;
    char path[PATH_BYTES];
    struct buf file = BUF_INIT;
    struct buf text = BUF_INIT;
    (void)snprintf(path, sizeof path, "%s/%s", directory(), name);
    assert_true(read_file(path, &file));
    const char *separator = strstr(buf_str(&file), SEPARATOR);
    expand(buf_str(&file), separator == NULL ? file.len : (size_t)(separator - buf_str(&file)),
           &text);
    assert_int_equal(ha_snapshot_parse(buf_str(&text), &s, NULL), 0);
    ha_decide(&s, plan);
    buf_free(&file);
    buf_free(&text);
}

/* Each rule of each list is the answer of some scenario, and is passed over in another one of its
 * situation. */
static void each_rule_is_hit_both_ways(void **state)
{
    (void)state;
    const struct ha_rule_list *lists[] = {
        &ha_rules_common,   &ha_rules_pause,  &ha_rules_bootstrap, &ha_rules_stopped,
        &ha_rules_starting, &ha_rules_leader, &ha_rules_replica,   &ha_rules_unlocked};
    static struct ha_plan plans[SCENARIOS_MAX];
    unsigned missing = 0;
    for (size_t i = 0; i < name_count; i++) {
        decide_scenario(names[i], &plans[i]);
    }
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        for (size_t r = 0; r < lists[l]->count; r++) {
            unsigned hits = 0;
            unsigned misses = 0;
            for (size_t i = 0; i < name_count; i++) {
                bool here = strcmp(plans[i].situation, lists[l]->name) == 0;
                bool hit = here && strcmp(plans[i].rule, lists[l]->rules[r].name) == 0;
                hits += hit;
                misses += !hit && (here || l == 0);
            }
            if (hits == 0 || misses == 0) {
                print_error("%s/%s: %u scenarios hit it, %u pass it\n", lists[l]->name,
                            lists[l]->rules[r].name, hits, misses);
                missing++;
            }
        }
    }
    assert_int_equal(missing, 0);
}

int main(void)
{
    static struct CMUnitTest tests[SCENARIOS_MAX + 2];
    size_t count = 0;
    find_scenarios();
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(there_are_scenarios);
    for (size_t i = 0; i < name_count; i++) {
        tests[count++] = (struct CMUnitTest){names[i], one_scenario, NULL, NULL, names[i]};
    }
    if (getenv("GOLDEN_WRITE") == NULL) {
        tests[count++] = (struct CMUnitTest)cmocka_unit_test(each_rule_is_hit_both_ways);
    }
    int failed = _cmocka_run_group_tests("golden", tests, count, NULL, NULL);
    for (size_t i = 0; i < name_count; i++) {
        mem_free(names[i]);
    }
    return failed;
}
