/* ASSERT stays on in production: it is for our own bugs, never for input, network, PostgreSQL or
 * the OS. A failed one prints where and what to standard error and aborts; the fence covers the
 * instance. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void assert_fail(const char *file, int line, const char *text);
/* What is called before the process ends so; it may not wait for long. NULL = nothing. */
void assert_last_words(void (*say)(void));

#define ASSERT(fact) ((fact) ? (void)0 : assert_fail(__FILE__, __LINE__, #fact))

#endif
