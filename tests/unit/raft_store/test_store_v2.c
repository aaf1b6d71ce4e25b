/* The v2 dialect: what each write does, in etcd's words, and how the same keys look from v3.
 *   write: action node(created,modified) <- previous node     or   code cause */
#include "client_fixture.h"

static struct store_result v2_apply(struct pair *pair, struct store_v2 v2,
                                    struct store_output *output)
{
    struct store_command command = {.type = STORE_V2, .v2 = &v2};
    return apply_pair(pair, &command, output);
}

static void v2_is(struct pair *pair, struct store_v2 v2, const char *expected)
{
    struct buf out = BUF_INIT;
    struct store_output *output = store_output_new();
    int64_t before = store_revision(pair->store);
    struct store_result result = v2_apply(pair, v2, output);
    if (result.code != 0) {
        buf_printf(&out, "%d %s", (int)result.reason, buf_str(&output->cause));
        assert_int_equal(result.revision, before);
        assert_false(output->node.there);
    } else {
        put_node(&out, &output->node);
        assert_int_equal(result.revision, before + 1);
        if (output->prev.there) {
            buf_put_str(&out, " <- ");
            put_node(&out, &output->prev);
        }
    }
    assert_string_equal(buf_str(&out), expected);
    store_output_unref(output);
    buf_free(&out);
}

#define V2(kind, name, ...) \
    ((struct store_v2){.type = STORE_V2_##kind, .path = span_str(name), __VA_ARGS__})
#define PLAIN                .prev_index = 0
#define SET(name, text, ...) V2(SET, name, .value = span_str(text), __VA_ARGS__)

static void put_path(struct buf *out, const struct store_kvs *kvs)
{
    for (size_t i = 0; i < kvs->count; i++) {
        struct store_kv kv;
        store_kvs_get(kvs, i, &kv);
        buf_put_span(out, kv.key);
        buf_put_str(out, " ");
    }
}

/* Files | directories that were made. */
static void below_is(const struct store *store, const char *path, const char *expected)
{
    struct buf out = BUF_INIT;
    struct store_kvs files;
    struct store_kvs directories;
    store_v2_below(store, span_str(path), &files, &directories);
    put_path(&out, &files);
    buf_put_str(&out, "| ");
    put_path(&out, &directories);
    assert_string_equal(buf_str(&out), expected);
    store_kvs_close(&files);
    store_kvs_close(&directories);
    buf_free(&out);
}

static void get_is(const struct store *store, const char *path, const char *expected)
{
    struct buf out = BUF_INIT;
    struct store_v2_node node;
    struct span cause = span_of(NULL, 0);
    enum store_reason reason = store_v2_get(store, span_str(path), &node, &cause);
    if (reason != STORE_NO_REASON) {
        buf_printf(&out, "%d ", (int)reason);
        buf_put_span(&out, cause);
    } else {
        put_node(&out, &node);
    }
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

/* --- files ------------------------------------------------------------------------------------ */

static void set_makes_a_file_anew_each_time(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, SET("/a/b", "1", PLAIN), "/a/b=1(3,3)");
    v2_is(pair, SET("/a/b", "2", PLAIN), "/a/b=2(4,4) <- /a/b=1(3,3)");
    v2_is(pair, SET("/a/b", "", PLAIN), "/a/b=(5,5) <- /a/b=2(4,4)");
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING, .prev_kv = true}, 4,
               "delete@4 /a/b was /a/b=1(3,3,1) put@4 /a/b=2(4,4,1) was /a/b=1(3,3,1) "
               "delete@5 /a/b was /a/b=2(4,4,1) put@5 /a/b(5,5,1) was /a/b=2(4,4,1) ");
    range_is(pair->other, (struct store_range){EVERYTHING, .revision = 4}, "#1: /a/b=2(4,4,1) ");
    v2_is(pair, SET("/", "1", PLAIN), "107 /");
    v2_is(pair, SET("/a", "1", PLAIN), "102 /a");
    v2_is(pair, SET("/a/b/c", "1", PLAIN), "104 /a/b");
    v2_is(pair, SET("/a/b/c/d", "1", PLAIN), "104 /a/b");
}

