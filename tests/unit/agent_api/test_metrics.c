/* The text format of Prometheus, to the byte and through a strict reader. */
#include "agent/api/api_metrics.h"

#include "tests/unit/agent_api/prometheus.h"

#include "base/mem.h"

static struct prom prom;

static char *one(double value)
{
    struct api_metrics metrics;
    api_metrics_init(&metrics, "s", "n");
    api_metrics_add(&metrics, "x_y", "gauge", "Why.", value);
    return api_metrics_take(&metrics);
}

static void a_metric_has_help_type_and_one_sample(void **state)
{
    char *text = one(1);
    (void)state;
    assert_string_equal(text, "# HELP x_y Why.\n# TYPE x_y gauge\nx_y{scope=\"s\",name=\"n\"} 1\n");
    prom_read(text, &prom);
    mem_free(text);
}

static void numbers_have_the_digits_that_say_something(void **state)
{
    static const struct {
        double value;
        const char *text;
    } numbers[] = {{0, "0"},
                   {-1, "-1"},
                   {0.1, "0.1"},
                   {-0.001, "-0.001"},
                   {1721846400.123, "1721846400.123"},
                   {83886080000, "83886080000"},
                   {9007199254740991.0, "9007199254740991"},
                   {1e300, "1e+300"}};
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char *text = one(numbers[i].value);
        assert_non_null(strstr(text, "\"} "));
        char *end = strstr(text, "\"} ") + 3;
        assert_memory_equal(end, numbers[i].text, strlen(numbers[i].text));
        assert_string_equal(end + strlen(numbers[i].text), "\n");
        prom_read(text, &prom);
        mem_free(text);
    }
}

static void labels_are_escaped_and_never_cut(void **state)
{
    struct api_metrics metrics;
    char longest[200];
    (void)state;
    memset(longest, '"', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    api_metrics_init(&metrics, longest, "a\"b\\c\nd{}=,\xc3\xa4");
    api_metrics_add(&metrics, "x", "counter", "h", 0);
    char *text = api_metrics_take(&metrics);
    assert_non_null(strstr(text, ",name=\"a\\\"b\\\\c\\nd{}=,\xc3\xa4\"} 0\n"));
    prom_read(text, &prom);
    assert_string_equal(prom.metrics[0].scope, longest);
    assert_string_equal(prom.metrics[0].member, "a\"b\\c\nd{}=,\xc3\xa4");
    mem_free(text);
}

static void a_comment_stands_between_help_and_type(void **state)
{
    struct api_metrics metrics;
    (void)state;
    api_metrics_init(&metrics, "s", "n");
    api_metrics_add_text(&metrics, "v", "Version.", NULL, "040104");
    api_metrics_add_text(&metrics, "t", "State.", "Values: 0=a", "5");
    char *text = api_metrics_take(&metrics);
    assert_string_equal(
        text, "# HELP v Version.\n# TYPE v gauge\nv{scope=\"s\",name=\"n\"} 040104\n"
              "# HELP t State.\n# Values: 0=a\n# TYPE t gauge\nt{scope=\"s\",name=\"n\"} 5\n");
    prom_read(text, &prom);
    assert_int_equal(prom.count, 2);
    mem_free(text);
}

static void states_have_the_numbers_of_patroni(void **state)
{
    static const char *const states[] = {"initializing new cluster",
                                         "initdb failed",
                                         "running custom bootstrap script",
                                         "custom bootstrap failed",
                                         "creating replica",
                                         "running",
                                         "starting",
                                         "starting after custom bootstrap",
                                         "start failed",
                                         "restarting",
                                         "restart failed",
                                         "stopping",
                                         "stopped",
                                         "stop failed",
                                         "crashed"};
    char text[API_METRICS_STATES_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        assert_int_equal(api_metrics_state(states[i]), i);
    }
    assert_int_equal(api_metrics_state("unknown"), -1);
    assert_int_equal(api_metrics_state("running pg_rewind"), -1);
    api_metrics_states(text);
    assert_string_equal(
        text, "Values: 0=initdb, 1=initdb_failed, 2=custom_bootstrap, 3=custom_bootstrap_failed, "
              "4=creating_replica, 5=running, 6=starting, 7=bootstrap_starting, 8=start_failed, "
              "9=restarting, 10=restart_failed, 11=stopping, 12=stopped, 13=stop_failed, "
              "14=crashed, -1=unknown");
}

static void samples_are_told_apart_by_their_labels(void **state)
{
    struct api_metrics metrics;
    struct api_label labels[] = {{"peer", "a\"b"}, {"stage", "sent"}};
    (void)state;
    api_metrics_init(&metrics, "s", "n");
    api_metrics_head(&metrics, "lag", "gauge", "Lag.");
    api_metrics_sample(&metrics, "lag", labels, 2, 1);
    labels[1].value = "flush";
    api_metrics_sample(&metrics, "lag", labels, 2, 2.5);
    api_metrics_head(&metrics, "none", "gauge", "There is none here.");
    char *text = api_metrics_take(&metrics);
    assert_string_equal(text, "# HELP lag Lag.\n# TYPE lag gauge\n"
                              "lag{scope=\"s\",name=\"n\",peer=\"a\\\"b\",stage=\"sent\"} 1\n"
                              "lag{scope=\"s\",name=\"n\",peer=\"a\\\"b\",stage=\"flush\"} 2.5\n"
                              "# HELP none There is none here.\n# TYPE none gauge\n");
    prom_read(text, &prom);
    assert_int_equal(prom_find(&prom, "lag")->samples, 2);
    mem_free(text);
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
    struct api_metrics metrics;
    struct histogram histogram = {0};
    (void)state;
    histogram_add(&histogram, 1);
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 5000);
    api_metrics_init(&metrics, "s", "n");
    api_metrics_add_histogram(&metrics, "turn_seconds", "Turns.", &histogram);
    char *text = api_metrics_take(&metrics);
    assert_non_null(strstr(text, "# TYPE turn_seconds histogram\n"
                                 "turn_seconds_bucket{scope=\"s\",name=\"n\",le=\"0.001\"} 1\n"));
    assert_non_null(strstr(text, "le=\"0.05\"} 1\n"));
    assert_non_null(strstr(text, "le=\"0.1\"} 2\n"));
    assert_non_null(strstr(text, "le=\"1\"} 2\n"));
    assert_non_null(strstr(text, "le=\"+Inf\"} 3\n"
                                 "turn_seconds_sum{scope=\"s\",name=\"n\"} 5.101\n"
                                 "turn_seconds_count{scope=\"s\",name=\"n\"} 3\n"));
    prom_read(text, &prom);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_metric_has_help_type_and_one_sample),
        cmocka_unit_test(numbers_have_the_digits_that_say_something),
        cmocka_unit_test(labels_are_escaped_and_never_cut),
        cmocka_unit_test(samples_are_told_apart_by_their_labels),
        cmocka_unit_test(a_histogram_counts_up_to_each_bound),
        cmocka_unit_test(a_comment_stands_between_help_and_type),
        cmocka_unit_test(states_have_the_numbers_of_patroni),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
