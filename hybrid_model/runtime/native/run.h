/* Running a plan: sample by sample through the whole graph, deciding at each exit. */
#ifndef DEWPOINT_RUN_H
#define DEWPOINT_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "exits.h"
#include "plan.h"

/* A batch and its results: N samples, E exits, K classes. */
typedef struct {
    ptrdiff_t count;
    const uint8_t *input;     /* (N, H, W, C), dense */
    const ExitRule *rules;    /* (E) */
    const uint8_t *may_leave; /* (N): 0 = stays whatever its scores; NULL: all may. What is not finite stays anyway. */
    int to_cut;               /* compute every exit and the cut of every sample */
    int guard;                /* what is not in the domain at an exit does not leave there */
    int8_t *exit_index;       /* (N), -1 = no exit let it go */
    int32_t *class_index;     /* (N), of the exit where it left, else of the last */
    float *confidence;        /* (N), likewise; 0 where a logit is not finite */
    uint8_t *in_domain;       /* (N), likewise; 1 where that exit has no guard */
    int32_t *exit_classes;    /* (N, E), -1 where not computed */
    double *scores;           /* (N, E), NaN where not computed */
    uint8_t *at_cut;          /* (N) */
    float *logits;            /* (N, E, K), NaN where not computed; may be NULL */
    uint8_t *codes;           /* (N, codes), where at the cut; may be NULL */
    uint8_t *features;        /* (N, bytes), packed, where at the cut; may be NULL */
    float *distances;         /* (N, E), 0 without a guard, NaN where not computed or no number; may be NULL */
    uint8_t *exit_in_domain;  /* (N, E), 0 where not computed; may be NULL */
    int32_t *sums;            /* (N, S), channel sums of the guards, 0 where not computed; may be NULL */
} Batch;

/* `workspace`: plan->workspace_bytes of aligned memory, of this call alone while it runs. */
void run_batch(const Plan *plan, const Batch *batch, uint8_t *workspace);

#endif