static void create_update_and_swap_keep_what_etcd_keeps(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, V2(CREATE, "/k", .value = span_str("1")), "/k=1(3,3)");
    v2_is(pair, V2(CREATE, "/k", .value = span_str("2")), "105 /k");
    v2_is(pair, V2(CREATE, "/", PLAIN), "107 /");
    v2_is(pair, V2(CREATE, "/k/x", PLAIN), "104 /k");
    v2_is(pair, V2(UPDATE, "/k", .value = span_str("2")), "/k=2(3,4) <- /k=1(3,3)");
    v2_is(pair, V2(UPDATE, "/x/y", .value = span_str("2")), "100 /x");
    v2_is(pair, V2(UPDATE, "/", PLAIN), "107 /");
    v2_is(pair, V2(UPDATE, "/k/x", PLAIN), "104 /k");
    v2_is(pair, V2(SWAP, "/k", .prev_value = span_str("1"), .value = span_str("3")),
          "101 [1 != 2]");
    v2_is(pair, V2(SWAP, "/k", .prev_index = 3, .value = span_str("3")), "101 [3 != 4]");
    v2_is(pair,
          V2(SWAP, "/k", .prev_value = span_str("1"), .prev_index = 3, .value = span_str("3")),
          "101 [1 != 2] [3 != 4]");
    v2_is(pair,
          V2(SWAP, "/k", .prev_value = span_str("2"), .prev_index = 3, .value = span_str("3")),
          "101 [3 != 4]");
    v2_is(pair,
          V2(SWAP, "/k", .prev_value = span_str("2"), .prev_index = 4, .value = span_str("3")),
          "/k=3(3,5) <- /k=2(3,4)");
    v2_is(pair, V2(SWAP, "/gone", .prev_index = 4), "100 /gone");
    v2_is(pair, V2(SWAP, "/", .prev_index = 4), "107 /");
    v2_is(pair, V2(COMPARE_DELETE, "/k", .prev_index = 4), "101 [4 != 5]");
    v2_is(pair, V2(COMPARE_DELETE, "/", .prev_index = 4), "102 /");
    v2_is(pair, V2(COMPARE_DELETE, "/k", .prev_value = span_str("3")), "/k=(3,6) <- /k=3(3,5)");
    v2_is(pair, V2(COMPARE_DELETE, "/k", .prev_value = span_str("3")), "100 /k");
    v2_is(pair, V2(DELETE, "/k", PLAIN), "100 /k");
    v2_is(pair, V2(DELETE, "/", .recursive = true), "107 /");
    v2_is(pair, SET("/k", "again", PLAIN), "/k=again(7,7)");
    v2_is(pair, V2(DELETE, "/k", .directory = true), "/k=(7,8) <- /k=again(7,7)");
    restart_other(pair);
    range_is(pair->other, (struct store_range){.key = span_str("/k"), .revision = 5},
             "#1: /k=3(3,5,3) ");
}

static void post_names_by_the_revision_it_makes(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, V2(POST, "/queue", .value = span_str("job")),
          "/queue/00000000000000000003=job(3,3)");
    v2_is(pair, V2(POST, "/queue", .value = span_str("job")),
          "/queue/00000000000000000004=job(4,4)");
    v2_is(pair, V2(POST, "/", .value = span_str("r")), "/00000000000000000005=r(5,5)");
    v2_is(pair, SET("/queue/00000000000000000007", "taken", PLAIN),
          "/queue/00000000000000000007=taken(6,6)");
    v2_is(pair, V2(POST, "/queue", .value = span_str("job")), "105 /queue/00000000000000000007");
    v2_is(pair, V2(POST, "/queue/00000000000000000007", .value = span_str("job")),
          "104 /queue/00000000000000000007");
    v2_is(pair, V2(POST, "/dirs", .directory = true), "/dirs/00000000000000000007/(7,7)");
}

/* --- directories ------------------------------------------------------------------------------ */

