/* Aligned, zeroed memory that lives and dies with its owner. */
#ifndef DEWPOINT_MEMORY_H
#define DEWPOINT_MEMORY_H

#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;

typedef struct {
    ArenaBlock *blocks;
    size_t bytes;
    int failed; /* an allocation failed: what came back was NULL */
} Arena;

/* `count` * `size` zeroed bytes on a 64-byte boundary, with 64 readable bytes behind them; NULL where there are none. */
void *arena_take(Arena *arena, size_t count, size_t size);
void arena_free(Arena *arena);

void *aligned_zeros(size_t bytes);

#endif
