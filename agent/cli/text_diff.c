/* Longest common subsequence by the table (configurations are short), then hunks: changes closer
 * together than twice the context share one. */
#include "agent/cli/text_diff.h"

#include "base/mem.h"

#include <string.h>

#define CONTEXT ((size_t)3)

struct line {
    const char *text;
    size_t len;
};

struct side {
    struct line *lines;
    size_t count;
};

/* One line of the result. */
struct step {
    char kind; /* ' ', '-', '+' */
    struct line line;
    size_t before; /* lines of each side in front of it */
    size_t after;
};

static struct side split(const char *text)
{
    struct side side = {.lines = mem_new_array(struct line, 16)};
    size_t capacity = 16;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (side.count == capacity) {
            capacity *= 2;
            side.lines = mem_resize(side.lines, capacity * sizeof(*side.lines));
        }
        side.lines[side.count++] = (struct line){.text = text, .len = len};
        text += len + (text[len] == '\n' ? 1 : 0);
    }
    return side;
}

static bool same(const struct line *a, const struct line *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* table[i * (b+1) + j] = length of the longest common subsequence of a[i..] and b[j..]. */
static uint16_t *common_table(const struct side *a, const struct side *b)
{
    size_t width = b->count + 1;
    uint16_t *table = mem_new_array(uint16_t, (a->count + 1) * width);
    for (size_t i = a->count; i-- > 0;) {
        for (size_t j = b->count; j-- > 0;) {
            uint16_t skip_a = table[(i + 1) * width + j];
            uint16_t skip_b = table[i * width + j + 1];
            uint16_t best = skip_a > skip_b ? skip_a : skip_b;
            table[i * width + j] = same(&a->lines[i], &b->lines[j])
                                       ? (uint16_t)(table[(i + 1) * width + j + 1] + 1)
                                       : best;
        }
    }
    return table;
}

static size_t make_steps(const struct side *a, const struct side *b, struct step *steps)
{
    bool small = a->count <= TEXT_DIFF_LINES_MAX && b->count <= TEXT_DIFF_LINES_MAX;
    uint16_t *table = small ? common_table(a, b) : NULL;
    size_t width = b->count + 1;
    size_t i = 0;
    size_t j = 0;
    size_t count = 0;
    while (i < a->count || j < b->count) {
        struct step *step = &steps[count++];
        *step = (struct step){.before = i, .after = j};
        bool both = table != NULL && i < a->count && j < b->count;
        if (both && same(&a->lines[i], &b->lines[j])) {
            step->kind = ' ';
            step->line = a->lines[i++];
            j++;
        } else if (i < a->count &&
                   (!both || table[(i + 1) * width + j] >= table[i * width + j + 1])) {
            step->kind = '-';
            step->line = a->lines[i++];
        } else {
            step->kind = '+';
            step->line = b->lines[j++];
        }
    }
    mem_free(table);
    return count;
}

static void put_range(struct buf *out, char sign, size_t start, size_t count)
{
    /* an empty range names the line before it; one line is named alone */
    size_t first = count == 0 ? start : start + 1;
    if (count == 1) {
        buf_printf(out, "%c%zu", sign, first);
    } else {
        buf_printf(out, "%c%zu,%zu", sign, first, count);
    }
}

static void put_hunk(const struct step *steps, size_t count, struct buf *out)
{
    size_t before = 0;
    size_t after = 0;
    for (size_t i = 0; i < count; i++) {
        before += steps[i].kind != '+';
        after += steps[i].kind != '-';
    }
    buf_put_str(out, "@@ ");
    put_range(out, '-', steps[0].before, before);
    buf_put_str(out, " ");
    put_range(out, '+', steps[0].after, after);
    buf_put_str(out, " @@\n");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%c%.*s\n", steps[i].kind, (int)steps[i].line.len, steps[i].line.text);
    }
}

/* End of the hunk whose first change is at `at`: the last change that is near enough to the one
 * before, plus context. */
static size_t hunk_end(const struct step *steps, size_t count, size_t at)
{
    size_t last = at;
    for (size_t i = at; i < count && i <= last + 2 * CONTEXT + 1; i++) {
        last = steps[i].kind != ' ' ? i : last;
    }
    return last + CONTEXT + 1 < count ? last + CONTEXT + 1 : count;
}

void text_diff(const char *before, const char *after, struct buf *out)
{
    struct side a = split(before);
    struct side b = split(after);
    struct step *steps = mem_new_array(struct step, a.count + b.count + 1);
    size_t count = make_steps(&a, &b, steps);
    bool header = false;
    for (size_t i = 0; i < count; i++) {
        if (steps[i].kind == ' ') {
            continue;
        }
        size_t start = i >= CONTEXT ? i - CONTEXT : 0;
        size_t end = hunk_end(steps, count, i);
        buf_put_str(out, header ? "" : "--- \n+++ \n");
        header = true;
        put_hunk(steps + start, end - start, out);
        i = end - 1;
    }
    mem_free(steps);
    mem_free(a.lines);
    mem_free(b.lines);
}