static void a_directory_is_made_or_is_there_by_what_is_below_it(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, SET("/d", "", .directory = true), "/d/(3,3)");
    v2_is(pair, SET("/d", "", .directory = true), "102 /d");
    v2_is(pair, V2(CREATE, "/d", .directory = true), "105 /d");
    v2_is(pair, SET("/d/x/y", "1", PLAIN), "/d/x/y=1(4,4)");
    v2_is(pair, SET("/d/e", "", .directory = true), "/d/e/(5,5)");
    restart_other(pair);
    for (int round = 0; round < 2; round++) {
        const struct store *store = round == 0 ? pair->store : pair->other;
        get_is(store, "/", "//(4,4)");
        get_is(store, "/d", "/d/(3,3)");
        get_is(store, "/d/x", "/d/x/(4,4)"); /* nobody made it: of the first file below it */
        get_is(store, "/d/x/y", "/d/x/y=1(4,4)");
        get_is(store, "/d/x/y/z", "104 /d/x/y");
        get_is(store, "/d/n/y/z", "100 /d/n");
        get_is(store, "/d/x/n", "100 /d/x/n");
        below_is(store, "/", "/d/x/y | /d /d/e ");
        below_is(store, "/d", "/d/x/y | /d/e ");
        below_is(store, "/d/e", "| ");
        range_is(store, (struct store_range){EVERYTHING}, "#1: /d/x/y=1(4,4,1) ");
        events_are(store, (struct store_watch){EVERYTHING}, 3, "put@4 /d/x/y=1(4,4,1) ");
        events_are(store, (struct store_watch){EVERYTHING, .directories = true}, 3,
                   "put-dir@3 /d(3,3,1) put@4 /d/x/y=1(4,4,1) put-dir@5 /d/e(5,5,1) ");
    }
    v2_is(pair, V2(DELETE, "/d/x/y", PLAIN), "/d/x/y=(4,6) <- /d/x/y=1(4,4)");
    get_is(pair->store, "/d/x", "100 /d/x");
    get_is(pair->store, "/d/e", "/d/e/(5,5)");
}

static void a_file_becomes_a_directory_by_set_alone(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, SET("/f", "1", PLAIN), "/f=1(3,3)");
    v2_is(pair, SET("/f", "", .directory = true), "/f/(4,4) <- /f=1(3,3)");
    v2_is(pair, V2(UPDATE, "/f", .value = span_str("v")), "102 /f");
    v2_is(pair, V2(SWAP, "/f", .prev_value = span_str("v")), "102 /f");
    v2_is(pair, V2(COMPARE_DELETE, "/f", .prev_index = 4), "102 /f");
    v2_is(pair, V2(UPDATE, "/f", PLAIN), "/f/(4,5) <- /f/(4,4)");
    restart_other(pair);
    range_is(pair->other, (struct store_range){EVERYTHING}, "#0: ");
}

static void deletes_of_directories_ask_for_it(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, SET("/d", "", .directory = true), "/d/(3,3)");
    v2_is(pair, SET("/d/a", "1", PLAIN), "/d/a=1(4,4)");
    v2_is(pair, SET("/d/sub", "", .directory = true), "/d/sub/(5,5)");
    TXN_IS(pair, "@6 yes{put@6: ; put@6: ; put@6: }", c_put("/d//odd", "v"), c_put("/dz", "v"),
           c_put("/d/sub/_hidden", "v"));
    v2_is(pair, V2(DELETE, "/d", PLAIN), "102 /d");
    v2_is(pair, V2(DELETE, "/d", .directory = true), "108 /d");
    v2_is(pair, V2(DELETE, "/d", .recursive = true), "/d/(3,7) <- /d/(3,3)");
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING, .directories = true}, 7,
               "delete-dir@7 /d delete@7 /d/a delete@7 /d/sub/_hidden delete-dir@7 /d/sub ");
    range_is(pair->other, (struct store_range){EVERYTHING}, "#2: /d//odd=v(6,6,1) /dz=v(6,6,1) ");
    get_is(pair->store, "/d", "100 /d"); /* what is left below it v2 does not show */
    v2_is(pair, SET("/e/f/g", "1", PLAIN), "/e/f/g=1(8,8)");
    v2_is(pair, V2(DELETE, "/e", .recursive = true), "/e/(8,9) <- /e/(8,8)");
    v2_is(pair, SET("/h", "", .directory = true), "/h/(10,10)");
    v2_is(pair, V2(DELETE, "/h", .directory = true), "/h/(10,11) <- /h/(10,10)");
    v2_is(pair, SET("/h", "", .directory = true), "/h/(12,12)");
    restart_other(pair);
    struct store_command compact = {.type = STORE_COMPACT, .number = 11};
    assert_int_equal(apply_pair(pair, &compact, NULL).code, 0);
    restart_other(pair);
    compact.number = 12;
    assert_int_equal(apply_pair(pair, &compact, NULL).code, 0);
    restart_other(pair);
}

