#include "memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

struct ArenaBlock {
    ArenaBlock *next;
};

void *aligned_zeros(size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = (bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, rounded);
    if (memory != NULL) memset(memory, 0, rounded);
    return memory;
}

void *arena_take(Arena *arena, size_t count, size_t size) {
    if (size != 0 && count > (SIZE_MAX / 4) / size) {
        arena->failed = 1;
        return NULL;
    }
    uint8_t *memory = aligned_zeros(ALIGNMENT + count * size);
    if (memory == NULL) {
        arena->failed = 1;
        return NULL;
    }
    ArenaBlock *block = (ArenaBlock *)(void *)memory;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->bytes += count * size;
    return memory + ALIGNMENT;
}

void arena_free(Arena *arena) {
    while (arena->blocks != NULL) {
        ArenaBlock *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->bytes = 0;
}
