/* Every call of varimage_core.h, right and wrong. Arguments: a model file; with SEED CLASS an image on stdout, as PPM; with `time`
 * that of one. */
#include "common.h"
#include "varimage_core.h"

static var_core_error error;

void var_core_panic(const char *text) {
    fprintf(stderr, "a fault of the library: %s\n", text);
    abort();
}

static void fails(var_status status, var_status wanted, const char *text) {
    if (status != wanted || !strstr(error.text, text)) {
        fprintf(stderr, "status %d, text \"%s\"; wanted %d, \"%s\"\n", status, error.text, wanted, text);
        abort();
    }
}

static void well(var_status status) {
    if (status) fprintf(stderr, "status %d: %s\n", status, error.text);
    assert(status == VAR_OK);
}

/* The model's file in memory, and its length. */
static uint8_t *file;
static size_t file_length;

static void read_file(const char *path) {
    FILE *from = fopen(path, "rb");
    assert(from);
    fseek(from, 0, SEEK_END);
    file_length = (size_t)ftell(from);
    rewind(from);
    file = (uint8_t *)malloc(file_length);
    assert(file && fread(file, 1, file_length, from) == file_length);
    fclose(from);
}

static var_core_model *opened(const var_options *options, uint8_t **memory) {
    size_t bytes = 0;
    var_core_model *model = NULL;
    well(var_core_memory(file, file_length, options, &bytes, &error));
    *memory = (uint8_t *)malloc(bytes);
    fails(var_core_open(file, file_length, options, *memory, bytes - 1, &model, &error), VAR_MEMORY, "bytes of memory wanted");
    assert(!model);
    well(var_core_open(file, file_length, options, *memory, bytes, &model, &error));
    return model;
}

static var_info sizes(const var_core_model *model) {
    var_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    well(var_core_get_info(model, &info, &error));
    return info;
}

static size_t length(const var_core_model *model) {
    return 3 * (size_t)sizes(model).side * sizes(model).side;
}

static var_sampling settings(uint64_t seed) {
    var_sampling sampling;
    memset(&sampling, 0, sizeof sampling);
    sampling.size = sizeof sampling;
    sampling.seed = seed, sampling.cfg = 1.5f, sampling.top_p = 0.96f, sampling.top_k = 900, sampling.batch = 1;
    sampling.temperature = 1;
    return sampling;
}

static var_core_run *begun(const var_core_model *model, const var_sampling *sampling, const uint32_t *classes, size_t count,
                           uint8_t **memory) {
    size_t bytes = 0;
    var_core_run *run = NULL;
    well(var_core_run_memory(model, sampling, classes, count, &bytes, &error));
    *memory = (uint8_t *)malloc(bytes);
    fails(var_core_begin(model, sampling, classes, count, *memory, bytes / 2, &run, &error), VAR_MEMORY, "bytes of memory wanted");
    well(var_core_begin(model, sampling, classes, count, *memory, bytes, &run, &error));
    return run;
}

/* Sides of the built-in model's token maps. */
static const uint32_t SIDES[] = {1, 2, 3, 4, 6, 8};