/* Keys of v3 that no v2 client could have made. */
static void keys_of_v3_show_as_far_as_v2_can_name_them(void **state)
{
    struct pair *pair = *state;
    TXN_IS(pair, "@3 yes{put@3: ; put@3: ; put@3: ; put@3: ; put@3: }", c_put("no-slash", "v"),
           c_put("/a", "hidden by the directory"), c_put("/a/b", "v"), c_put("/a!", "v"),
           c_put("/a/", "v"));
    TXN_IS(pair, "@4 yes{put@4: ; put@4: ; put@4: ; put@4: }", c_put("/x/../y", "v"),
           c_put("/x/.", "v"), c_put("/_h/k", "v"), c_put("/", "v"));
    below_is(pair->store, "/", "/_h/k /a /a! /a/b | ");
    below_is(pair->store, "/a", "/a/b | ");
    below_is(pair->store, "/_h", "/_h/k | ");
    get_is(pair->store, "/a", "/a/(3,3)");
    get_is(pair->store, "/x", "100 /x");
    get_is(pair->store, "/_h", "/_h/(4,4)");
    v2_is(pair, SET("/a", "v", PLAIN), "102 /a");
    v2_is(pair, V2(DELETE, "/a", .recursive = true), "/a/(3,5) <- /a/(3,3)");
    range_is(pair->store, (struct store_range){EVERYTHING, .keys_only = true, .max_mod = 3},
             "#7: /a!(3,3,1) /a/(3,3,1) no-slash(3,3,1) ");
}

static void what_is_below_stays_whatever_is_written(void **state)
{
    struct pair *pair = *state;
    struct store_kvs files;
    struct store_kvs directories;
    struct store_kv kv;
    (void)open_format_2(pair);
    v2_is(pair, SET("/b", "", .directory = true), "/b/(3,3)");
    v2_is(pair, SET("/b/k", "1", PLAIN), "/b/k=1(4,4)");
    store_v2_below(pair->store, span_str("/"), &files, &directories);
    v2_is(pair, SET("/b/k", "2", PLAIN), "/b/k=2(5,5) <- /b/k=1(4,4)");
    v2_is(pair, V2(DELETE, "/b", .recursive = true), "/b/(3,6) <- /b/(3,3)");
    struct store_command compact = {.type = STORE_COMPACT, .number = 6};
    assert_int_equal(apply_pair(pair, &compact, NULL).code, 0);
    assert_int_equal(files.count, 1);
    store_kvs_get(&files, 0, &kv);
    assert_true(span_equal_str(kv.key, "/b/k") && span_equal_str(kv.value, "1"));
    assert_int_equal(directories.count, 1);
    store_kvs_get(&directories, 0, &kv);
    assert_true(span_equal_str(kv.key, "/b") && kv.directory);
    store_kvs_close(&files);
    store_kvs_close(&directories);
    below_is(pair->store, "/", "| ");
}

/* --- time ------------------------------------------------------------------------------------- */

