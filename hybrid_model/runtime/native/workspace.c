#include "workspace.h"

#define MAX_WORKSPACE_BYTES ((size_t)1 << 30)

static void needed_at(Plan *plan, ptrdiff_t tensor, ptrdiff_t node) {
    if (tensor < 0) return;
    Tensor *t = &plan->tensors[tensor];
    if (t->first_node < 0) t->first_node = node;
    if (t->last_node < node) t->last_node = node;
}

static void find_lifetimes(Plan *plan) {
    for (ptrdiff_t t = 0; t < plan->tensor_count; t++) plan->tensors[t].first_node = plan->tensors[t].last_node = -1;
    if (plan->tensors[0].kind == TENSOR_FLOAT) needed_at(plan, 0, 0);
    ptrdiff_t first = 0;
    for (ptrdiff_t stage = 0; stage <= plan->exit_count; stage++) {
        for (ptrdiff_t n = first; n < plan->stage_end[stage]; n++) {
            const Node *node = &plan->nodes[n];
            needed_at(plan, node->floats, n);
            needed_at(plan, node->quantized, n);
            needed_at(plan, node->residual, n);
            needed_at(plan, node->in, n);
        }
        first = plan->stage_end[stage];
        /* Logits, and what a guard sums, are read when every node of their stage has run. */
        if (stage < plan->exit_count) {
            needed_at(plan, plan->exit_tensor[stage], first);
            needed_at(plan, plan->guards[stage].source, first);
        }
    }
    needed_at(plan, plan->cut_tensor, plan->node_count);
    if (plan->tensors[0].kind == TENSOR_U8) plan->tensors[0].first_node = -1; /* read where the caller has it */
}

static int overlap(const Tensor *a, const Tensor *b) {
    return a->first_node <= b->last_node && b->first_node <= a->last_node;
}

static size_t rounded(size_t bytes) { return (bytes + 127) / 64 * 64; }

/* The lowest place for tensor `t` that no earlier tensor with an overlapping life takes. */
static void place(Plan *plan, ptrdiff_t t) {
    Tensor *tensor = &plan->tensors[t];
    size_t offset = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (ptrdiff_t i = 0; i < t; i++) {
            const Tensor *other = &plan->tensors[i];
            if (other->first_node < 0 || !overlap(tensor, other)) continue;
            if (offset < other->offset + rounded(other->bytes) && other->offset < offset + rounded(tensor->bytes)) {
                offset = other->offset + rounded(other->bytes);
                moved = 1;
            }
        }
    }
    tensor->offset = offset;
    if (plan->workspace_bytes < offset + rounded(tensor->bytes)) {
        plan->workspace_bytes = offset + rounded(tensor->bytes);
    }
}

const char *lay_out_workspace(Plan *plan) {
    find_lifetimes(plan);
    for (ptrdiff_t t = 0; t < plan->tensor_count; t++) {
        if (plan->tensors[t].first_node >= 0) place(plan, t);
    }
    size_t block = 0, map = 0, sums = 0;
    for (ptrdiff_t n = 0; n < plan->node_count; n++) {
        const Node *node = &plan->nodes[n];
        if (block < node->block_bytes) block = node->block_bytes;
        if (map < node->conv.map_bytes) map = node->conv.map_bytes;
        if (sums < node->conv.sums_bytes) sums = node->conv.sums_bytes;
    }
    plan->block_offset = plan->workspace_bytes;
    plan->map_offset = plan->block_offset + rounded(block);
    plan->sums_offset = plan->map_offset + rounded(map);
    plan->decision_offset = plan->sums_offset + rounded(sums);
    plan->guard_offset = plan->decision_offset + rounded((size_t)plan->classes * sizeof(double));
    size_t guard = 0;
    for (ptrdiff_t e = 0; e < plan->exit_count; e++) {
        if (guard < guard_scratch_bytes(&plan->guards[e])) guard = guard_scratch_bytes(&plan->guards[e]);
    }
    plan->workspace_bytes = plan->guard_offset + rounded(guard);
    return plan->workspace_bytes > MAX_WORKSPACE_BYTES ? "its activations take too much memory" : NULL;
}