/* Images of classes, each step's image asked for on the way. */
static uint8_t *drawn(const var_core_model *model, uint64_t seed, const uint32_t *classes, size_t count) {
    var_sampling sampling = settings(seed);
    uint8_t *memory, *rgb = (uint8_t *)malloc(count * length(model)), *on_the_way = (uint8_t *)malloc(length(model));
    size_t tokens_length = count * sizes(model).tokens;
    uint32_t *tokens = (uint32_t *)malloc(tokens_length * sizeof *tokens), scale, seen = 0, side = 0, last = (uint32_t)count - 1, map[64];
    var_core_run *run = begun(model, &sampling, classes, count, &memory);
    fails(var_core_image(run, 0, on_the_way, length(model), &error), VAR_ARGUMENT, "no scale is drawn");
    fails(var_core_finish(run, rgb, count * length(model), tokens, tokens_length, &error), VAR_ARGUMENT, "0 of 6 scales");
    while (var_core_step(run, &scale, &error) == VAR_OK) {
        assert(scale == seen++);
        side = SIDES[scale];
        well(var_core_image(run, last, on_the_way, length(model), &error));
        well(var_core_tokens(run, last, map, side * side, &error));
        fails(var_core_tokens(run, last, map, 63, &error), VAR_ARGUMENT, "room for 63 values");
        fails(var_core_image(run, (uint32_t)count, on_the_way, length(model), &error), VAR_ARGUMENT, "image");
        fails(var_core_image(run, 0, NULL, length(model), &error), VAR_ARGUMENT, "rgb is null");
    }
    assert(seen == sizes(model).scales && var_core_step(run, NULL, &error) == VAR_DONE);
    fails(var_core_finish(run, rgb, 5, tokens, tokens_length, &error), VAR_ARGUMENT, "room for 5 values");
    well(var_core_finish(run, rgb, count * length(model), tokens, tokens_length, &error));
    assert(!memcmp(rgb + last * length(model), on_the_way, length(model)));
    assert(!memcmp(tokens + tokens_length - side * side, map, side * side * sizeof *map));
    fails(var_core_step(run, &scale, &error), VAR_ARGUMENT, "finished");
    free(memory), free(on_the_way), free(tokens);
    return rgb;
}

static void refusals(const var_core_model *model) {
    size_t bytes = 0, cut;
    uint32_t classes[] = {3, 99}, none;
    var_core_model *other = (var_core_model *)1;
    var_core_run *run = (var_core_run *)1;
    uint8_t space[64];
    for (cut = 0; cut < 12; cut++) { /* truncated */
        assert(var_core_memory(file, file_length * cut / 12, NULL, &bytes, &error) == VAR_MODEL && *error.text);
        assert(var_core_memory(file, file_length * cut / 12, NULL, &bytes, NULL) == VAR_MODEL);
    }
    fails(var_core_memory(NULL, 9, NULL, &bytes, &error), VAR_ARGUMENT, "file is null");
    fails(var_core_memory(file + 1, file_length - 1, NULL, &bytes, &error), VAR_ARGUMENT, "multiple of 4");
    fails(var_core_memory(file, file_length, NULL, NULL, &error), VAR_ARGUMENT, "bytes is null");
    fails(var_core_open(file, file_length, NULL, NULL, 1 << 30, &other, &error), VAR_MEMORY, "0 lent");
    assert(!other);
    fails(var_core_get_info(NULL, NULL, &error), VAR_ARGUMENT, "model is null");
    var_options options;
    memset(&options, 0, sizeof options);
    fails(var_core_memory(file, file_length, &options, &bytes, &error), VAR_ARGUMENT, "size is 0");
    options.size = sizeof options;
    options.isa = "mmx";
    fails(var_core_memory(file, file_length, &options, &bytes, &error), VAR_ARGUMENT, "isa mmx");
    options.isa = NULL, options.parallel = by_threads;
    fails(var_core_memory(file, file_length, &options, &bytes, &error), VAR_ARGUMENT, "threads is 0");
    var_sampling sampling = settings(0);
    fails(var_core_run_memory(model, &sampling, classes, 2, &bytes, &error), VAR_ARGUMENT, "class 99");
    fails(var_core_run_memory(model, &sampling, classes, 0, &bytes, &error), VAR_ARGUMENT, "count is 0");
    fails(var_core_run_memory(model, &sampling, NULL, 1, &bytes, &error), VAR_ARGUMENT, "classes is null");
    none = sizes(model).classes;
    classes[1] = none;
    fails(var_core_run_memory(model, &sampling, classes, 2, &bytes, &error), VAR_ARGUMENT, "1 of 2 images");
    sampling.top_p = 2;
    fails(var_core_run_memory(model, &sampling, classes, 1, &bytes, &error), VAR_ARGUMENT, "top_p is 2");
    sampling.top_p = 0.96f, sampling.temperature = 101;
    fails(var_core_run_memory(model, &sampling, classes, 1, &bytes, &error), VAR_ARGUMENT, "temperature is 101");
    sampling.temperature = 1, sampling.top_p = 2;
    fails(var_core_begin(model, NULL, classes, 1, space, sizeof space, &run, &error), VAR_MEMORY, "64 lent");
    assert(!run);
    fails(var_core_step(NULL, NULL, &error), VAR_ARGUMENT, "run is null");
}