static void a_ttl_is_a_lease_of_the_key_alone(void **state)
{
    struct pair *pair = *state;
    struct store_lease lease;
    (void)open_format_2(pair);
    v2_is(pair, SET("/k", "1", .ttl_ms = 5000, .lease = 71), "/k=1(3,3,ttl 5000)");
    assert_true(store_lease_get(pair->store, 71, &lease));
    assert_int_equal(lease.flags, STORE_LEASE_OWN);
    v2_is(pair,
          V2(SWAP, "/k", .prev_value = span_str("1"), .value = span_str("1"), .ttl_ms = 3000,
             .lease = 72),
          "/k=1(3,4,ttl 3000) <- /k=1(3,3,ttl 5000)");
    assert_false(store_lease_get(pair->store, 71, &lease)); /* went with the write */
    restart_other(pair);
    v2_is(pair, V2(UPDATE, "/k", .ttl_ms = 9000, .lease = 73, .refresh = true),
          "/k=1(3,5,ttl 9000) <- /k=1(3,4,ttl 3000)");
    v2_is(pair, SET("/k", "", .ttl_ms = 9000, .lease = 74, .refresh = true),
          "/k=1(6,6,ttl 9000) <- /k=1(3,5,ttl 9000)");
    v2_is(pair, SET("/k", "", .ttl_ms = 9000, .lease = 74), "9 ");
    v2_is(pair, V2(UPDATE, "/k", .value = span_str("2")), "/k=2(6,7) <- /k=1(6,6,ttl 9000)");
    assert_false(store_lease_get(pair->store, 74, &lease)); /* no ttl: it goes */
    v2_is(pair, SET("/n", "", .ttl_ms = 9000, .lease = 75, .refresh = true), "100 /n");
    v2_is(pair, V2(UPDATE, "/k", .ttl_ms = 10, .lease = 76), "/k=(6,8,ttl 10) <- /k=2(6,7)");
    TXN_IS(pair, "@9 yes{put@9: }", c_put("/k", "from v3")); /* a put without lease */
    assert_false(store_lease_get(pair->store, 76, &lease));
    v2_is(pair, V2(UPDATE, "/k", .ttl_ms = 10, .lease = 77), "/k=(6,10,ttl 10) <- /k=from v3(6,9)");
    assert_int_equal(
        apply_pair(pair,
                   &(struct store_command){.type = STORE_LEASE_EXPIRE,
                                           .lease = 77,
                                           .number = lease_of(pair->store, 77).renewal_number},
                   NULL)
            .revision,
        11);
    restart_other(pair);
    get_is(pair->other, "/k", "100 /k");
}

/* The lease of a key goes at the end of the command, whatever the command still does with it. */
static void a_lease_of_its_own_may_be_used_up_to_the_end_of_the_command(void **state)
{
    struct pair *pair = *state;
    struct store_lease lease;
    (void)open_format_2(pair);
    v2_is(pair, SET("/k", "1", .ttl_ms = 5000, .lease = 71), "/k=1(3,3,ttl 5000)");
    struct store_op moved[] = {op_put("/k", "2", 0), op_put("/l", "1", 71)};
    struct store_command command = {.type = STORE_TXN, .success = moved, .success_count = 2};
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    assert_true(store_lease_get(pair->store, 71, &lease));
    struct store_op ended[] = {op_put("/l", "2", 0), op_end(71)};
    command.success = ended;
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    assert_false(store_lease_get(pair->store, 71, &lease));
    assert_true(has(pair->store, "/l"));
    v2_is(pair, SET("/k", "1", .ttl_ms = 5000, .lease = 71), "/k=1(6,6,ttl 5000) <- /k=2(3,4)");
    assert_int_equal(revoke(pair->store, "", 71).revision, 7);
    (void)revoke(pair->other, "", 71);
    v2_is(pair, SET("/m", "1", .ttl_ms = 5000, .lease = 72), "/m=1(8,8,ttl 5000)");
    struct store_op again[] = {op_end(72), op_grant(72, 3000, STORE_LEASE_HOLDER, 1)};
    command.success = again;
    command.actor = span_str("n1");
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    assert_true(store_lease_get(pair->store, 72, &lease)); /* another one, under its id */
}

