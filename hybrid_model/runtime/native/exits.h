/* Confidence scores and the exit rule: the formulas of hybrid_model/exits.py, in double. */
#ifndef DEWPOINT_EXITS_H
#define DEWPOINT_EXITS_H

#include <stddef.h>

enum ScoreKind { SCORE_ENTROPY, SCORE_MAX_PROBABILITY, SCORE_MARGIN, SCORE_KINDS };

typedef struct {
    enum ScoreKind kind;
    double temperature, threshold;
    double limit; /* squared distance up to which the exit's guard takes a sample in */
} ExitRule;

typedef struct {
    double score;      /* NaN where a logit is not finite */
    double confidence; /* greatest probability; NaN there too */
    ptrdiff_t best;    /* index of the first greatest logit, or of the first NaN */
} Decision;

/* Scores `classes` logits; `scratch` has room for as many doubles. */
Decision exits_score(const ExitRule *rule, const float *logits, ptrdiff_t classes, double *scratch);

/* May a sample with this score leave? NaN stays. */
int exits_leaves(const ExitRule *rule, double score);

#endif
