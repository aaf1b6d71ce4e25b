/* Questions on a terminal, or on a pipe: a script that answers them is a user too. */
#include "agent/cli/cli_verbs.h"

#include "base/mem.h"

#include <signal.h>
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

/* --- without echo ----------------------------------------------------------------------------- */

/* Whoever is ended by them leaves the terminal as it was. */
static const int ending[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
enum { ENDING_COUNT = sizeof ending / sizeof ending[0] };

static struct termios with_echo; /* of the handler, too: set before it is installed */

/* The handler is gone when it is called (SA_RESETHAND): the signal then ends us as it does others.
 */
static void on_ending(int number)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &with_echo);
    (void)raise(number);
}

static void echo_off(struct sigaction ret_before[static ENDING_COUNT])
{
    const struct sigaction restore = {.sa_handler = on_ending, .sa_flags = (int)SA_RESETHAND};
    struct termios hidden = with_echo;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        (void)sigaction(ending[i], NULL, &ret_before[i]);
        if (ret_before[i].sa_handler == SIG_DFL) {
            (void)sigaction(ending[i], &restore, NULL);
        }
    }
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
}

static void echo_on(const struct sigaction before[static ENDING_COUNT])
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &with_echo);
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        (void)sigaction(ending[i], &before[i], NULL);
    }
    (void)printf("\n");
}

char *cli_prompt_hidden(const char *text)
{
    struct sigaction before[ENDING_COUNT];
    if (tcgetattr(STDIN_FILENO, &with_echo) != 0) {
        return cli_prompt(text, NULL); /* no terminal */
    }
    echo_off(before);
    char *answer = cli_prompt(text, NULL);
    echo_on(before);
    return answer;
}

/* --- yes or no -------------------------------------------------------------------------------- */

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