static void a_directory_that_expires_takes_all_below_it_but_a_holders_key(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, SET("/d", "", .directory = true, .ttl_ms = 5000, .lease = 71), "/d/(3,3,ttl 5000)");
    v2_is(pair, SET("/d/sub", "", .directory = true, .ttl_ms = 9000, .lease = 72),
          "/d/sub/(4,4,ttl 9000)");
    v2_is(pair, SET("/d/sub/k", "1", .ttl_ms = 9000, .lease = 73), "/d/sub/k=1(5,5,ttl 9000)");
    struct store_op acquire[] = {op_grant(1, 3000, STORE_LEASE_HOLDER, 1),
                                 op_put("/d/leader", "n1", 1)};
    struct store_command command = {
        .type = STORE_TXN, .actor = span_str("n1"), .success = acquire, .success_count = 2};
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    restart_other(pair);
    struct store_command end = {.type = STORE_LEASE_EXPIRE,
                                .lease = 71,
                                .number = lease_of(pair->store, 71).renewal_number};
    assert_int_equal(apply_pair(pair, &end, NULL).revision, 7);
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING, .directories = true}, 7,
               "delete-dir@7 /d delete@7 /d/sub/k delete-dir@7 /d/sub ");
    get_is(pair->other, "/d", "/d/(6,6)");
    below_is(pair->other, "/d", "/d/leader | ");
    struct store_lease lease;
    assert_false(store_lease_get(pair->store, 72, &lease));
    assert_false(store_lease_get(pair->store, 73, &lease));
    v2_is(pair, V2(UPDATE, "/d", .ttl_ms = 5000, .lease = 71), "/d/(8,8,ttl 5000) <- /d/(6,6)");
}

/* --- rule 11 ---------------------------------------------------------------------------------- */

static void what_a_member_holds_is_not_touched(void **state)
{
    struct pair *pair = *state;
    struct store_op acquire[] = {op_grant(1, 3000, STORE_LEASE_HOLDER, 1),
                                 op_put("/s/leader", "n1", 1), op_put("/s/x", "1", 0)};
    struct store_command command = {
        .type = STORE_TXN, .actor = span_str("n1"), .success = acquire, .success_count = 3};
    (void)open_format_2(pair);
    assert_int_equal(apply_pair(pair, &command, NULL).revision, 3);
    v2_is(pair, SET("/s/leader", "n2", PLAIN), "110 /s/leader");
    v2_is(pair, SET("/s/leader", "", .directory = true), "110 /s/leader");
    v2_is(pair, V2(UPDATE, "/s/leader", .value = span_str("n2")), "110 /s/leader");
    v2_is(pair, V2(SWAP, "/s/leader", .prev_value = span_str("n1"), .value = span_str("n1")),
          "110 /s/leader");
    v2_is(pair, V2(SWAP, "/s/leader", .prev_value = span_str("n2")), "101 [n2 != n1]");
    v2_is(pair, V2(CREATE, "/s/leader", .value = span_str("n2")), "105 /s/leader");
    v2_is(pair, V2(DELETE, "/s/leader", PLAIN), "110 /s/leader");
    v2_is(pair, V2(COMPARE_DELETE, "/s/leader", .prev_value = span_str("n1")), "110 /s/leader");
    v2_is(pair, V2(DELETE, "/s", .recursive = true), "110 /s");
    range_is(pair->store, (struct store_range){EVERYTHING},
             "#2: /s/leader=n1(3,3,1,1) /s/x=1(3,3,1) ");
    /* A key below it makes it a directory, and does not make it anybody's. */
    TXN_IS(pair, "@4 yes{put@4: }", c_put("/s/leader/x", "1"));
    v2_is(pair, V2(DELETE, "/s/leader", .recursive = true), "110 /s/leader");
    restart_other(pair);
}

/* --- watches ---------------------------------------------------------------------------------- */

