/* Intrusive doubly linked list: put a `struct list` into the object, LIST_OWNER finds the object.
 * A head is a `struct list` that list_init made; an element that is in no list is zeroed or
 * list_init'ed. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

#define LIST_OWNER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
/* The current element may be removed inside the loop. */
#define LIST_EACH(item, head)                                                         \
    for (struct list *item = (head)->next, *item##_next = item->next; item != (head); \
         item = item##_next, item##_next = item->next)

static inline void list_init(struct list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head || head->next == NULL;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static inline void list_remove(struct list *item)
{
    if (item->next != NULL) {
        item->prev->next = item->next;
        item->next->prev = item->prev;
    }
    list_init(item);
}

static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

#endif
