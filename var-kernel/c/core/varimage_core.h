/* VAR without an operating system: libvarimage_core.a calls nothing but memcpy, memmove, memset, memcmp, bcmp, strlen, and
 * var_core_panic, which the program defines. No allocator, no threads, no files: the program lends all memory, and threads by
 * var_options.parallel.
 *
 * Types are varimage.h's. Every call takes a place for the text of its failure, or NULL. The bytes are those of every other
 * interface: a seed gives the same image everywhere.
 */
#ifndef VARIMAGE_CORE_H
#define VARIMAGE_CORE_H

#include "varimage.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Text of a failure, with its NUL. */
typedef struct var_core_error {
    char text[1024];
} var_core_error;

/* A model in the program's memory; distinct runs of one model go one after the other, models are independent. */
typedef struct var_core_model var_core_model;

/* A run in the program's memory. Nothing is to be closed: memory may be used for something else at any time. */
typedef struct var_core_run var_core_run;

/* Defined by the program: called at a fault of the library, with its text; must not return. */
void var_core_panic(const char *text);

/* Bytes of memory that var_core_open takes for a file of `var convert`, which begins at a multiple of 4 bytes. options: isa, threads,
 * parallel, pool and scratch_kib, of which var_core_run_memory tells the least; or NULL. Takes 64 KiB of stack. */
var_status var_core_memory(const uint8_t *file, size_t length, const var_options *options, size_t *bytes, var_core_error *error);

/* Binds the file's model in memory. File and memory stay as they are while the model is used. */
var_status var_core_open(const uint8_t *file, size_t length, const var_options *options, uint8_t *memory, size_t bytes,
                         var_core_model **model, var_core_error *error);

var_status var_core_get_info(const var_core_model *model, var_info *info, var_core_error *error);

/* Bytes of memory that var_core_begin takes for these arguments: sampling without on_scale, batch as count. At most 8192 tokens in
 * all. Takes 100 KiB of stack. */
var_status var_core_run_memory(const var_core_model *model, const var_sampling *sampling, const uint32_t *classes, size_t count,
                               size_t *bytes, var_core_error *error);

/* Begins a run of an image of each class. With guidance, all images or none are of no class. */
var_status var_core_begin(const var_core_model *model, const var_sampling *sampling, const uint32_t *classes, size_t count,
                          uint8_t *memory, size_t bytes, var_core_run **run, var_core_error *error);

/* Draws the next scale, and writes its number from 0 to scale, which may be NULL; VAR_DONE after the last. */
var_status var_core_step(var_core_run *run, uint32_t *scale, var_core_error *error);

/* Tokens of the last scale of the nth image, row by row. */
var_status var_core_tokens(var_core_run *run, uint32_t n, uint32_t *tokens, size_t length, var_core_error *error);

/* The nth image as it would look if the run ended here: side * side * 3. */
var_status var_core_image(var_core_run *run, uint32_t n, uint8_t *rgb, size_t length, var_core_error *error);

/* Ends a run after its last scale. rgb: count * side * side * 3. tokens: count * var_info.tokens, scale by scale, within a scale
 * image by image. */
var_status var_core_finish(var_core_run *run, uint8_t *rgb, size_t rgb_length, uint32_t *tokens, size_t tokens_length,
                           var_core_error *error);

#ifdef __cplusplus
}
#endif

#endif