static void hears(struct pair *pair, int64_t from, const char *path, bool recursive,
                  const char *expected)
{
    struct buf out = BUF_INIT;
    struct store_events events;
    struct store_watch watch = {EVERYTHING, .directories = true};
    assert_int_equal(store_events(pair->other, &watch, from, 1000, 1 << 20, &events, NULL), 0);
    for (size_t i = 0; i < events.kvs.count; i++) {
        struct store_event event;
        (void)store_events_get(&events, i, &event, NULL);
        const char *action = store_v2_event_action(&event, span_str(path), recursive);
        if (action != NULL) {
            buf_printf(&out, "%s ", action);
            buf_put_span(&out, event.kv.key);
            buf_put_str(&out, " ");
        }
    }
    store_events_close(&events);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static void watches_hear_each_write_by_its_name(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, V2(CREATE, "/d/k", .value = span_str("1")), "/d/k=1(3,3)");
    v2_is(pair, SET("/d/k", "2", PLAIN), "/d/k=2(4,4) <- /d/k=1(3,3)");
    v2_is(pair, V2(UPDATE, "/d/k", .value = span_str("3")), "/d/k=3(4,5) <- /d/k=2(4,4)");
    v2_is(pair, V2(SWAP, "/d/k", .prev_index = 5, .value = span_str("4")),
          "/d/k=4(4,6) <- /d/k=3(4,5)");
    v2_is(pair, V2(UPDATE, "/d/k", .ttl_ms = 10, .lease = 71, .refresh = true),
          "/d/k=4(4,7,ttl 10) <- /d/k=4(4,6)");
    v2_is(pair, V2(COMPARE_DELETE, "/d/k", .prev_value = span_str("4")),
          "/d/k=(4,8) <- /d/k=4(4,7,ttl 10)");
    v2_is(pair, SET("/d/k", "5", .ttl_ms = 10, .lease = 72), "/d/k=5(9,9,ttl 10)");
    struct store_command end = {.type = STORE_LEASE_EXPIRE,
                                .lease = 72,
                                .number = lease_of(pair->store, 72).renewal_number};
    assert_int_equal(apply_pair(pair, &end, NULL).revision, 10);
    TXN_IS(pair, "@11 yes{put@11: ; put@11: }", c_put("/d/k", "v3"), c_put("/d//x", "unseen"));
    TXN_IS(pair, "@12 yes{delete@12#1: }", c_delete("/d/k", ""));
    restart_other(pair);
    const char *all = "create /d/k set /d/k update /d/k compareAndSwap /d/k compareAndDelete /d/k "
                      "set /d/k expire /d/k set /d/k delete /d/k ";
    hears(pair, 3, "/d/k", false, all);
    hears(pair, 3, "/d", true, all);
    hears(pair, 3, "/", true, all);
    hears(pair, 3, "/d", false, "");
    hears(pair, 3, "/d/k/below", true, "");
    hears(pair, 3, "/dd", true, "");
}

static void watches_below_hear_the_end_of_a_directory_once(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    v2_is(pair, SET("/d/sub", "", .directory = true), "/d/sub/(3,3)");
    v2_is(pair, SET("/d/sub/a", "1", PLAIN), "/d/sub/a=1(4,4)");
    v2_is(pair, SET("/d/sub/_h/b", "1", PLAIN), "/d/sub/_h/b=1(5,5)");
    v2_is(pair, V2(DELETE, "/d", .recursive = true), "/d/(5,6) <- /d/(5,5)");
    restart_other(pair);
    hears(pair, 6, "/d", false, "delete /d ");
    hears(pair, 6, "/", true, "delete /d ");
    hears(pair, 6, "/d/sub", true, "delete /d ");
    hears(pair, 6, "/d/sub/a", false, "delete /d ");
    hears(pair, 5, "/", true, "delete /d "); /* hidden */
    hears(pair, 5, "/d/sub/_h", true, "set /d/sub/_h/b delete /d ");
    hears(pair, 5, "/d/sub/_h/b", false, "set /d/sub/_h/b delete /d ");
}

/* --- what no write says ----------------------------------------------------------------------- */