/* The least time of one image, begun to finished, in milliseconds. */
static void measure(const var_core_model *model) {
    var_sampling sampling = settings(5);
    const uint32_t class_number = 3;
    uint8_t *rgb = (uint8_t *)malloc(length(model)), *memory;
    uint32_t *tokens = (uint32_t *)malloc(sizes(model).tokens * sizeof *tokens);
    double least = 1e9;
    int turn;
    for (turn = 0; turn < 40; turn++) {
        double start = now();
        var_core_run *run = begun(model, &sampling, &class_number, 1, &memory);
        while (var_core_step(run, NULL, &error) == VAR_OK) {
        }
        well(var_core_finish(run, rgb, length(model), tokens, sizes(model).tokens, &error));
        double time = now() - start;
        free(memory);
        if (time < least) least = time;
    }
    printf("%.1f\n", least);
    free(rgb), free(tokens);
}

int main(int count, char **arguments) {
    assert(count >= 2);
    read_file(arguments[1]);
    uint8_t *memory, *threaded_memory;
    var_core_model *model = opened(NULL, &memory);
    if (count == 3 && !strcmp(arguments[2], "time")) {
        measure(model);
        free(memory), free(file);
        return 0;
    }
    if (count == 3) { /* nothing is drawn: quick under valgrind */
        refusals(model);
        free(memory), free(file);
        puts("all is well");
        return 0;
    }
    if (count == 4) {
        uint32_t class_number = (uint32_t)atoi(arguments[3]);
        uint8_t *rgb = drawn(model, strtoull(arguments[2], NULL, 10), &class_number, 1);
        printf("P6 %u %u 255\n", sizes(model).side, sizes(model).side);
        fwrite(rgb, 1, length(model), stdout);
        free(rgb), free(memory), free(file);
        return 0;
    }
    const uint32_t classes[] = {3, 8, 5};
    /* With less scratch memory, the same bytes; with too little, a refusal that names the least. */
    var_options little;
    memset(&little, 0, sizeof little);
    little.size = sizeof little, little.scratch_kib = 1;
    uint8_t *little_memory;
    var_core_model *starved = opened(&little, &little_memory);
    size_t bytes;
    fails(var_core_run_memory(starved, NULL, classes, 1, &bytes, &error), VAR_MEMORY, "scratch_kib is 1, at least ");
    little.scratch_kib = (uint32_t)atoi(strstr(error.text, "at least ") + 9);
    assert(little.scratch_kib > 1 && little.scratch_kib < 4096);
    free(little_memory);
    starved = opened(&little, &little_memory);
    uint8_t *small = drawn(starved, 5, classes, 1);
    uint8_t *three = drawn(model, 5, classes, 3), *one = drawn(model, 5, classes, 1);
    assert(!memcmp(three, one, length(model)) && !memcmp(three, small, length(model)));
    free(small), free(little_memory);
    refusals(model);
    int runs = 0;
    var_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options, options.threads = 3, options.parallel = by_threads, options.pool = &runs;
    var_core_model *threaded = opened(&options, &threaded_memory);
    uint8_t *again = drawn(threaded, 5, classes, 3);
    assert(!memcmp(again, three, 3 * length(model)) && runs > 0);
    free(three), free(one), free(again), free(memory), free(threaded_memory), free(file);
    puts("all is well");
    return 0;
}
