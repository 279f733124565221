/* VAR: image generation by next-scale prediction.
 *
 * Calls return a var_status; the text of a failure, with its causes, is var_error()'s. Nothing unwinds out of the library and
 * nothing ends the program. A var_model serves one thread at a time; different models are independent. The same seed gives the
 * same bytes on every processor, for any number of threads and any batch.
 *
 * Images are rows of red, green, blue bytes, top to bottom. "length" counts elements of the array before it, and must be the
 * number that the description names, or the call fails with both numbers. Classes are numbers from 0; the number of classes
 * itself (var_info.classes) stands for no class. A callback must return: a longjmp or an exception out of one is undefined.
 */
#ifndef VARIMAGE_H
#define VARIMAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header; var_version() is the library's. */
#define VAR_VERSION_MAJOR 0
#define VAR_VERSION_MINOR 1
#define VAR_VERSION_PATCH 0

typedef enum var_status {
    VAR_OK = 0,
    VAR_STOPPED = 1,   /* the callback ended the run */
    VAR_DONE = 2,      /* of varimage_core.h: no scale is left */
    VAR_ARGUMENT = -1, /* an argument is null, of another length, or out of range */
    VAR_FILE = -2,     /* a file cannot be read */
    VAR_MODEL = -3,    /* no such model, or the model cannot serve the request */
    VAR_MEMORY = -4,   /* memory or threads cannot be had */
    VAR_BUG = -5       /* a fault of the library: close the model */
} var_status;

/* Weights, threads, working memory. */
typedef struct var_model var_model;

/* State after a scale, for the time of the callback. */
typedef struct var_progress var_progress;

/* Text of this thread's last failure, until its next one; "" before the first. */
const char *var_error(void);

/* Version of the library, "0.1.0". */
const char *var_version(void);

/* Runs task(context, 0) to task(context, tasks - 1) on threads of the caller's, in any order, one after the other or at once, and
 * returns when all have returned. It may be called from any thread that uses the model. */
typedef void (*var_parallel)(void *pool, size_t tasks, void (*task)(void *context, size_t index), void *context);

/* Set by var_options_init. */
typedef struct var_options {
    size_t size;           /* sizeof(var_options) of the program: structures may grow at their end */
    const char *vae_path;  /* the VQVAE's file, where the model's has none; or NULL */
    const char *device;    /* "cpu", "cuda" or "cuda:1"; NULL: the CPU */
    const char *precision; /* of products on a GPU: "f16", "bf16", "f32", "tf32"; NULL: f16 */
    const char *isa;       /* instruction set: "portable", "sse2", "avx2", "avx512", "neon"; NULL: the best */
    uint32_t threads;      /* 0: one for each core; with parallel, its most tasks */
    uint32_t scratch_kib;  /* of varimage_core.h: KiB of scratch memory of each thread, 0: 4096; 0 here */
    var_parallel parallel; /* threads of the caller's; NULL: the library's own */
    void *pool;            /* parallel's */
} var_options;

/* Called after every scale: 0 goes on, anything else stops. */
typedef int (*var_on_scale)(void *user, var_progress *progress);

/* Set by var_sampling_init. */
typedef struct var_sampling {
    size_t size;           /* sizeof(var_sampling) of the program */
    uint64_t seed;         /* with an image's index, it decides the random numbers */
    float cfg;             /* classifier-free guidance at the last scale; 0: none */
    float top_p;           /* the most likely tokens that reach this probability; 0: all */
    uint32_t top_k;        /* so many most likely tokens; 0: all */
    uint32_t first_index;  /* index of the first image; the next ones count on */
    uint32_t batch;        /* images computed together: the same bytes */
    uint32_t more_smooth;  /* 1: codes mixed by Gumbel softmax, for smoother images */
    var_on_scale on_scale; /* or NULL */
    void *user;            /* on_scale's */
    float temperature;     /* divides the logits after guidance: below 1 likelier tokens; 0.01 to 100 */
    uint32_t reserved;     /* 0 */
} var_sampling;

typedef struct var_info {
    size_t size;            /* sizeof(var_info), set by the caller */
    uint32_t side;          /* pixels of an image: side * side */
    uint32_t scales;        /* token maps of an image */
    uint32_t tokens;        /* tokens of an image, all scales */
    uint32_t codes;         /* values of a token */
    uint32_t classes;       /* 0 without a transformer */
    uint32_t named_classes; /* classes with a name, from 0 */
} var_info;

