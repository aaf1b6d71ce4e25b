/* The assembler puts the files into the program as they are; make builds this again when one of
 * them changes. */
#include "agent/api/api_ui_files.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `symbol` up to `symbol_end`; nothing ends them with a zero. Paths are from the root of the tree.
 */
#define EMBED(symbol, file)                                           \
    __asm__(".pushsection .rodata\n" #symbol ":\n"                    \
            ".incbin \"agent/api/ui/" file "\"\n" #symbol "_end:\n"   \
            ".popsection\n");                                         \
    extern const char symbol[] __attribute__((visibility("hidden"))); \
    extern const char symbol##_end[] __attribute__((visibility("hidden")))

EMBED(api_ui_page_html, "page.html");
EMBED(api_ui_page_css, "page.css");
EMBED(api_ui_page_js, "page.js");
EMBED(api_ui_icon_svg, "icon.svg");

bool api_ui_file_find(const char *name, struct api_ui_file *ret_file)
{
    static const struct {
        const char *name;
        const char *type;
        const char *begin;
        const char *end;
    } files[] = {
        {"", "text/html; charset=utf-8", api_ui_page_html, api_ui_page_html_end},
        {"page.css", "text/css; charset=utf-8", api_ui_page_css, api_ui_page_css_end},
        {"page.js", "text/javascript; charset=utf-8", api_ui_page_js, api_ui_page_js_end},
        {"icon.svg", "image/svg+xml", api_ui_icon_svg, api_ui_icon_svg_end},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (strcmp(files[i].name, name) == 0) {
            size_t len = (size_t)((uintptr_t)files[i].end - (uintptr_t)files[i].begin);
            *ret_file = (struct api_ui_file){.name = files[i].name,
                                             .type = files[i].type,
                                             .bytes = span_of(files[i].begin, len)};
            return true;
        }
    }
    return false;
}