static void requests_that_no_face_makes_are_not_encoded(void **state)
{
    (void)state;
    static char long_path[STORE_KEY_BYTES_MAX + 2] = "/";
    memset(long_path + 1, 'x', STORE_KEY_BYTES_MAX);
    static const char *const dirty[] = {"", "a", "/a/", "/a//b", "//", "/.", "/a/..", "/./a"};
    struct buf out = BUF_INIT;
    struct store_v2 v2 = SET("/a", "v", PLAIN);
    struct store_command command = {.type = STORE_V2, .v2 = &v2};
    assert_int_equal(store_command_encode(&command, &out, NULL), 0);
    for (size_t i = 0; i < COUNT(dirty); i++) {
        v2.path = span_str(dirty[i]);
        assert_int_equal(store_command_encode(&command, &out, NULL), ERR_INVALID);
    }
    v2 = SET(long_path, "v", PLAIN);
    assert_int_equal(store_command_encode(&command, &out, NULL), ERR_LIMIT);
    v2.path.len--;
    assert_int_equal(store_command_encode(&command, &out, NULL), 0);
    v2.type = STORE_V2_POST;
    assert_int_equal(store_command_encode(&command, &out, NULL), ERR_LIMIT);
    v2.path.len -= 21;
    assert_int_equal(store_command_encode(&command, &out, NULL), 0);
    v2 = SET("/a", "v", .ttl_ms = 5);
    assert_int_equal(store_command_encode(&command, &out, NULL), ERR_INVALID);
    v2 = SET("/a", "v", .lease = 5);
    assert_int_equal(store_command_encode(&command, &out, NULL), ERR_INVALID);
    v2 = SET("/a", "v", .lease = 5, .ttl_ms = -1);
    assert_int_equal(store_command_encode(&command, &out, NULL), ERR_INVALID);
    v2 = (struct store_v2){.type = 9, .path = span_str("/a")};
    assert_int_equal(store_command_encode(&command, &out, NULL), ERR_INVALID);
    buf_free(&out);
}

static void reads_of_paths_that_no_key_can_have_find_nothing(void **state)
{
    struct pair *pair = *state;
    static char path[2 * STORE_KEY_BYTES_MAX] = "/a/";
    struct buf expected = BUF_INIT;
    memset(path + 3, 'x', sizeof(path) - 4);
    TXN_IS(pair, "@3 yes{put@3: }", c_put("/a/b", "1"));
    buf_printf(&expected, "100 %s", path);
    get_is(pair->store, path, buf_str(&expected));
    below_is(pair->store, path, "| ");
    below_is(pair->store, "/a/b", "| ");
    below_is(pair->store, "/n", "| ");
    buf_free(&expected);
}

static void a_full_store_takes_no_v2_write(void **state)
{
    struct pair *pair = *state;
    static uint8_t value[STORE_VALUE_BYTES_MAX];
    struct store_result result = {0};
    for (int i = 0; result.code == 0; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/%d", i);
        result = v2_apply(pair, V2(SET, path, .value = span_of(value, sizeof(value))), NULL);
    }
    assert_int_equal(result.code, ERR_LIMIT);
    assert_int_equal(result.reason, STORE_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(set_makes_a_file_anew_each_time),
        PAIR_TEST(create_update_and_swap_keep_what_etcd_keeps),
        PAIR_TEST(post_names_by_the_revision_it_makes),
        PAIR_TEST(a_directory_is_made_or_is_there_by_what_is_below_it),
        PAIR_TEST(a_file_becomes_a_directory_by_set_alone),
        PAIR_TEST(deletes_of_directories_ask_for_it),
        PAIR_TEST(keys_of_v3_show_as_far_as_v2_can_name_them),
        PAIR_TEST(what_is_below_stays_whatever_is_written),
        PAIR_TEST(a_ttl_is_a_lease_of_the_key_alone),
        PAIR_TEST(a_lease_of_its_own_may_be_used_up_to_the_end_of_the_command),
        PAIR_TEST(a_directory_that_expires_takes_all_below_it_but_a_holders_key),
        PAIR_TEST(what_a_member_holds_is_not_touched),
        PAIR_TEST(watches_hear_each_write_by_its_name),
        PAIR_TEST(watches_below_hear_the_end_of_a_directory_once),
        cmocka_unit_test(requests_that_no_face_makes_are_not_encoded),
        PAIR_TEST(reads_of_paths_that_no_key_can_have_find_nothing),
        PAIR_TEST(a_full_store_takes_no_v2_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
