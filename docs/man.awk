# docs/command-line.md -> pgquorum(1). What that page uses of Markdown: headings, paragraphs, tables, blocks of four spaces, `code`
# and [links](). awk, so that an installation needs nothing more than its build.
BEGIN {
    print ".\\\" made from docs/command-line.md"
    printf ".TH PGQUORUM 1 \"\" \"pgquorum %s\" \"pgquorum\"\n", VERSION
    print ".SH NAME\npgquorum \\- PostgreSQL high availability: the agent, and the commands for its cluster"
    print ".SH DESCRIPTION"
}
function plain(text) {
    gsub(/\\\|/, "|", text)
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text
}
function inline(text,    out, code) {
    while (match(text, /\[[^]]*\]\([^)]*\)/)) {
        code = substr(text, RSTART + 1, index(substr(text, RSTART), "](") - 2)
        text = substr(text, 1, RSTART - 1) code substr(text, RSTART + RLENGTH)
    }
    out = ""
    while (match(text, /`[^`]*`/)) {
        code = substr(text, RSTART + 1, RLENGTH - 2)
        out = out plain(substr(text, 1, RSTART - 1)) "\\fB" plain(code) "\\fR"
        text = substr(text, RSTART + RLENGTH)
    }
    out = out plain(text)
    if (out ~ /^[.']/) {
        out = "\\&" out
    }
    return out
}
function end_block() {
    if (block) {
        print ".fi\n.RE"
    }
    block = 0
}
/^    / {
    if (!block) {
        print ".PP\n.RS 4\n.nf"
    }
    block = 1
    line = plain(substr($0, 5))
    print (line ~ /^[.']/ ? "\\&" line : line)
    next
}
{ end_block() }
/^# / { next }
/^## / {
    heading = substr($0, 4)
    print ".SH " toupper(plain(heading))
    next
}
/^### / { print ".SS " plain(substr($0, 5)); next }
/^\|[-|]*\|$/ { next }
/^\|/ {
    row = $0
    gsub(/\\\|/, "\001", row)
    count = split(row, cells, /[ ]*\|[ ]*/)
    for (i in cells) {
        gsub(/\001/, "|", cells[i])
    }
    if (!table) { # the header tells what the columns are
        table = 1
        for (i = 2; i < count; i++) {
            titles[i] = cells[i]
        }
        next
    }
    print ".TP\n" inline(cells[2])
    text = ""
    for (i = 3; i < count; i++) {
        if (cells[i] != "") {
            text = text (text == "" ? "" : "; ") (count > 4 ? titles[i] ": " : "") cells[i]
        }
    }
    print (text == "" ? "\\&" : inline(text))
    next
}
{ table = 0 }
/^$/ { paragraph = 1; next }
{
    if (paragraph) {
        print ".PP"
    }
    paragraph = 0
    print inline($0)
}
END { end_block() }
