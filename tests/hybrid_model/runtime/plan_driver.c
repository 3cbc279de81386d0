/* Runs plans outside of Python, for kernels of another processor under an emulator.
 *
 * plan_driver KERNEL: each line of the input names a file. It holds blocks, each an int64 count of bytes, then the bytes, then zeros to a multiple of 8: the
 * table and the gains as hybrid_model/runtime/native_walker.py encodes them, the rules, the batch, and the parameters.
 * For each: an int64 count of bytes, then distances, who is in the domain, exit indices, codes, logits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define MOST 1024

static Bytes blocks[MOST];
static int block_count;
static void *taken[2 * MOST];
static int taken_count;

static void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

static void *zeros(size_t count, size_t size) {
    void *made = calloc(count + 1, size);
    if (made == NULL || taken_count == 2 * MOST) fail("no memory");
    taken[taken_count++] = made;
    return made;
}

static void free_all(void) {
    while (taken_count > 0) free(taken[--taken_count]);
    block_count = 0;
}

static void read_blocks(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail("no such file");
    int64_t bytes;
    while (fread(&bytes, 8, 1, file) == 1) {
        size_t padded = ((size_t)bytes + 7) / 8 * 8;
        char *data = zeros(padded, 1);
        if (block_count == MOST || fread(data, 1, padded, file) != padded) fail("the file is not whole");
        blocks[block_count++] = (Bytes){data, (size_t)bytes};
    }
    fclose(file);
}

static Plan *build(const Kernels *kernels) {
    const int64_t *at = blocks[0].data;
    const double *gains = blocks[1].data;
    ptrdiff_t buffer_count = at[0], step_count = at[1], exit_count = at[2];
    Graph graph = {.buffer_count = buffer_count, .step_count = step_count, .exit_count = exit_count, .cut_buffer = at[3]};
    BufferSpec *buffers = zeros((size_t)buffer_count, sizeof(BufferSpec));
    Step *steps = zeros((size_t)step_count, sizeof(Step));
    at += 4;
    for (ptrdiff_t b = 0; b < buffer_count; b++, at += 5) buffers[b] = (BufferSpec){at[0], at[1], at[2], at[3], at[4]};
    for (ptrdiff_t s = 0; s < step_count; s++, at += 14) {
        Step *step = &steps[s];
        *step = (Step){.operation = at[0], .stage = at[1], .in = {at[2], at[3]}, .out = at[4], .quantizer = at[11]};
        memcpy(step->window, at + 5, sizeof step->window);
        step->gain = gains[s];
        memcpy(step->param, blocks + 4 + at[12], (size_t)at[13] * sizeof(Bytes));
    }
    graph.buffers = buffers, graph.steps = steps, graph.exit_buffers = at;
    GuardSpec *guards = zeros((size_t)exit_count, sizeof(GuardSpec));
    at += exit_count;
    for (ptrdiff_t e = 0; e < exit_count; e++, at += 3) {
        guards[e] = (GuardSpec){.source = at[0], .directions = at[1]};
        const Bytes *param = blocks + 4 + at[2];
        if (at[0] >= 0) guards[e].weight = param[0], guards[e].scale = param[1], guards[e].mean = param[2];
    }
    graph.guards = guards;
    char error[PLAN_ERROR_BYTES] = "";
    Plan *plan = plan_build(&graph, kernels, error);
    if (plan == NULL) fail(error);
    return plan;
}

static void run_file(const Kernels *kernels, const char *path) {
    read_blocks(path);
    Plan *plan = build(kernels);
    const double *values = blocks[2].data;
    size_t exits = (size_t)plan->exit_count, count = blocks[3].bytes / plan->input_bytes;
    ExitRule *rules = zeros(exits, sizeof(ExitRule));
    for (size_t e = 0; e < exits; e++, values += 4) {
        rules[e] = (ExitRule){(enum ScoreKind)values[0], values[1], values[2], values[3]};
    }
    Batch batch = {
        .count = (ptrdiff_t)count,
        .input = blocks[3].data,
        .rules = rules,
        .to_cut = 1,
        .guard = 1,
        .exit_index = zeros(count, 1),
        .class_index = zeros(count, 4),
        .confidence = zeros(count, 4),
        .in_domain = zeros(count, 1),
        .exit_classes = zeros(count * exits, 4),
        .scores = zeros(count * exits, 8),
        .at_cut = zeros(count, 1),
        .logits = zeros(count * exits * (size_t)plan->classes, 4),
        .codes = zeros(count * plan->cut_codes, 1),
        .distances = zeros(count * exits, 4),
        .exit_in_domain = zeros(count * exits, 1),
    };
    uint8_t *workspace = aligned_zeros(plan->workspace_bytes);
    if (workspace == NULL) fail("no memory");
    run_batch(plan, &batch, workspace);
    size_t logits = count * exits * (size_t)plan->classes, codes = count * plan->cut_codes;
    int64_t bytes = (int64_t)(5 * count * exits + count + codes + 4 * logits);
    fwrite(&bytes, 8, 1, stdout);
    fwrite(batch.distances, 4, count * exits, stdout);
    fwrite(batch.exit_in_domain, 1, count * exits, stdout);
    fwrite(batch.exit_index, 1, count, stdout);
    fwrite(batch.codes, 1, codes, stdout);
    fwrite(batch.logits, 4, logits, stdout);
    fflush(stdout);
    free(workspace);
    plan_free(plan);
    free_all();
}

int main(int argc, char **argv) {
    const Kernels *kernels = argc == 2 ? kernels_find(argv[1]) : NULL;
    if (kernels == NULL) fail("which kernel?");
    char path[4096];
    while (fgets(path, sizeof path, stdin) != NULL) {
        path[strcspn(path, "\n")] = '\0';
        run_file(kernels, path);
    }
    return 0;
}
