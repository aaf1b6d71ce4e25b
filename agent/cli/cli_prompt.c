/* Questions on a terminal, or on a pipe: a script that answers them is a user too. */
#include "agent/cli/cli_verbs.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#define ANSWER_BYTES 1024

/* One line without its end and the spaces round it; false at the end of input, and where a line
 * does not fit: its rest must not answer the next question. */
static bool read_line(char *ret_line, size_t bytes)
{
    (void)fflush(stdout);
    if (fgets(ret_line, (int)bytes, stdin) == NULL) {
        (void)fprintf(stderr, "\nAborted!\n");
        return false;
    }
    size_t len = strlen(ret_line);
    if (len == bytes - 1 && ret_line[len - 1] != '\n') {
        (void)fprintf(stderr, "\nError: an answer of more than %zu bytes\nAborted!\n", bytes - 2);
        return false;
    }
    while (len > 0 && strchr(" \t\r\n", ret_line[len - 1]) != NULL) {
        ret_line[--len] = '\0';
    }
    size_t spaces = strspn(ret_line, " \t");
    memmove(ret_line, ret_line + spaces, len - spaces + 1);
    return true;
}

char *cli_prompt(const char *text, const char *fallback)
{
    char line[ANSWER_BYTES];
    for (;;) {
        if (fallback != NULL) {
            (void)printf("%s [%s]: ", text, fallback);
        } else {
            (void)printf("%s: ", text);
        }
        if (!read_line(line, sizeof(line))) {
            return NULL;
        }
        if (line[0] != '\0') {
            return mem_strdup(line);
        }
        if (fallback != NULL) {
            return mem_strdup(fallback);
        }
    }
}

char *cli_prompt_hidden(const char *text)
{
    struct termios before;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        struct termios hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    char *answer = cli_prompt(text, NULL);
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void)printf("\n");
    }
    return answer;
}

enum cli_answer cli_confirm(const char *text)
{
    char line[ANSWER_BYTES];
    for (;;) {
        (void)printf("%s [y/N]: ", text);
        if (!read_line(line, sizeof(line))) {
            return CLI_ABORTED;
        }
        if (strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0) {
            return CLI_YES;
        }
        if (line[0] == '\0' || strcasecmp(line, "n") == 0 || strcasecmp(line, "no") == 0) {
            return CLI_NO;
        }
        (void)printf("Error: invalid input\n");
    }
}
