/* The pretty form is the one scripts were (wrongly, but they were) written against: column widths
 * count characters, not bytes; the title overwrites the first rule from its second character on;
 * cells of several lines bring rules between all rows. */
#include "agent/cli/cli_table.h"

#include "agent/config/yaml.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool cli_format_parse(const char *text, enum cli_format *ret_format)
{
    static const struct {
        const char *name;
        enum cli_format format;
    } formats[] = {{"pretty", CLI_PRETTY},
                   {"tsv", CLI_TSV},
                   {"json", CLI_JSON},
                   {"yaml", CLI_YAML},
                   {"yml", CLI_YAML}};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(text, formats[i].name) == 0) {
            *ret_format = formats[i].format;
            return true;
        }
    }
    return false;
}

/* Text of a cell; free with mem_free. */
static char *cell_text(const json_t *cell, bool flow)
{
    struct buf out = BUF_INIT;
    struct error unused;
    if (json_is_string(cell)) {
        return mem_strdup(json_string_value(cell));
    }
    if (json_is_integer(cell)) {
        return mem_printf("%" JSON_INTEGER_FORMAT, json_integer_value(cell));
    }
    if (cell == NULL || json_is_null(cell) ||
        (json_is_object(cell) && json_object_size(cell) == 0)) {
        return mem_strdup("");
    }
    int rc = flow ? yaml_write_flow(cell, &out, &unused) : yaml_write(cell, &out, &unused);
    if (rc != 0) {
        buf_clear(&out); /* nested too deeply for YAML: it is only a picture */
    }
    while (out.len > 0 && out.data[out.len - 1] == '\n') {
        out.len--;
    }
    (void)buf_str(&out);
    return buf_take(&out);
}

static size_t width_of(const char *text, size_t len)
{
    size_t width = 0;
    for (size_t i = 0; i < len; i++) {
        width += ((unsigned char)text[i] & 0xC0) != 0x80; /* no continuation byte of UTF-8 */
    }
    return width;
}

static size_t lines_of(const char *text)
{
    size_t lines = 1;
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* Line `index` of a text; empty beyond the last. */
static const char *line_at(const char *text, size_t index, size_t *ret_len)
{
    while (index > 0 && *text != '\0') {
        index -= *text == '\n';
        text++;
    }
    *ret_len = index > 0 ? 0 : strcspn(text, "\n");
    return text;
}

/* The pretty table in the making. Row 0 is the header. */
struct grid {
    const struct cli_column **columns;
    size_t *widths;
    size_t column_count;
    size_t row_count;
    char **cells; /* row_count * column_count */
    bool rules;   /* between all rows */
};

static void grid_fill(struct grid *g, const struct cli_table *table)
{
    size_t *source = mem_new_array(size_t, table->column_count + 1);
    g->columns = mem_new_array(const struct cli_column *, table->column_count + 1);
    g->widths = mem_new_array(size_t, table->column_count + 1);
    for (size_t c = 0; c < table->column_count; c++) {
        if (!table->columns[c].not_pretty) {
            source[g->column_count] = c;
            g->columns[g->column_count++] = &table->columns[c];
        }
    }
    g->row_count = json_array_size(table->rows) + 1;
    g->cells = mem_new_array(char *, g->row_count * g->column_count);
    for (size_t r = 0; r < g->row_count; r++) {
        for (size_t c = 0; c < g->column_count; c++) {
            char *text =
                r == 0 ? mem_strdup(g->columns[c]->title)
                       : cell_text(json_array_get(json_array_get(table->rows, r - 1), source[c]),
                                   table->flow);
            g->cells[r * g->column_count + c] = text;
            g->rules = g->rules || strchr(text, '\n') != NULL;
            for (size_t l = 0; l < lines_of(text); l++) {
                size_t len = 0;
                const char *line = line_at(text, l, &len);
                size_t width = width_of(line, len);
                g->widths[c] = width > g->widths[c] ? width : g->widths[c];
            }
        }
    }
    mem_free(source);
}

static void put_repeated(struct buf *out, char c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_put_u8(out, (uint8_t)c);
    }
}