var_status var_options_init_sized(var_options *options, size_t size);
var_status var_sampling_init_sized(var_sampling *sampling, size_t size);
#define var_options_init(options) var_options_init_sized((options), sizeof(var_options))
#define var_sampling_init(sampling) var_sampling_init_sized((sampling), sizeof(var_sampling))

/* Opens a model file: of `var convert`, of `var train`, or a published transformer with its VQVAE in options->vae_path; NULL: the
 * built-in model. options may be NULL. *model is NULL after a failure. */
var_status var_open(const char *path, const var_options *options, var_model **model);

/* The same of a file of `var convert` in memory, which must stay there unchanged until the model is closed. */
var_status var_open_memory(const uint8_t *bytes, size_t length, const var_options *options, var_model **model);

void var_close(var_model *model);

var_status var_get_info(const var_model *model, var_info *info);

/* Name of a class, cut to length bytes with its NUL; returns its whole length, 0 without a name. */
size_t var_class_name(const var_model *model, uint32_t class_number, char *name, size_t length);

/* Draws an image of each class. rgb: count * side * side * 3. tokens: count * var_info.tokens, or NULL. sampling may be NULL.
 * After VAR_STOPPED the images of whole batches are there, the others' bytes as they were. */
var_status var_sample(var_model *model, const var_sampling *sampling, const uint32_t *classes, size_t count,
                      uint8_t *rgb, size_t rgb_length, uint32_t *tokens, size_t tokens_length);

/* Bytes of working memory for var_lend_memory: enough for var_sample with these arguments, and for every call for one image of
 * one of these classes. Without classes: for var_encode, var_decode and var_reconstruct. */
var_status var_workspace(var_model *model, const var_sampling *sampling, const uint32_t *classes, size_t count, size_t *bytes);

/* Takes the networks' working memory from here, aligned as a float, until the next call or var_close; a call that wants more fails
 * with VAR_MEMORY and both numbers. NULL and 0: the library's own again, which grows as needed. */
var_status var_lend_memory(var_model *model, float *memory, size_t bytes);

/* Of the callback's progress: the scale just drawn, from 0; scales; images drawn together; the index of the nth of them. */
uint32_t var_progress_scale(const var_progress *progress);
uint32_t var_progress_scales(const var_progress *progress);
uint32_t var_progress_images(const var_progress *progress);
uint32_t var_progress_index(const var_progress *progress, uint32_t n);

/* Tokens of this scale of the nth image, row by row. */
var_status var_progress_tokens(var_progress *progress, uint32_t n, uint32_t *tokens, size_t length);

/* The nth image as it would look if the run ended here: side * side * 3. Takes the time of decoding an image. */
var_status var_progress_image(var_progress *progress, uint32_t n, uint8_t *rgb, size_t length);

/* Image -> tokens, var_info.tokens of them. Images of other sizes are resized and cut as for the published models. */
var_status var_encode(var_model *model, const uint8_t *rgb, uint32_t width, uint32_t height, uint32_t *tokens, size_t length);

/* Tokens -> image, side * side * 3. */
var_status var_decode(var_model *model, const uint32_t *tokens, size_t tokens_length, uint8_t *rgb, size_t rgb_length);

/* An image encoded and decoded again. */
var_status var_reconstruct(var_model *model, const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t *out, size_t length);

/* Log-likelihood of an image under each class, in nats. nats: count. */
var_status var_score(var_model *model, const uint8_t *rgb, uint32_t width, uint32_t height, const uint32_t *classes,
                     size_t count, double *nats);

/* Teacher-forced logits of an image's tokens: var_info.tokens * var_info.codes. */
var_status var_logits(var_model *model, const uint32_t *tokens, size_t tokens_length, uint32_t class_number, float *logits,
                      size_t logits_length);

#define VAR_NO_CLASS UINT32_MAX

/* Draws the inside (outside = 0) or the outside (1) of a box anew. region: top, left, bottom, right as shares of the image.
 * class_number: a class, or VAR_NO_CLASS for in- and out-painting as in the paper. out: side * side * 3. */
var_status var_edit(var_model *model, const var_sampling *sampling, const uint8_t *rgb, uint32_t width, uint32_t height,
                    const float region[4], uint32_t outside, uint32_t class_number, uint8_t *out, size_t length);

#ifdef __cplusplus
}
#endif

#endif