static void put_rule(const struct grid *g, const char *title, struct buf *out)
{
    struct buf rule = BUF_INIT;
    for (size_t c = 0; c < g->column_count; c++) {
        buf_put_u8(&rule, '+');
        put_repeated(&rule, '-', g->widths[c] + 2);
    }
    buf_put_u8(&rule, '+');
    size_t at = 0;
    if (title != NULL) {
        /* the corner, the title, cut so that the last corner stays, the rest of the rule */
        size_t room = rule.len >= 2 ? rule.len - 2 : 0;
        size_t title_len = 0;
        size_t width = 0;
        while (title[title_len] != '\0' &&
               width + (((unsigned char)title[title_len] & 0xC0) != 0x80) <= room) {
            width += ((unsigned char)title[title_len] & 0xC0) != 0x80;
            title_len++;
        }
        buf_put_u8(out, '+');
        buf_put(out, title, title_len);
        at = 1 + width;
    }
    buf_put(out, rule.data + at, rule.len - at);
    buf_put_u8(out, '\n');
    buf_free(&rule);
}

static void put_row(const struct grid *g, size_t row, struct buf *out)
{
    char **cells = &g->cells[row * g->column_count];
    size_t lines = 1;
    for (size_t c = 0; c < g->column_count; c++) {
        size_t own = lines_of(cells[c]);
        lines = own > lines ? own : lines;
    }
    for (size_t l = 0; l < lines; l++) {
        for (size_t c = 0; c < g->column_count; c++) {
            size_t len = 0;
            const char *line = line_at(cells[c], l, &len);
            size_t pad = g->widths[c] - width_of(line, len);
            buf_put_str(out, "| ");
            put_repeated(out, ' ', g->columns[c]->right ? pad : 0);
            buf_put(out, line, len);
            put_repeated(out, ' ', g->columns[c]->right ? 1 : pad + 1);
        }
        buf_put_str(out, "|\n");
    }
}

static void print_pretty(const struct cli_table *table, struct buf *out)
{
    struct grid g = {0};
    grid_fill(&g, table);
    put_rule(&g, table->title, out);
    put_row(&g, 0, out);
    put_rule(&g, NULL, out);
    for (size_t r = 1; r < g.row_count; r++) {
        put_row(&g, r, out);
        if (g.rules) {
            put_rule(&g, NULL, out);
        }
    }
    if (!g.rules) {
        put_rule(&g, NULL, out);
    }
    for (size_t i = 0; i < g.row_count * g.column_count; i++) {
        mem_free(g.cells[i]);
    }
    mem_free(g.cells);
    mem_free(g.widths);
    mem_free((void *)g.columns);
}

static void print_tsv(const struct cli_table *table, struct buf *out)
{
    const char *tab = table->delimiter != NULL ? table->delimiter : "\t";
    for (size_t c = 0; !table->no_header && c < table->column_count; c++) {
        buf_printf(out, "%s%s%s", c > 0 ? tab : "", table->columns[c].key,
                   c + 1 == table->column_count ? "\n" : "");
    }
    for (size_t r = 0; r < json_array_size(table->rows); r++) {
        for (size_t c = 0; c < table->column_count; c++) {
            char *text = cell_text(json_array_get(json_array_get(table->rows, r), c), true);
            buf_printf(out, "%s%s", c > 0 ? tab : "", text);
            mem_free(text);
        }
        buf_put_u8(out, '\n');
    }
}

static bool is_empty(const json_t *cell)
{
    return cell == NULL || json_is_null(cell) ||
           (json_is_string(cell) && json_string_length(cell) == 0);
}

static json_t *as_objects(const struct cli_table *table)
{
    json_t *objects = json_array();
    for (size_t r = 0; r < json_array_size(table->rows); r++) {
        json_t *object = json_object();
        for (size_t c = 0; c < table->column_count; c++) {
            json_t *cell = json_array_get(json_array_get(table->rows, r), c);
            if (!table->omit_empty || !is_empty(cell)) {
                (void)json_object_set(object, table->columns[c].key, cell);
            }
        }
        (void)json_array_append_new(objects, object);
    }
    return objects;
}

static int put_json(const char *data, size_t len, void *arg)
{
    struct buf *out = arg;
    buf_put(out, data, len);
    return 0;
}

int cli_table_print(const struct cli_table *table, enum cli_format format, struct buf *out,
                    struct error *err)
{
    int rc = 0;
    json_t *objects = NULL;
    switch (format) {
    case CLI_PRETTY: print_pretty(table, out); break;
    case CLI_TSV: print_tsv(table, out); break;
    case CLI_JSON:
        objects = as_objects(table);
        (void)json_dump_callback(objects, put_json, out,
                                 JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
        buf_put_u8(out, '\n');
        break;
    case CLI_YAML:
        objects = as_objects(table);
        rc = yaml_write(objects, out, err);
        buf_put_u8(out, '\n');
        break;
    }
    json_decref(objects);
    return rc;
}
